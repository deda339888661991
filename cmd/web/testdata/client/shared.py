"""Checks the shared objects: what they do in a task, on the client, and between both."""
import pickle
import queue
import threading
import time
import unittest

import allcores


class Point:
    def __init__(self, x):
        self.x = x

    def __eq__(self, other):
        return self.x == other.x


def in_task(name):
    """Runs a check of this module inside a task."""
    globals()[name]()


def check_value():
    v = allcores.Value("v", 5)
    assert v.get() == 5 and v.add(2) == 7 and v.value == 7
    v.value = (1, {2: b"x"})
    assert v.value == (1, {2: b"x"}) and type(v.value) is tuple
    v.set(1)
    assert not v.compare_exchange(2, 3) and v.compare_exchange(1, 3) and v.value == 3
    with v.get_lock():
        with v.get_lock():
            v.value += 1
    assert allcores.Value("v", 5).value == 4
    with Raises(ValueError):
        allcores.Queue("v").put(1)


def check_queue():
    q = allcores.Queue("q", 2)
    q.put({"a": [1.5, None]})
    q.put(Point(3))
    assert q.full() and q.qsize() == 2 and not q.empty()
    with Raises(queue.Full):
        q.put(1, timeout=0.01)
    assert q.get() == {"a": [1.5, None]} and q.get().x == 3
    with Raises(queue.Empty):
        q.get_nowait()
    began = time.monotonic()
    with Raises(queue.Empty):
        q.get(timeout=0.1)
    assert time.monotonic() - began >= 0.1
    q.task_done()
    q.task_done()
    q.join()
    with Raises(ValueError):
        q.task_done()


def check_pipe():
    a, b = allcores.Pipe("p")
    a.send((1, "x"))
    assert b.poll() and b.recv() == (1, "x") and not b.poll(0.01)
    b.send_bytes(b"abcdef", 1, 3)
    assert a.recv_bytes() == b"bcd"
    a.close()
    with Raises(EOFError):
        b.recv()
    with Raises(OSError):
        a.send(1)
    reader, writer = allcores.Pipe("one-way", duplex=False)
    with Raises(OSError):
        reader.send(1)
    writer.send(None)
    assert reader.recv() is None


def check_containers():
    a = allcores.Array("a", "i", 4)
    a[:] = [4, 3, 2, 1]
    assert list(a) == [4, 3, 2, 1] and a[-1] == 1 and a[::2] == [4, 2] and len(a) == 4 and a.add(0, 6) == 10
    with Raises(IndexError):
        a[4]
    with Raises(TypeError):
        a[0] = 1.5
    with Raises(OverflowError):
        a[0] = 1 << 40
    assert allcores.Array("d", "d", [1, 2.5])[:] == [1.0, 2.5]
    d = allcores.Dict("dict", {"x": 1})
    d[(1, "t")] = {2}
    d[3] = None
    assert d["x"] == 1 and d[(1, "t")] == {2} and d.get("no", 7) == 7 and 3 in d and len(d) == 3
    assert d.copy() == {"x": 1, (1, "t"): {2}, 3: None} and list(d) == ["x", (1, "t"), 3]
    assert d.pop("x") == 1 and d.pop("x", 0) == 0 and d.setdefault("y", []) == [] and d.add("n", 2) == 2
    for call in (lambda: d["no"], lambda: d.pop("no"), lambda: d.__delitem__("no")):
        with Raises(KeyError):
            call()
    with Raises(TypeError):
        d[[]] = 1
    d.clear()
    d.update({"k": "v"}, w=1)
    assert d.items() == [("k", "v"), ("w", 1)] and str(d) == "{'k': 'v', 'w': 1}" and d.popitem() == ("w", 1)
    items = allcores.List("l", [3, 1])
    items.append(Point(9))
    items.extend("ab")
    assert items.pop() == "b" and items.pop(2).x == 9 and items[:] == [3, 1, "a"] and items.index(1) == 1 and items.count(3) == 1
    items.insert(0, 2)
    del items[-1]
    items.sort()
    items.reverse()
    assert str(items) == "[3, 2, 1]" and 2 in items and items + [0] == [3, 2, 1, 0] and items * 2 == [3, 2, 1] * 2
    items[0:2] = ["z"]
    items.remove("z")
    items += [5]
    assert list(reversed(items)) == [5, 1]
    with Raises(ValueError):
        items.remove("no")
    with Raises(IndexError):
        items[9]


