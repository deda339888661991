"""Checks Executor beyond what CPython's own tests ask: sources, exact values, exceptions."""
import asyncio
import concurrent.futures
import concurrent.futures.process
import contextlib
import dataclasses
import enum
import functools
import gc
import multiprocessing
import operator
import os
import sys
import tempfile
import textwrap
import threading
import time
import unittest
import weakref

import allcores


def same(x):
    return x


def kinds(*args, **kwargs):
    return [type(x) for x in args], {k: type(v) for k, v in kwargs.items()}


def raise_it(e, *args, **kwargs):
    raise e(*args, **kwargs) if isinstance(e, type) else e


def raise_group():
    e = ExceptionGroup("g", [Own(1, "a"), ExceptionGroup("h", [KeyError("b")])])  # noqa: F821
    e.add_note("n")
    raise e


def identical(a, b):
    a.append(1)
    return a is b, b


class Own(Exception):
    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


class Strict(Exception):
    def __init__(self, *, reason):
        super().__init__("because " + reason)
        self.reason = reason


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: float = 0.0

    def moved(self, dx):
        return dataclasses.replace(self, x=self.x + dx)


class Color(enum.Enum):
    RED = 1


class Unpicklable:
    def __reduce__(self):
        raise TypeError("never")

    def __repr__(self):
        return "<an Unpicklable>"


def unpicklable():
    return Unpicklable()


def noted():
    e = ValueError("a", 2)
    e.__notes__ = ["first", "second"]
    e.extra = {"k": (1,)}
    try:
        raise KeyError("cause")
    except KeyError as cause:
        raise e from cause


def die():
    os._exit(3)


def wait_for(path):
    open(path + ".begun", "w").close()
    deadline = time.monotonic() + 30
    while not os.path.exists(path) and time.monotonic() < deadline:
        time.sleep(0.01)


class Counted:
    """Counts how many of it there are in its process."""

    alive = 0

    def __init__(self):
        type(self).alive += 1

    def __del__(self):
        type(self).alive -= 1

    def __reduce__(self):
        return Counted, ()


def alive(*args):
    gc.collect()
    return Counted.alive


def counted_failure(x):
    raise ValueError("no")


def speaks(text):
    print(text)
    print(text + " too", file=sys.stderr)


def counts_calls(calls=[]):
    calls.append(1)
    return len(calls), os.getpid()


EXACT = [
    None, True, 0, -1, 2 ** 63, -(2 ** 63), 2 ** 3000, 0.0, -0.0, 1.0, 1e300, 5e-324, 0.1, float("inf"), "", "é\U0001f600",
    "a\0b", "\ud800", "\u2028", b"", b"\xff", bytearray(b"x"), (), (1,), [], [()], [1, 1.0, True, None, "x"], {}, {"a": [{}]},
    {1: 2}, {None: 1}, {"$allcores": "pickle"}, [{"a": {"$allcores": 1}}], {1, 2}, frozenset("ab"), 1j, range(3), Ellipsis,
    Point(1, 2.0), Color.RED, [Point(1)], {"": 0}, {"\ud800": 1}, "$allcores", [[[[[[]]]]]], list(range(1000)), "x" * 2000000,
]  # fmt: skip


