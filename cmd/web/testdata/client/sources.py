"""Checks that what works with ProcessPoolExecutor under spawn works with Executor: which
sources travel, what __main__ is, and what a program prints and leaves when it ends."""
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest

import allcores


class Place:
    """A directory with a program's files, in which it runs."""

    def __init__(self, main="", modules={}):
        self.directory = tempfile.TemporaryDirectory()
        for name, text in dict(modules, main=main).items():
            path = os.path.join(self.directory.name, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path + ".py", "w") as file:
                file.write(textwrap.dedent(text))

    def command(self, *arguments, **env):
        env = dict(os.environ, **env)
        env["PYTHONPATH"] = os.path.dirname(os.path.abspath(allcores.__file__))
        return dict(args=[sys.executable] + list(arguments), cwd=self.directory.name, env=env)

    def run(self, *arguments, **env):
        done = subprocess.run(
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, timeout=120, **self.command(*arguments, **env)
        )
        self.directory.cleanup()
        return done.stdout, done.stderr, done.returncode


PACKAGE = {
    "pack/__init__": "from .inner import add\nVERSION = 3\n",
    "pack/inner": "from . import other\nfrom .deep.leaf import LEAF\ndef add(a, b):\n    return other.plus(a, b) + LEAF\n",
    "pack/other": "def plus(a, b):\n    import late_module\n    return late_module.total([a, b])\n",
    "pack/deep/__init__": "",
    "pack/deep/leaf": "from ..other import plus\nLEAF = 100\n",
    "late_module": "import importlib\ndef total(x):\n    return importlib.import_module('by_name').do(sum, x)\n",
    "by_name": "def do(f, x):\n    return f(x)\n",
    "space/part": "class Part:\n    def __init__(self, n):\n        self.n = n\n    def twice(self):\n        return Part(2 * self.n)\n",
}


