import multiprocessing


class Trouble(Exception):
    def __init__(self, code):
        super().__init__("trouble %d" % code)
        self.code = code

    def __reduce__(self):
        return Trouble, (self.code,)


def fail(code):
    raise Trouble(code)


if __name__ == "__main__":
    with multiprocessing.Pool(1) as pool:
        try:
            pool.map(fail, [4])
        except Trouble as e:
            print("caught", e, e.code)
        result = pool.map_async(fail, [5])
        result.wait()
        print(result.ready(), result.successful())
        try:
            multiprocessing.Pool(0)
        except ValueError as e:
            print(e)
