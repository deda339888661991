"""Runs Python functions as durable tasks on an Allcores server.

An Executor is concurrent.futures.ProcessPoolExecutor on as many machines as the
server has:

    from allcores import Executor

    def square(x):
        return x * x

    if __name__ == "__main__":
        with Executor(4) as ex:
            print(ex.submit(square, 7).result())      # 49
            print(list(ex.map(square, range(5))))     # [0, 1, 4, 9, 16]

Futures are real: wait, as_completed, callbacks and asyncio's run_in_executor take
them. A function travels as the source of its module, together with the modules of
yours that it imports; installed packages are imported on the worker by name.
Arguments and results are exact, and an exception comes back as itself, with the
worker's traceback as its cause.

An executor is one job of the server. It has a page there, and goes on if this
program dies:

    with Executor(name="squares", tags=["demo"], timeout=60, max_attempts=3) as ex:
        print(ex.job.id)

Tasks share objects by name, as processes do. In a task:

    from allcores import Queue, Value

    Value("hits", 0).add(1)       # counts once, however often the task runs
    Queue("pages").put(page)

Manager() makes them without names, to be passed to tasks. A script that uses
multiprocessing, ProcessPoolExecutor or joblib runs unchanged with

    python3 allcores.py run script.py

This file is the whole client. It needs Python 3.8 or newer and nothing else. Get
it from a server, at /static/python/allcores.py, or install it with pip from
the wheel that lies beside it.

Settings are the arguments url and token, else the variables ALLCORES_URL and
ALLCORES_TOKEN, else http://127.0.0.1:8080 and the token that a server on this
machine keeps for its administrator.
"""
import base64
import builtins
import collections
import concurrent.futures
import contextlib
import errno
import functools
import io
import itertools
import json
import math
import multiprocessing
import operator
import os
import pickle
import queue
import re
import reprlib
import signal
import struct
import sys
import threading
import time
import types
import warnings
import weakref
from concurrent.futures import Future
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

__all__ = [
    "ApiError", "Array", "Barrier", "BoundedSemaphore", "Condition", "DeadlockError", "Dict", "Error", "Event",
    "Executor", "Job", "List", "Lock", "Manager", "Namespace", "Outcome", "Pipe", "Pool", "Queue", "RLock",
    "Semaphore", "SharedBoundsError", "SharedError", "SharedOwnerError", "SimpleQueue", "TimeoutError", "Unreachable",
    "VERSION", "Value", "WorkerDied", "progress", "run_script",
]

VERSION = "0.1.0"

_AS_SCRIPT = __name__ == "__main__"
if _AS_SCRIPT:
    # What is defined below belongs to the module allcores, which tasks import too.
    __name__ = "allcores"
    sys.modules[__name__] = sys.modules["__main__"]
