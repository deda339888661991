# sorted
import multiprocessing


class Task:
    def __init__(self, a, b):
        self.a, self.b = a, b

    def __call__(self):
        return "%s * %s = %s" % (self.a, self.b, self.a * self.b)


def consume(tasks, results):
    while True:
        task = tasks.get()
        if task is None:
            tasks.task_done()
            break
        results.put(task())
        tasks.task_done()


if __name__ == "__main__":
    tasks, results = multiprocessing.JoinableQueue(), multiprocessing.Queue()
    count = 2
    workers = [multiprocessing.Process(target=consume, args=(tasks, results)) for _ in range(count)]
    for w in workers:
        w.start()
    for i in range(6):
        tasks.put(Task(i, i))
    for _ in workers:
        tasks.put(None)
    tasks.join()
    for _ in range(6):
        print(results.get())
    for w in workers:
        w.join()
