from multiprocessing import Pool


def square(x):
    return x * x


def add(a, b):
    return a + b


if __name__ == "__main__":
    with Pool(processes=2) as pool:
        print(pool.map(square, range(10)))
        print(pool.starmap(add, [(1, 2), (3, 4), ("a", "b")]))
        result = pool.apply_async(square, (12,))
        print(result.get(timeout=60))
        print(pool.apply(add, (2, 3)))
        for value in pool.imap(square, range(4)):
            print("next:", value)
