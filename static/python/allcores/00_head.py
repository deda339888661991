"""Runs Python functions as durable tasks on an Allcores server.

This file is the whole client. It needs Python 3.8 or newer and nothing else. Get
it from a server, at /static/python/allcores.py, or install it with pip from
the wheel that lies beside it.

Settings are the arguments url and token, else the variables ALLCORES_URL and
ALLCORES_TOKEN, else http://127.0.0.1:8080 and the token that a server on this
machine keeps for its administrator.
"""
import json
import os
import sys
import threading
import weakref

__all__ = ["VERSION"]

VERSION = "0.1.0"
