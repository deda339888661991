import multiprocessing as mp


def foo(q):
    q.put("hello")


if __name__ == "__main__":
    mp.set_start_method("spawn")
    print(mp.get_start_method(), mp.cpu_count() > 0)
    ctx = mp.get_context("spawn")
    q = ctx.Queue()
    p = ctx.Process(target=foo, args=(q,))
    p.start()
    print(q.get())
    p.join()
    simple = ctx.SimpleQueue()
    simple.put([1, 2])
    print(simple.get(), simple.empty(), [c.name for c in mp.active_children()])
    try:
        mp.get_context("nosuch")
    except ValueError as e:
        print(e)
