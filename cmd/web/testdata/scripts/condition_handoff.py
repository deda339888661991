from multiprocessing import Condition, Manager, Process


def consumer(condition, box):
    with condition:
        condition.wait_for(lambda: len(box) > 0)
        print("consumer took", box.pop())
        condition.notify_all()


if __name__ == "__main__":
    manager = Manager()
    condition, box = Condition(), manager.list()
    p = Process(target=consumer, args=(condition, box))
    p.start()
    with condition:
        box.append("parcel")
        condition.notify()
    with condition:
        print("box is empty:", condition.wait_for(lambda: len(box) == 0, timeout=60))
    p.join()
    print("done", p.exitcode)
