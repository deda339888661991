# sorted
from concurrent.futures import ProcessPoolExecutor, as_completed


def invert(x):
    return 1 / x


if __name__ == "__main__":
    with ProcessPoolExecutor(max_workers=2) as executor:
        futures = {executor.submit(invert, x): x for x in [4, 2, 0, 5]}
        for future in as_completed(futures):
            x = futures[future]
            try:
                print("1/%d = %s" % (x, future.result()))
            except ZeroDivisionError as e:
                print("1/%d: %s" % (x, e))