def check_locks():
    lock = allcores.Lock("lock")
    with lock:
        assert lock.locked() and not lock.acquire(False) and not lock.acquire(timeout=0.01)
    with Raises(ValueError):
        lock.release()
    with allcores.RLock("r") as first, allcores.RLock("r") as second:
        assert first and second
    e = allcores.Event("e")
    assert not e.is_set() and not e.wait(0.01)
    e.set()
    assert e.wait()
    s = allcores.Semaphore("s", 2)
    assert s.acquire() and s.acquire() and not s.acquire(False) and s.get_value() == 0
    s.release()
    b = allcores.BoundedSemaphore("b", 1)
    with Raises(ValueError):
        b.release()
    c = allcores.Condition("c")
    with Raises(RuntimeError):
        c.notify()
    with c:
        assert not c.wait(0.01) and not c.wait_for(lambda: False, 0.01)
    barrier = allcores.Barrier("bar", 2)
    with Raises(threading.BrokenBarrierError):
        barrier.wait(0.01)
    assert barrier.broken and barrier.parties == 2
    barrier.reset()
    numbers = []
    threads = [threading.Thread(target=lambda: numbers.append(barrier.wait())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == [0, 1] and barrier.n_waiting == 0


def check_bounds():
    with Raises(allcores.SharedBoundsError):
        allcores.Value("n" * 257, 0).get()
    with Raises(TypeError):
        allcores.Value("")
    allcores.Value("large").set("x" * (600 << 10))
    assert len(allcores.Value("large").get()) == 600 << 10
    allcores.Value("pickled").set(b"x" * (3 << 20))  # a blob
    assert len(allcores.Value("pickled").get()) == 3 << 20
    allcores.progress(0.5, "half")
    with Raises(ValueError):
        allcores.progress(1.5)


def waits_for_item():
    return allcores.Queue("handed").get()


def puts_item():
    allcores.Queue("handed").put("over")


def uses_manager(d, items, lock, total):
    with lock:
        d[len(d)] = "task"
    items.put(("from", "task"))
    with total.get_lock():
        total.value += 1
    return pickle.dumps(d) is not None


def passes_on(value):
    return value.add(1)


class Raises:
    """Checks that its block raises an exception."""

    def __init__(self, kind):
        self.kind = kind

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        assert kind is not None and issubclass(kind, self.kind), (self.kind, kind, value)
        return True


class Shared(unittest.TestCase):
    def test_in_task(self):
        with allcores.Executor(1) as ex:
            for future in [ex.submit(in_task, name) for name in sorted(globals()) if name.startswith("check_")]:
                future.result(60)

    def test_waiting_tasks(self):
        with allcores.Executor(2) as ex:
            waiting = ex.submit(waits_for_item)
            ex.submit(puts_item).result(60)
            self.assertEqual(waiting.result(60), "over")

    def test_manager(self):
        with allcores.Manager() as m, allcores.Executor(2) as ex:
            d, items, lock, total = m.dict(), m.Queue(), m.Lock(), m.Value("i", 0)
            self.assertTrue(all(f.result(60) for f in [ex.submit(uses_manager, d, items, lock, total) for _ in range(4)]))
            self.assertEqual((len(d), total.value), (4, 4))
            self.assertEqual([items.get() for _ in range(4)], [("from", "task")] * 4)
            self.assertEqual(ex.submit(passes_on, total).result(60), 5)
        with self.assertRaises(Exception):
            d.copy()
        with self.assertRaises(RuntimeError):
            m.dict()

    def test_client(self):
        """The checks of tasks hold on the client, where objects need a scope."""
        made = {name: getattr(allcores, name) for name in dir(allcores) if name in allcores.__all__}
        with allcores.Manager() as m:
            class InScope:
                def __getattr__(self, name):
                    found = made[name]
                    if name in ("Value", "Queue", "Pipe", "Array", "Dict", "List", "Lock", "RLock", "Event", "Semaphore",
                                "BoundedSemaphore", "Condition", "Barrier"):
                        return lambda *args, **more: found(*args, scope=m.scope, **more)
                    return found

            globals()["allcores"], before = InScope(), allcores
            try:
                for name in sorted(globals()):
                    if name.startswith("check_") and name != "check_bounds":
                        with self.subTest(name):
                            globals()[name]()
            finally:
                globals()["allcores"] = before

    def test_locks_of_clients(self):
        with allcores.Manager() as m:
            lock, order = m.RLock(), []
            lock.acquire()

            def other():
                with lock:
                    order.append("other")

            thread = threading.Thread(target=other)
            thread.start()
            time.sleep(0.05)
            order.append("first")
            lock.release()
            thread.join()
            self.assertEqual(order, ["first", "other"])

    def test_outside_without_scope(self):
        with self.assertRaises(RuntimeError):
            allcores.Value("v")


if __name__ == "__main__":
    unittest.main()
