"""More processes that wait for each other than a queue has slots."""
import multiprocessing


def meet(barrier, numbers):
    numbers.put(barrier.wait())


if __name__ == "__main__":
    barrier, numbers = multiprocessing.Barrier(20), multiprocessing.SimpleQueue()
    processes = [multiprocessing.Process(target=meet, args=(barrier, numbers)) for _ in range(20)]
    for p in processes:
        p.start()
    for p in processes:
        p.join()
    print(sorted(numbers.get() for _ in processes) == list(range(20)))
