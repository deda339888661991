import multiprocessing
import os
import sys
import time


def fine():
    return 7


def status():
    sys.exit(3)


def text():
    sys.exit("some words")


def fails():
    raise ValueError("it went wrong")


def hard():
    os._exit(5)


def sleeps():
    time.sleep(300)


if __name__ == "__main__":
    for target in [fine, status, text, fails, hard]:
        p = multiprocessing.Process(target=target)
        p.start()
        p.join()
        print(target.__name__, p.exitcode)
    p = multiprocessing.Process(target=sleeps, daemon=True)
    p.start()
    p.join(0.2)
    print("alive", p.is_alive(), p.daemon)
    p.terminate()
    p.join()
    print("terminated", p.is_alive(), p.exitcode)
    p = multiprocessing.Process(target=sleeps)
    p.start()
    time.sleep(0.2)
    p.kill()
    p.join()
    print("killed", p.exitcode)
    sys.exit(9)
