from allcores import Executor, Manager


def square(results, x):
    results[x] = x * x


if __name__ == "__main__":
    with Manager() as manager, Executor() as ex:
        results = manager.dict()
        for x in range(3):
            ex.submit(square, results, x)
        ex.shutdown()
        print(sorted(results.items()))
