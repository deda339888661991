# sorted
import multiprocessing as mp
import time


def work(n):
    time.sleep((5 - n) * 0.01)
    return n, n ** 3


if __name__ == "__main__":
    pool = mp.Pool(2)
    for n, cube in pool.imap_unordered(work, range(5)):
        print("%d cubed is %d" % (n, cube))
    pool.close()
    pool.join()
    print("zz end")
