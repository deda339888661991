"""The tasks that are measured: the same source for Allcores and for its peers."""

import time


def square(x):
    return x * x


def length(text):
    return len(text)


def busy(x):
    # CPU time, not wall time: a task that is held up by others must not get off
    # with less work.
    end = time.process_time() + 0.010
    while time.process_time() < end:
        pass
    return x


def skewed(x):
    time.sleep(0.005 if x < 450 else 0.200)
    return x
