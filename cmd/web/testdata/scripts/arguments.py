"""Shows what the script was started with."""
import multiprocessing
import os
import sys


def show(queue):
    queue.put((sys.argv[1:], os.environ.get("TUTORIAL_WORD"), multiprocessing.current_process().name,
               multiprocessing.parent_process().name))


if __name__ == "__main__":
    os.environ["TUTORIAL_WORD"] = "inherited"
    queue = multiprocessing.Queue()
    p = multiprocessing.Process(target=show, args=(queue,))
    p.start()
    print(queue.get())
    p.join()
    print(sys.argv[1:], __name__, multiprocessing.current_process().name, os.path.basename(__file__))
