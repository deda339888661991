# sorted
import multiprocessing


def worker(number, queue):
    queue.put("worker %d says hello" % number)
    return number


def done(result):
    print("callback", result)


if __name__ == "__main__":
    manager = multiprocessing.Manager()
    queue = manager.Queue()
    pool = multiprocessing.Pool(2)
    pending = [pool.apply_async(worker, (i, queue), callback=done) for i in range(3)]
    pool.close()
    pool.join()
    for r in pending:
        assert r.successful()
    while not queue.empty():
        print(queue.get())