class WithExecutor(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.executor = allcores.Executor(2)

    @classmethod
    def tearDownClass(cls):
        cls.executor.shutdown()


class Values(WithExecutor):
    def call(*args, **kwargs):
        return args[0].executor.submit(*args[1:], **kwargs).result(60)

    def test_exact(self):
        for value, came in zip(EXACT, self.executor.map(same, EXACT, timeout=60)):
            self.assertEqual(repr(came)[:500], repr(value)[:500])
            self.assertEqual(came, value)
            self.assertIs(type(came), type(value))
        nan = self.call(same, [float("nan")])
        self.assertNotEqual(nan[0], nan[0])

    def test_no_class_is_taken_for_another(self):
        class_of = self.call(kinds, 1, 1.0, True, (1,), [1], {"a": 1}, x=(), y={1: 1}, z=[None])
        self.assertEqual(class_of, ([int, float, bool, tuple, list, dict], {"x": tuple, "y": dict, "z": list}))

    def test_deep_and_recursive(self):
        deep = []
        for _ in range(200):
            deep = [deep]
        self.assertEqual(self.call(same, deep), deep)
        loop = []
        loop.append(loop)
        came = self.call(same, loop)
        self.assertIs(came[0], came)

    def test_identity(self):
        a = [0]
        self.assertEqual(self.call(identical, a, a), (True, [0, 1]))
        self.assertEqual(self.call(identical, [0], [0]), (False, [0]))
        large = [b"x" * 500000]
        self.assertEqual(self.call(identical, large, large)[0], True)
        self.assertEqual(self.call(identical, [b"x" * 500000], [b"x" * 500000])[0], False)

    def test_functions(self):
        self.assertEqual(self.call(operator.itemgetter(1), [1, 2]), 2)
        self.assertEqual(self.call(functools.partial(pow, 2), 5), 32)
        self.assertEqual(self.call(Point(1).moved, 2), Point(3))
        self.assertEqual(self.call("a-b".split, "-"), ["a", "b"])
        self.assertEqual(self.call(Point, 4, y=1.0), Point(4, 1.0))
        self.assertEqual(self.call(dict.fromkeys, (1, 2)), {1: None, 2: None})
        self.assertEqual(self.call(dict, fn=1, self=2, task=3), {"fn": 1, "self": 2, "task": 3})

    def test_lambdas(self):
        n = 3
        if sys.modules.get("cloudpickle") or _has("cloudpickle"):
            self.assertEqual(self.call(lambda x: x + n, 4), 7)
        kept = sys.modules.get("cloudpickle")
        sys.modules["cloudpickle"] = None
        try:
            future = self.executor.submit(lambda x: x + n, 4)
            with self.assertRaisesRegex(Exception, "lambda.*cloudpickle"):
                future.result(60)
        finally:
            del sys.modules["cloudpickle"]
            if kept:
                sys.modules["cloudpickle"] = kept

    def test_pickling_errors_land_on_the_future(self):
        future = self.executor.submit(same, Unpicklable())
        with self.assertRaisesRegex(TypeError, "never"):
            future.result(60)
        future = self.executor.submit(same, threading.Lock())
        with self.assertRaises(TypeError):
            future.result(60)
        self.assertEqual(self.call(same, 1), 1)

    def test_large_values(self):
        data = os.urandom(1 << 20) * 16
        self.assertTrue(self.call(same, data) == data)
        self.assertTrue(self.call(same, [data, data[:-1]]) == [data, data[:-1]])
        text = "é" * (3 << 20)
        self.assertTrue(self.call(same, text) == text)

    @unittest.skipUnless("numpy" in sys.modules or os.environ.get("ALLCORES_TEST_NUMPY"), "numpy only by choice")
    def test_numpy(self):
        import numpy

        a = numpy.arange(2 << 20, dtype="f8")
        self.assertTrue((self.call(operator.mul, a, 2) == 2 * a).all())

    def test_no_reference_is_kept(self):
        class Argument:
            pass

        value = set()
        argument = Point(1)
        gone = weakref.ref(argument)
        future = self.executor.submit(same, argument)
        del argument
        self.assertEqual(future.result(60), Point(1))
        gc.collect()
        self.assertIsNone(gone())
        del value, future
        workers = allcores.Executor(1)
        workers.submit(same, Counted()).result(60)
        workers.submit(same, [Counted() for _ in range(3)]).result(60)
        with contextlib.suppress(ValueError):
            workers.submit(counted_failure, Counted()).result(60)
        gc.collect()
        self.assertEqual(workers.submit(alive).result(60), 0)
        self.assertEqual(Counted.alive, 0)
        workers.shutdown()

    def test_result_is_not_kept(self):
        future = self.executor.submit(same, Point(5))
        gone = weakref.ref(future.result(60))
        del future
        gc.collect()
        self.assertIsNone(gone())


def _has(module):
    import importlib.util

    return importlib.util.find_spec(module) is not None


class Exceptions(WithExecutor):
    def failure(self, fn, *args, **kwargs):
        e = self.executor.submit(fn, *args, **kwargs).exception(60)
        self.assertIsNotNone(e)
        return e

    def test_own(self):
        e = self.failure(raise_it, Own, 7, "seven")
        self.assertIs(type(e), Own)
        self.assertEqual((e.code, e.args, str(e)), (7, ("seven",), "seven"))
        e = self.failure(raise_it, Strict, reason="x")
        self.assertEqual((type(e), e.reason, str(e)), (Strict, "x", "because x"))

    def test_cause(self):
        e = self.failure(noted)
        self.assertIs(type(e.__cause__), concurrent.futures.process._RemoteTraceback)
        self.assertIn('raise e from cause', str(e.__cause__))
        self.assertIn("KeyError: 'cause'", str(e.__cause__))
        self.assertEqual((e.args, e.__notes__, e.extra), (("a", 2), ["first", "second"], {"k": (1,)}))

    def test_built_in(self):
        for x in (OSError(2, "No", "file"), KeyError("k"), UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), StopIteration(3),
                  SystemExit(4), KeyboardInterrupt(), AssertionError(), RecursionError("deep"), GeneratorExit()):  # fmt: skip
            e = self.failure(raise_it, x)
            self.assertEqual((type(e), e.args, str(e)), (type(x), x.args, str(x)))
        self.assertEqual(self.failure(raise_it, OSError(2, "No", "file")).filename, "file")

    def test_long_message(self):
        for text in ("x" * (1 << 20), os.urandom(1 << 19).hex()):
            e = self.failure(raise_it, Own, 1, text)
            self.assertTrue(e.args == (text,))

    @unittest.skipIf(sys.version_info < (3, 11), "no groups")
    def test_groups(self):
        e = self.failure(raise_group)
        self.assertEqual((e.message, e.exceptions[0].code, repr(e.exceptions[1].exceptions), e.__notes__), ("g", 1, "(KeyError('b'),)", ["n"]))

    def test_unpicklable_result(self):
        e = self.failure(unpicklable)
        self.assertEqual((type(e), str(e)), (TypeError, "never"))
        e = self.failure(raise_it, OSError("kept"))
        self.assertEqual(str(e), "kept")

    def test_local_class(self):
        e = self.failure(eval, "type('Odd', (Exception,), {})('text')")
        self.assertIsNotNone(e)  # an exception as a result, whose class nobody can import

    def test_dying_process(self):
        e = self.failure(die)
        self.assertIsInstance(e, concurrent.futures.process.BrokenProcessPool)
        self.assertEqual(self.executor.submit(same, 1).result(60), 1)

    def test_timeouts(self):
        future = self.executor.submit(time.sleep, 0.5)
        for kind in (concurrent.futures.TimeoutError, multiprocessing.TimeoutError, allcores.TimeoutError):
            with self.assertRaises(kind):
                future.result(0.01)
        with allcores.Executor(1, timeout=0.2) as ex:
            e = ex.submit(time.sleep, 20).exception(60)
            self.assertIsInstance(e, multiprocessing.TimeoutError)
            self.assertIsInstance(e, concurrent.futures.TimeoutError)

    def test_own_timeout_error_is_the_task_s(self):
        with self.assertRaisesRegex(concurrent.futures.TimeoutError, "mine"):
            self.executor.submit(raise_it, concurrent.futures.TimeoutError("mine")).result(60)

    def test_initializer(self):
        with allcores.Executor(1, initializer=die) as ex:
            with self.assertRaises(concurrent.futures.process.BrokenProcessPool):
                ex.submit(same, 1).result(60)
        ex = allcores.Executor(2, initializer=raise_it, initargs=(Own, 1, "init"))
        futures = [ex.submit(same, i) for i in range(10)]
        for future in futures:
            with self.assertRaises(concurrent.futures.process.BrokenProcessPool) as caught:
                future.result(60)
        self.assertIn("init", str(caught.exception))
        with self.assertRaises(concurrent.futures.process.BrokenProcessPool):
            ex.submit(same, 1)
        ex.shutdown()


