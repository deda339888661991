"""Celery with Redis as broker and result backend: the application that a worker
loads, and, run as a program, its client.

    celerypeer.py one COUNT    each round sends COUNT tasks, one after the other
    celerypeer.py all COUNT    each round sends COUNT tasks as one group

Each line on standard input asks for one round and is answered with a line of
JSON: a list of seconds from sending to having the output, of each task or of
the group. ALLCORES_BENCH_REDIS is the path of Redis's socket.
"""

import json
import os
import sys
import time

from celery import Celery, group

redis = "redis+socket://" + os.environ["ALLCORES_BENCH_REDIS"]
app = Celery("bench", broker=redis, backend=redis)

PATIENCE = 60  # seconds


@app.task(name="square")
def square(x):
    return x * x


def one(count):
    took = []
    for x in range(count):
        began = time.perf_counter()
        output = square.delay(x).get(timeout=PATIENCE)
        took.append(time.perf_counter() - began)
        if output != x * x:
            sys.exit("celery: wrong output")
    return took


def all(count):
    began = time.perf_counter()
    outputs = group(square.s(x) for x in range(count))().get(timeout=PATIENCE)
    took = time.perf_counter() - began
    if outputs != [x * x for x in range(count)]:
        sys.exit("celery: wrong outputs")
    return [took]


def main():
    run, count = {"one": one, "all": all}[sys.argv[1]], int(sys.argv[2])
    one(20)
    for _ in sys.stdin:
        print(json.dumps(run(count)), flush=True)


if __name__ == "__main__":
    main()
