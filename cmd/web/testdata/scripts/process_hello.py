"""The smallest program with a process."""
from multiprocessing import Process


def hello(name, punctuation="!"):
    print("hello, " + name + punctuation)


if __name__ == "__main__":
    p = Process(target=hello, args=("bob",), kwargs={"punctuation": "?"})
    print("before:", p.is_alive(), p.exitcode)
    p.start()
    p.join()
    print("after:", p.is_alive(), p.exitcode)
