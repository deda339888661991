"""Submits, maps, waits and follows while the server is killed and started again.

Writes a byte to standard output when a third of the work is done, and one at two thirds.
"""
import os
import threading
import time

import allcores

ITEMS = 900


def work(x):
    time.sleep(0.002)
    return x * x


def main():
    done, lock, marks = [0], threading.Lock(), [ITEMS, 2 * ITEMS]
    errors = []

    def count():
        with lock:
            done[0] += 1
            if marks and done[0] >= marks[0]:
                marks.pop(0)
                os.write(1, b".")

    def part(run):
        def guarded():
            try:
                run()
            except BaseException as e:
                errors.append("{0}: {1!r}".format(run.__name__, e))

        thread = threading.Thread(target=guarded)
        thread.start()
        return thread

    def follow():
        job = allcores.Job.submit(work, range(ITEMS), name="followed")
        seen = []
        for value in job.results(progress=False):
            seen.append(value)
            count()
        assert seen == [x * x for x in range(ITEMS)], len(seen)
        counts = job.status()["counts"]
        assert counts["total"] == counts["succeeded"] == ITEMS, counts

    def submit():
        with allcores.Executor(2, name="submitted") as ex:
            futures = []
            for x in range(ITEMS):
                futures.append(ex.submit(work, x))
                futures[-1].add_done_callback(lambda _: count())
                time.sleep(0.005)
            assert [f.result() for f in futures] == [x * x for x in range(ITEMS)]
            job = ex.job
        counts = job.wait(60)["counts"]
        assert counts["total"] == counts["succeeded"] == ITEMS, counts

    def pool():
        with allcores.Pool(2, name="pooled") as p:
            seen = []
            for value in p.imap(work, range(ITEMS)):
                seen.append(value)
                count()
        assert seen == [x * x for x in range(ITEMS)], len(seen)
        counts = p.job.wait(60)["counts"]
        assert counts["total"] == counts["succeeded"] == ITEMS, counts

    threads = [part(run) for run in (follow, submit, pool)]
    for thread in threads:
        thread.join()
    assert not errors, errors
    assert not marks, "the server was not killed twice"


if __name__ == "__main__":
    main()
