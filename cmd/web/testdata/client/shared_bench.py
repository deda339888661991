"""Measures calls on shared objects, by two tasks, beside multiprocessing.Manager."""
import json
import multiprocessing
import sys
import time


def rate(calls, count):
    began = time.perf_counter()
    for _ in range(count):
        calls()
    return began, time.perf_counter(), count


def add(count):
    import allcores

    hits = allcores.Value("hits", 0)
    hits.add(0)
    meet()
    return rate(hits.add, count)


def put(count):
    import allcores

    items = allcores.Queue("items")
    meet()
    return rate(lambda: items.put("an item"), count)


def get(count):
    import allcores

    items = allcores.Queue("items")
    meet()
    return rate(items.get, count)


def meet():
    import allcores

    allcores.Barrier("start", 2).wait(60)


def ping(count):
    import allcores

    there, back = allcores.Queue("there"), allcores.Queue("back")
    times = []
    for _ in range(count):
        began = time.perf_counter()
        there.put(1)
        back.get()
        times.append((time.perf_counter() - began) / 2)
    return sorted(times)[count // 2]


def pong(count):
    import allcores

    there, back = allcores.Queue("there"), allcores.Queue("back")
    for _ in range(count):
        back.put(there.get())


def manager_calls(value, start, count):
    start.wait(60)
    return rate(value.get, count)


def together(spans):
    """Returns calls a second of all, from the first one's start to the last one's end."""
    return sum(n for _, _, n in spans) / (max(end for _, end, _ in spans) - min(began for began, _, _ in spans))


def main(count):
    import allcores

    found = {}
    with allcores.Executor(2, name="adds") as ex:
        found["adds/s"] = together([f.result() for f in [ex.submit(add, count), ex.submit(add, count)]])
    with allcores.Executor(2, name="queue") as ex:
        found["items/s"] = together([f.result() for f in [ex.submit(put, count), ex.submit(get, count)]]) / 2
    with allcores.Executor(2, name="ping") as ex:
        other = ex.submit(pong, 500)
        found["get-after-put-ms"] = 1000 * ex.submit(ping, 500).result()
        other.result()
    manager = multiprocessing.Manager()
    value, start = manager.Value("i", 0), manager.Barrier(2)
    with multiprocessing.Pool(2) as pool:
        found["manager-calls/s"] = together(pool.starmap(manager_calls, [(value, start, count)] * 2, chunksize=1))
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]))
