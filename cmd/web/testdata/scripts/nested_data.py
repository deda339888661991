from multiprocessing import Manager, Pool


class Point:
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __repr__(self):
        return "Point(%r, %r)" % (self.x, self.y)

    def __eq__(self, other):
        return (self.x, self.y) == (other.x, other.y)


def move(task):
    point, log, shared = task
    shared[point.x] = Point(point.x + 1, point.y)
    log.append({"from": point, "path": [(point.x, point.y), (point.x + 1, point.y)]})
    return {"moved": shared[point.x], 1: (None, True, b"raw", {1, 2})}


if __name__ == "__main__":
    with Manager() as manager:
        log, shared = manager.list(), manager.dict()
        with Pool(2) as pool:
            results = pool.map(move, [(Point(i, -i), log, shared) for i in range(3)])
        for result in results:
            print(result)
        for entry in sorted(log, key=lambda e: e["from"].x):
            print(entry)
        print(sorted(shared.items(), key=lambda item: item[0]))
        space = manager.Namespace()
        space.total, space.name = 3, "points"
        print(space.total, space.name)