class Behaviour(unittest.TestCase):
    def test_arguments(self):
        for wrong in (dict(max_workers=0), dict(max_tasks_per_child=0)):
            with self.assertRaises(ValueError):
                allcores.Executor(**wrong)
        for wrong in (dict(initializer=3), dict(max_tasks_per_child="x"), dict(no_such=1)):
            with self.assertRaises(TypeError):
                allcores.Executor(**wrong)
        with self.assertRaises(allcores.SettingsError):
            allcores.Executor(url="nonsense")
        ex = allcores.Executor(2)
        for wrong in (dict(chunksize=0), dict(buffersize=0)):
            with self.assertRaises(ValueError):
                ex.map(same, [1], **wrong)
        with self.assertRaises(TypeError):
            ex.map(same, [1], buffersize=1.5)
        ex.shutdown()
        with self.assertRaisesRegex(RuntimeError, "cannot schedule new futures after shutdown"):
            ex.submit(same, 1)

    def test_buffersize(self):
        read = []
        with allcores.Executor(2) as ex:
            results = ex.map(same, (read.append(i) or i for i in range(20)), buffersize=3)
            self.assertEqual(len(read), 3)
            self.assertEqual([next(results), next(results)], [0, 1])
            self.assertEqual(len(read), 5)
            self.assertEqual(list(results), list(range(2, 20)))

    def test_wait_and_callbacks(self):
        with allcores.Executor(2) as ex:
            called = []
            futures = [ex.submit(same, i) for i in range(50)]
            futures[3].add_done_callback(lambda f: called.append(f.result()))
            done, not_done = concurrent.futures.wait(futures, timeout=60)
            self.assertEqual((len(done), not_done, called), (50, set(), [3]))
            self.assertEqual(sorted(f.result() for f in concurrent.futures.as_completed(futures)), list(range(50)))

    def test_asyncio(self):
        async def main(ex):
            loop = asyncio.get_running_loop()
            return await asyncio.gather(*[loop.run_in_executor(ex, same, i) for i in range(20)])

        with allcores.Executor(2) as ex:
            self.assertEqual(asyncio.run(main(ex)), list(range(20)))

    def test_max_tasks_per_child(self):
        with allcores.Executor(1, max_tasks_per_child=3) as ex:
            calls = [ex.submit(counts_calls).result(60) for _ in range(7)]
        self.assertEqual([n for n, _ in calls], [1, 2, 3, 1, 2, 3, 1])
        self.assertEqual(len({pid for _, pid in calls}), 3)

    def test_initializer_runs_once_in_a_process(self):
        with allcores.Executor(1, initializer=counts_calls) as ex:
            self.assertEqual([n for n, _ in ex.map(_no_argument, range(5))], [2, 3, 4, 5, 6])

    def test_threads(self):
        with allcores.Executor(1, threads=4) as ex:
            began = time.monotonic()
            names = list(ex.map(_slow_thread, [0.5] * 4))
        self.assertEqual(len(set(names)), 4)
        self.assertLess(time.monotonic() - began, 1.9)

    def test_running_and_cancel(self):
        with tempfile.TemporaryDirectory() as place:
            path = os.path.join(place, "go")
            with allcores.Executor(1) as ex:
                first = ex.submit(wait_for, path)
                others = [ex.submit(same, i) for i in range(5)]
                deadline = time.monotonic() + 60
                while not os.path.exists(path + ".begun") and time.monotonic() < deadline:
                    time.sleep(0.02)
                self.assertTrue(first.running())
                self.assertFalse(first.cancel())
                self.assertTrue(others[4].cancel())
                self.assertTrue(others[4].cancelled() and others[4].done())
                with self.assertRaises(concurrent.futures.CancelledError):
                    others[4].result()
                open(path, "w").close()
                self.assertEqual([f.result(60) for f in others[:4]], [0, 1, 2, 3])
            self.assertEqual(first.result(), None)

    def test_cancel_futures(self):
        for pause in (0, 0.3):
            ex = allcores.Executor(2)
            futures = [ex.submit(time.sleep, 0.1) for _ in range(50)]
            time.sleep(pause)
            ex.shutdown(cancel_futures=True)
            cancelled = [f for f in futures if f.cancelled()]
            self.assertGreater(len(cancelled), 25)
            self.assertTrue(all(f.done() for f in futures))
            self.assertLess(len(cancelled), 50)

    def test_dropped(self):
        futures = [allcores.Executor(1).submit(same, i) for i in range(2)]
        self.assertEqual([f.result(60) for f in futures], [0, 1])

    def test_threads_are_joined(self):
        before = threading.active_count()
        with allcores.Executor(2) as ex:
            ex.submit(same, 1).result(60)
            self.assertGreater(threading.active_count(), before)
        self.assertEqual(threading.active_count(), before)
        self.assertEqual(ex.job.status()["state"], "succeeded")

    def test_job(self):
        with allcores.Executor(3, name="named", tags=["a", "b"], priority=3, max_attempts=2) as ex:
            self.assertEqual(ex.submit(same, 1).result(60), 1)
            status = ex.job.status()
        self.assertEqual((status["name"], sorted(status["tags"]), status["priority"], status["id"]), ("named", ["a", "b"], 3, ex.job.id))
        self.assertEqual((status["policy"]["processes"], status["policy"]["max_attempts"], status["state"]), (3, 2, "open"))

    def test_fork(self):
        ex = allcores.Executor(1)
        self.assertEqual(ex.submit(same, 1).result(60), 1)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                ex.submit(same, 2)
            except RuntimeError as e:
                status = 0 if "fork" in str(e) else 2
            os._exit(status)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        self.assertEqual(ex.submit(same, 3).result(60), 3)
        ex.shutdown()

    def test_what_calls_print_appears(self):
        import io

        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), allcores.Executor(1) as ex:
            ex.submit(speaks, "word").result(60)
            self.assertEqual((out.getvalue(), err.getvalue()), ("word\n", "word too\n"))

    def test_unreachable(self):
        import socket

        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            url = "http://127.0.0.1:{0}".format(s.getsockname()[1])
        kept = os.environ.get("ALLCORES_RETRY")
        os.environ["ALLCORES_RETRY"] = "0.5"
        try:
            began = time.monotonic()
            with allcores.Executor(1, url=url, token="t") as ex:
                e = ex.submit(same, 1).exception(60)
            self.assertIsInstance(e, allcores.Unreachable)
            self.assertIn(url, str(e))
            self.assertIn("refused", str(e))
            self.assertGreater(time.monotonic() - began, 0.4)
        finally:
            os.environ.pop("ALLCORES_RETRY")
            if kept is not None:
                os.environ["ALLCORES_RETRY"] = kept

    def test_wrong_token(self):
        with allcores.Executor(1, token="wrong") as ex:
            e = ex.submit(same, 1).exception(60)
        self.assertEqual((type(e), e.status), (allcores.ApiError, 401))


def _no_argument(_):
    return counts_calls()


def _slow_thread(seconds):
    time.sleep(seconds)
    return threading.current_thread().name


if __name__ == "__main__":
    unittest.main(verbosity=1)
