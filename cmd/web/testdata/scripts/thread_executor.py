from concurrent.futures import ThreadPoolExecutor
import threading

local = {"main": threading.get_ident()}


def length(text):
    assert threading.get_ident() != local["main"]
    return len(text)


if __name__ == "__main__":
    with ThreadPoolExecutor(max_workers=3) as executor:
        print(list(executor.map(length, ["one", "three", "fourteen"])))
        print(executor.submit(pow, 323, 1235, 1000).result())
