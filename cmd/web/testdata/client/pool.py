"""Checks what CPython's tests of Pool do not: endless iterables, chunks, callbacks, and how a pool ends."""
import itertools
import multiprocessing
import os
import pickle
import subprocess
import sys
import time
import warnings

import allcores
from allcores import Pool


def square(x):
    return x * x


def slow(x):
    time.sleep(x)
    return x


def slow_square(x):
    time.sleep(0.01)
    return x * x


def die(x):
    os._exit(3)


def fail_at(x):
    if x == 5:
        raise ValueError("five")
    return x


def remember(x):
    global held
    held = x


def recall(_):
    return held


def check_endless():
    with Pool(2) as pool:
        read = itertools.count()
        values = list(itertools.islice(pool.imap(slow_square, read), 20))
        assert values == [x * x for x in range(20)], values
        assert next(read) < 2000, "imap reads far ahead of the tasks that have ended"
        unordered = pool.imap_unordered(square, itertools.count())
        assert next(unordered) >= 0
        assert pool.apply(square, (3,)) == 9  # an endless iterable keeps no other call waiting
    assert pool.job.wait(20)["state"] == "cancelled"


def check_chunks():
    with Pool(2) as pool:
        assert pool.map(square, range(10), chunksize=3) == [x * x for x in range(10)]
        assert pool.starmap(pow, [(2, 3), (3, 2), (2, 5)], chunksize=2) == [8, 9, 32]
        assert list(pool.imap(square, range(7), chunksize=3)) == [x * x for x in range(7)]
        assert pool.job.status()["counts"]["total"] == 4 + 2 + 3
        assert pool.map(square, range(100)) == [x * x for x in range(100)]
        assert pool.job.status()["counts"]["total"] == 109, "without a chunksize an item is a task"
        for wrong in (lambda: pool.map(square, [1], 0), lambda: pool.imap(square, [1], 0)):
            try:
                wrong()
            except ValueError as e:
                assert "1+" in str(e)
            else:
                raise AssertionError("a chunksize of 0 is taken")
    status = pool.job.wait(20)
    assert status["state"] == "succeeded", status


def check_errors():
    with Pool(2) as pool:
        errors = []
        result = pool.map_async(fail_at, range(10), error_callback=errors.append)
        try:
            result.get(30)
        except ValueError as e:
            assert e is errors[0] and type(e.__cause__) is multiprocessing.pool.RemoteTraceback
        else:
            raise AssertionError("the error is lost")
        try:
            pool.apply(die, (1,))
        except allcores.WorkerDied:
            pass
        assert pool.apply(square, (4,)) == 16, "a process that died breaks the pool"
        try:
            slow_one = pool.apply_async(slow, (20,))
            slow_one.get(0.2)
        except multiprocessing.TimeoutError:
            assert not slow_one.ready()
        try:
            slow_one.successful()
        except ValueError:
            pass
        else:
            raise AssertionError("successful of a result that is not ready")
    try:
        slow_one.get(10)
    except Exception as e:
        assert "terminated" in str(e), e
    try:
        pickle.dumps(pool)
    except NotImplementedError:
        pass


def check_initializer():
    with Pool(2, remember, ("kept",)) as pool:
        assert pool.map(recall, range(4)) == ["kept"] * 4


EXIT = """
import sys, time, allcores
def slow(x):
    time.sleep(30)
def fast(x):
    return x
if __name__ == "__main__":
    pool = allcores.Pool(2)
    if sys.argv[1] == "forgotten":
        pool.map_async(slow, range(4))
        pool.job
    elif sys.argv[1] == "closed":
        result = pool.map_async(fast, range(4), callback=print)
        pool.close()
        pool.join()
    elif sys.argv[1] == "interrupted":
        result = pool.map_async(slow, range(4))
        pool.job
        raise KeyboardInterrupt
    print(pool.job.id)
"""


def run_exit(how):
    with open("exits.py", "w") as file:
        file.write(EXIT)
    began = time.monotonic()
    done = subprocess.run([sys.executable, "exits.py", how], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, universal_newlines=True)
    return done.stdout, done.stderr, time.monotonic() - began


def check_exit():
    out, err, took = run_exit("forgotten")
    assert allcores.Job(out.split()[-1]).wait(10)["state"] == "cancelled", (out, err)
    assert took < 20, "the end of a program waits for a forgotten pool"
    out, err, _ = run_exit("closed")
    assert "[0, 1, 2, 3]" in out and not err, (out, err)
    _, err, _ = run_exit("interrupted")
    job = allcores.Job(err.partition("allcores: job ")[2].split()[0])
    assert job.status()["state"] not in ("cancelled", "failed"), err
    assert "results" in err and "cancel" in err, err
    job.cancel()


def main():
    warnings.simplefilter("error", ResourceWarning)
    for check in (check_endless, check_chunks, check_errors, check_initializer, check_exit):
        began = time.monotonic()
        check()
        print("{0}: {1:.2f} s".format(check.__name__, time.monotonic() - began), file=sys.stderr)


if __name__ == "__main__":
    main()
