"""Measures Executor beside ProcessPoolExecutor: many submits end to end, and one call's latency.

    python3 bench_executor.py [CALLS]

It prints one line a measurement: a name, the seconds, and the processor seconds of this process.
"""
import concurrent.futures
import statistics
import sys
import time

import allcores


def increment(x):
    return x + 1


def many(make, calls):
    """Return the seconds from the first submit to the last result, and this process's share of them."""
    began, used = time.perf_counter(), time.process_time()
    with make() as ex:
        futures = [ex.submit(increment, i) for i in range(calls)]
        total = sum(future.result() for future in futures)
    assert total == calls * (calls + 1) // 2
    return time.perf_counter() - began, time.process_time() - used


def one(ex):
    """Return the median seconds of a call alone."""
    times = []
    for i in range(50):
        began = time.perf_counter()
        ex.submit(increment, i).result()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


if __name__ == "__main__":
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 20000
    for name, make in (("Executor", lambda: allcores.Executor(2)), ("ProcessPoolExecutor", lambda: concurrent.futures.ProcessPoolExecutor(2))):
        wall, cpu = min(many(make, calls) for _ in range(5))
        print("{0} {1} submits {2:.3f} {3:.3f}".format(name, calls, wall, cpu))
        with make() as ex:
            print("{0} one call {1:.4f} 0".format(name, one(ex)))
