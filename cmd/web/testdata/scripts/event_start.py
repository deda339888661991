# sorted
import multiprocessing
import time


def runner(name, start, finished):
    start.wait()
    print(name, "runs, start is set:", start.is_set())
    finished.put(name)


def impatient(start):
    print("impatient: wait gave", start.wait(0.05))


if __name__ == "__main__":
    start, finished = multiprocessing.Event(), multiprocessing.Queue()
    early = multiprocessing.Process(target=impatient, args=(start,))
    early.start()
    early.join()
    runners = [multiprocessing.Process(target=runner, args=("runner %d" % i, start, finished)) for i in range(3)]
    for r in runners:
        r.start()
    time.sleep(0.1)
    print("finished before the start:", finished.qsize())
    start.set()
    for r in runners:
        r.join()
    print("finished:", sorted(finished.get() for _ in runners))
