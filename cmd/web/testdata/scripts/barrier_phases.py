# sorted
from multiprocessing import Barrier, Process, SimpleQueue


def phase(number, barrier, order):
    order.put("first")
    barrier.wait()
    order.put("second")
    barrier.wait()
    print("process %d passed both" % number)


if __name__ == "__main__":
    barrier, order = Barrier(3), SimpleQueue()
    processes = [Process(target=phase, args=(i, barrier, order)) for i in range(3)]
    for p in processes:
        p.start()
    for p in processes:
        p.join()
    print([order.get() for _ in range(6)])
    print("parties", barrier.parties, "broken", barrier.broken)
