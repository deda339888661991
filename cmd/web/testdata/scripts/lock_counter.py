"""A counter that several processes add to."""
from multiprocessing import Lock, Process, Value


def deposit(balance, lock, times):
    for _ in range(times):
        with lock:
            balance.value += 1


def withdraw(balance, times):
    for _ in range(times):
        with balance.get_lock():
            balance.value -= 1


if __name__ == "__main__":
    balance, lock = Value("i", 200), Lock()
    first = [Process(target=deposit, args=(balance, lock, 25)) for _ in range(3)]
    for p in first:
        p.start()
    for p in first:
        p.join()
    print("after deposits:", balance.value)
    second = Process(target=withdraw, args=(balance, 50))
    second.start()
    second.join()
    print("at the end:", balance.value)
