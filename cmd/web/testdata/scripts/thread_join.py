"""Starts threads and waits for them."""
import threading
import time


def greet(name, delay):
    time.sleep(delay)
    print("hello from", name)


if __name__ == "__main__":
    threads = [threading.Thread(target=greet, args=("thread %d" % i, i * 0.02)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("all threads are done")
