from multiprocessing import Pool, Process, Queue


def square(x):
    return x * x


def produce(queue):
    queue.put("from a process")


if __name__ == "__main__":
    queue = Queue()
    process = Process(target=produce, args=(queue,))
    process.start()
    print(queue.get())
    process.join()
    with Pool(2) as pool:
        print(pool.map(square, [1, 2, 3]))
