# sorted
import multiprocessing


class Worker(multiprocessing.Process):
    def __init__(self, number, queue):
        super().__init__(name="worker-%d" % number)
        self.number = number
        self.queue = queue

    def run(self):
        print("%s runs" % self.name)
        self.queue.put((self.number, multiprocessing.current_process().name))


if __name__ == "__main__":
    queue = multiprocessing.Queue()
    workers = [Worker(i, queue) for i in range(3)]
    for w in workers:
        w.start()
    for number, name in sorted(queue.get() for _ in workers):
        print("result", number, name)
    for w in workers:
        w.join()
        print(w.name, w.exitcode)
