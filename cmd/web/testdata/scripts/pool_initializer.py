from multiprocessing import Pool, Value

counter = None


def setup(shared):
    global counter
    counter = shared


def count(x):
    with counter.get_lock():
        counter.value += x
    return x


if __name__ == "__main__":
    shared = Value("i", 0)
    with Pool(2, initializer=setup, initargs=(shared,)) as pool:
        pool.map(count, range(20))
    print("total", shared.value)
