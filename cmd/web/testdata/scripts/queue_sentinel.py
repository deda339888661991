"""One producer, one consumer, and None as the end."""
import multiprocessing


def producer(queue):
    for item in ["apple", "pear", ("a", "tuple"), {"n": 1.5}]:
        queue.put(item)
    queue.put(None)


def consumer(queue, results):
    count = 0
    while True:
        item = queue.get()
        if item is None:
            break
        print("got", item, type(item).__name__)
        count += 1
    results.put(count)


if __name__ == "__main__":
    queue, results = multiprocessing.Queue(), multiprocessing.Queue()
    workers = [multiprocessing.Process(target=producer, args=(queue,)),
               multiprocessing.Process(target=consumer, args=(queue, results))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print("items:", results.get())
    print("empty:", queue.empty())
