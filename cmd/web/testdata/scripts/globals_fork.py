"""Uses what the parent made before it started its processes, as fork allows."""
from multiprocessing import Lock, Process, Queue, Value

counter = Value("i", 0)
lock = Lock()
queue = Queue()
squares = []


def work(numbers):
    for n in numbers:
        squares.append(n * n)
        with lock:
            counter.value += 1
    queue.put(squares)


if __name__ == "__main__":
    p = Process(target=work, args=([1, 2, 3],))
    p.start()
    print("child:", queue.get())
    p.join()
    print("parent:", squares)
    print("counter:", counter.value)
