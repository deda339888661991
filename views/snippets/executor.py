from concurrent.futures import as_completed

from allcores import Executor


def divide(a, b):
    return a / b


if __name__ == "__main__":
    with Executor(4, name="division", timeout=60, max_attempts=2) as ex:
        print("watch job", ex.job.id)
        futures = {ex.submit(divide, 10, b): b for b in (1, 2, 0)}
        for future in as_completed(futures):
            if future.exception():
                print("10 /", futures[future], "fails:", future.exception())
            else:
                print("10 /", futures[future], "is", future.result())