class Sources(unittest.TestCase):
    def check(self, place, arguments, expected):
        out, err, status = place.run(*arguments)
        self.assertEqual((out, status), (textwrap.dedent(expected), 0), err)

    def test_modules(self):
        place = Place(
            """
                import allcores, pack, space.part
                from pack import inner

                def mine(n):
                    return space.part.Part(n).twice().n

                if __name__ == "__main__":
                    with allcores.Executor(2) as ex:
                        print(ex.submit(pack.add, 1, 2).result())
                        print(ex.submit(inner.add, 1, 2).result())
                        part = ex.submit(space.part.Part(4).twice).result()
                        print(type(part).__module__, part.n)
                        print(list(ex.map(mine, range(3))))
            """,
            PACKAGE,
        )
        self.check(place, ["main.py"], "103\n103\nspace.part 8\n[0, 2, 4]\n")

    def test_modules_imported_later(self):
        place = Place(
            """
                import allcores
                from operator import neg

                def here(x):
                    return x + 1

                if __name__ == "__main__":
                    with allcores.Executor(1) as ex:
                        print(ex.submit(neg, 5).result())
                        print(ex.submit(here, 5).result())
                        import pack
                        print(ex.submit(pack.add, 1, 2).result())
                        import space.part
                        print(ex.submit(space.part.Part(4).twice).result().n)
                        print(ex.submit(here, 6).result())
            """,
            PACKAGE,
        )
        self.check(place, ["main.py"], "-5\n6\n103\n8\n7\n")

    def test_module_of_a_package_as_main(self):
        program = """
            import sys
            from . import help
            from allcores import Executor

            def work(x):
                return help.double(x), __name__

            if __name__ == "__main__":
                with Executor(1) as ex:
                    print(ex.submit(work, 4).result(), sys.argv[1:])
        """
        place = Place("", {"app/__init__": "", "app/run": program, "app/help": "def double(x):\n    return 2 * x\n"})
        self.check(place, ["-m", "app.run", "a", "b"], "(8, '__mp_main__') ['a', 'b']\n")

    def test_classes_of_main(self):
        place = Place(
            """
                import dataclasses, enum, os, sys
                import allcores

                ARGUMENTS = sys.argv[1:]
                state = []

                @dataclasses.dataclass
                class Point:
                    x: int

                class Color(enum.Enum):
                    RED = 1

                class Wrong(Exception):
                    pass

                def f(point, color):
                    state.append(1)
                    assert color is Color.RED and sys.modules["__main__"] is sys.modules["__mp_main__"]
                    return Point(point.x + 1), color, __name__, ARGUMENTS, len(state), __file__

                def g():
                    raise Wrong("w")

                if __name__ == "__main__":
                    state.append(0)
                    with allcores.Executor(1) as ex:
                        point, color, *rest = ex.submit(f, Point(1), Color.RED).result()
                        print(point, type(point) is Point, color is Color.RED, rest[:3], rest[3] == os.path.abspath(__file__) or rest[3])
                        try:
                            ex.submit(g).result()
                        except Wrong as e:
                            print("caught", e, 'raise Wrong("w")' in str(e.__cause__))
            """
        )
        self.check(place, ["main.py", "z"], "Point(x=2) True True ['__mp_main__', ['z'], 1] True\ncaught w True\n")

    def test_no_guard(self):
        place = Place(
            """
                import allcores

                def f(x):
                    return x

                ex = allcores.Executor(1)
                print(ex.submit(f, 1).result(60))
            """
        )
        out, err, status = place.run("main.py")
        self.assertEqual((out, status), ("", 1))
        self.assertIn('if __name__ == "__main__":', err)

    def test_main_that_fails_to_import(self):
        place = Place(
            """
                import allcores
                if __name__ != "__main__":
                    import no_such_module

                def f(x):
                    return x

                if __name__ == "__main__":
                    with allcores.Executor(1) as ex:
                        print(ex.submit(f, 1).exception(60))
            """
        )
        out, err, status = place.run("main.py")
        self.assertEqual(status, 0, err)
        self.assertIn("No module named 'no_such_module'", out)

    def test_standard_input_and_c(self):
        place = Place()
        out, err, status = place.run("-c", "import allcores\nwith allcores.Executor(1) as ex: print(ex.submit(pow, 2, 5).result())")
        self.assertEqual((out, status), ("32\n", 0), err)
        place = Place()
        out, err, status = place.run(
            "-c", "import sys, allcores\nsys.modules['cloudpickle'] = None\ndef f(): pass\n"
            "with allcores.Executor(1) as ex: print(ex.submit(f).exception(60))"
        )  # fmt: skip
        self.assertIn("cloudpickle", out, err)

    def test_a_worker_s_import_has_all(self):
        place = Place(
            """
                import allcores
                from allcores import Executor, Pool

                at_import = Executor(2)

                def f(x):
                    return Executor.__name__, Pool.__name__, allcores.VERSION

                def nested():
                    with allcores.Executor(1) as ex:
                        return ex.submit(pow, 2, 2).result(30)

                if __name__ == "__main__":
                    with Executor(1) as ex:
                        print(ex.submit(f, 1).result()[:2])
                        print(type(ex.submit(nested).exception(60)).__name__)
                    print(at_import.submit(f, 1).result()[1])
            """
        )
        self.check(place, ["main.py"], "('Executor', 'Pool')\nSettingsError\nPool\n")

    def test_exit_waits(self):
        place = Place(
            """
                import time, allcores

                def late(x):
                    time.sleep(0.5)
                    print("done", x)

                if __name__ == "__main__":
                    ex = allcores.Executor(1)
                    ex.submit(late, 1).add_done_callback(lambda f: print("called"))
                    allcores.Executor(1).submit(late, 2)
            """
        )
        out, err, status = place.run("main.py")
        self.assertEqual((sorted(out.split("\n")), status), (["", "called", "done 1", "done 2"], 0), err)

    def test_submit_at_exit(self):
        place = Place(
            """
                import atexit

                @atexit.register
                def last():
                    try:
                        ex.submit(pow, 1, 1)
                    except RuntimeError as e:
                        print(e)

                import allcores
                if __name__ == "__main__":
                    ex = allcores.Executor(1)
                    print(ex.submit(pow, 1, 1).result())
            """
        )
        self.check(place, ["main.py"], "1\ncannot schedule new futures after interpreter shutdown\n")

    def interrupted(self, program):
        """Run a program, interrupt it once it printed a line, and return what it printed and how long it took to end."""
        place = Place(program)
        process = subprocess.Popen(
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, **place.command("-u", "main.py")
        )
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        out, err = process.communicate(timeout=60)
        place.directory.cleanup()
        return line + out, err, process.returncode, time.monotonic() - began

    INTERRUPT = """
        import time, allcores

        def slow(x):
            time.sleep(4)
            return x

        if __name__ == "__main__":
            {0}
                futures = [ex.submit(slow, i) for i in range(2)]
                print(ex.job.id)
                {1}
    """

    def test_interrupt(self):
        for head, wait in (
            ("with allcores.Executor(2) as ex:", "futures[0].result()"),
            ("for ex in [allcores.Executor(2)]:", "futures[0].result()"),
        ):
            out, err, status, seconds = self.interrupted(self.INTERRUPT.format(head, wait))
            job = out.strip()
            self.assertNotEqual(status, 0)
            self.assertLess(seconds, 3, err)
            self.assertIn("results " + job, err)
            self.assertIn("cancel " + job, err)
            self.assertEqual(sorted(allcores.Job(job).results(progress=False)), [0, 1])


if __name__ == "__main__":
    unittest.main(verbosity=1)
