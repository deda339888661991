"""Runs a workload in one of Python's own pools.

    peers.py PEER FUNCTION START STOP PROCESSES CHUNK

Each line on standard input asks for one round and is answered with a line of
JSON: a list with the seconds that the round's map took. The processes are
started before the first round and do not count. CHUNK 0 is the peer's default.
"""

import contextlib
import json
import sys
import time

import workloads


@contextlib.contextmanager
def pool(processes, chunk):
    import multiprocessing

    with multiprocessing.Pool(processes) as pool:
        yield lambda function, inputs: pool.map(function, inputs, chunk or None)


@contextlib.contextmanager
def futures(processes, chunk):
    import concurrent.futures

    with concurrent.futures.ProcessPoolExecutor(processes) as executor:
        yield lambda function, inputs: list(executor.map(function, inputs, chunksize=chunk or 1))


@contextlib.contextmanager
def joblib(processes, chunk):
    from joblib import Parallel, delayed

    with Parallel(n_jobs=processes, batch_size=chunk or "auto") as parallel:
        yield lambda function, inputs: parallel(delayed(function)(x) for x in inputs)


PEERS = {"pool": pool, "futures": futures, "joblib": joblib}


def main():
    peer, name = sys.argv[1:3]
    start, stop, processes, chunk = map(int, sys.argv[3:])
    function = getattr(workloads, name)
    last = function(stop - 1)
    with PEERS[peer](processes, chunk) as run:
        run(workloads.square, range(64))
        for _ in sys.stdin:
            began = time.perf_counter()
            outputs = run(function, range(start, stop))
            took = time.perf_counter() - began
            if len(outputs) != stop - start or outputs[-1] != last:
                sys.exit("%s: wrong outputs" % peer)
            del outputs
            print(json.dumps([took]), flush=True)


if __name__ == "__main__":
    main()
