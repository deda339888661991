"""Runs CPython's own tests of concurrent.futures against allcores.Executor.

    python3 futures_suite.py [PATTERN ...]

The tests come from the package test of the interpreter that runs this. A pattern, in the
manner of fnmatch, selects tests by "Class.method". What is left out is named with its reason.
"""
import contextlib
import fnmatch
import importlib
import os
import sys
import unittest

import allcores

MODULES = (
    "test.test_concurrent_futures",
    "test.test_concurrent_futures.test_process_pool",
    "test.test_concurrent_futures.test_wait",
    "test.test_concurrent_futures.test_as_completed",
    "test.test_concurrent_futures.test_shutdown",
    "test.test_concurrent_futures.test_init",
    "test.test_concurrent_futures.test_deadlock",
)

# The classes with the tests of any executor, and those of a ProcessPoolExecutor.
TEMPLATES = (
    "InitializerMixin",
    "FailingInitializerMixin",
    "ExecutorShutdownTest",
    "ProcessPoolShutdownTest",
    "WaitTests",
    "AsCompletedTests",
    "ExecutorTest",
    "ProcessPoolExecutorTest",
    "ProcessPoolExecutorMixin",
    "ExecutorDeadlockTest",
)

PRIVATE = "looks into private fields of ProcessPoolExecutor"
MANAGER = "passes objects of a Manager of this program to workers"
MOCKED = "replaces internals of concurrent.futures.process"

LEFT_OUT = {
    "ProcessPoolShutdownTest.test_processes_terminate": PRIVATE,
    "ProcessPoolShutdownTest.test_context_manager_shutdown": PRIVATE,
    "ProcessPoolShutdownTest.test_del_shutdown": PRIVATE,
    "ProcessPoolShutdownTest.test_shutdown_no_wait": PRIVATE,
    "ProcessPoolExecutorTest.test_killed_child": PRIVATE,
    "ProcessPoolExecutorTest.test_saturation": PRIVATE,
    "ProcessPoolExecutorTest.test_idle_process_reuse_one": PRIVATE,
    "ProcessPoolExecutorTest.test_idle_process_reuse_multiple": PRIVATE,
    "ProcessPoolExecutorTest.test_max_tasks_per_child": PRIVATE,
    "ProcessPoolExecutorTest.test_max_tasks_per_child_defaults_to_spawn_context": PRIVATE,
    "ProcessPoolExecutorTest.test_ressources_gced_in_workers": MANAGER,
    "ProcessPoolExecutorTest.test_python_finalization_error": MOCKED,
    "ExecutorDeadlockTest.test_crash_big_data": PRIVATE,
    "ExecutorDeadlockTest.test_gh105829_should_not_deadlock_if_wakeup_pipe_full": MOCKED,
    "ExecutorDeadlockTest.test_shutdown_deadlock_pickle": PRIVATE,
}

# Goes before a script of the suite, which imports the executor from the library: that
# finds ours, imported no sooner than the library's would be. Some scripts rely on a module
# that only the suite imports.
PREFIX = """
import multiprocessing, sys
sys.path.insert(0, {path!r})
import concurrent.futures
def ours(name):
    concurrent.futures.Executor = concurrent.futures._base.Executor
    import allcores
    concurrent.futures.Executor = allcores.Executor
    return allcores.Executor
del concurrent.futures.Executor
concurrent.futures.__getattr__ = ours
"""


def adapted(util):
    """Return the mixin that makes the tests use our executor."""

    class AllcoresMixin(util.ExecutorMixin):
        executor_type = allcores.Executor
        ctx = "spawn"

    return AllcoresMixin


class WithoutLogQueue:
    """Of FailingInitializerMixin: the queue of a Manager of this program, to read the worker's log from, is left out."""

    def setUp(self):
        self.executor_kwargs = dict(initializer=sys.modules[self.module].init_fail)
        super(sys.modules[self.module].FailingInitializerMixin, self).setUp()

    @contextlib.contextmanager
    def _assert_logged(self, msg):
        yield


def cases():
    """Return the test cases, made as the suite makes its own."""
    made, seen = [], set()
    for name in MODULES:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        if hasattr(module, "assert_python_ok"):
            module.assert_python_ok = with_ours(module.assert_python_ok)
        try:
            util = importlib.import_module("test.test_concurrent_futures.util")
        except ImportError:
            util = module  # before Python 3.13 the suite is one module
        for template in TEMPLATES:
            base = vars(module).get(template)
            if base is None or base in seen or base.__module__.endswith((".util", ".executor")):
                continue
            if any(issubclass(vars(module).get(other, int), base) for other in TEMPLATES if other != template):
                continue  # its tests are those of the other class too
            seen.add(base)
            bases = (base, adapted(util), util.BaseTestCase)
            if template == "FailingInitializerMixin":
                bases = (WithoutLogQueue,) + bases
            made.append(type(template, bases, {"module": name, "__module__": __name__}))
    return made


def importable(made):
    """Make the test cases members of this module, in which workers look for them."""
    for case in made:
        globals()[case.__name__] = case
    return made


def with_ours(run):
    """Return assert_python_ok for scripts that find our executor where they import the library's."""
    prefix = PREFIX.format(path=os.path.dirname(os.path.abspath(allcores.__file__)))

    def assert_python_ok(option, code, *args, **env):
        return run(option, prefix + code, *args, **env)

    return assert_python_ok


def suite(patterns):
    """Return the selected tests, and the names of those left out."""
    chosen, left = unittest.TestSuite(), []
    for case in CASES:
        for method in unittest.defaultTestLoader.getTestCaseNames(case):
            name = "{0}.{1}".format(case.__name__, method)
            if patterns and not any(fnmatch.fnmatch(name, p) for p in patterns):
                continue
            if name in LEFT_OUT:
                left.append(name)
            else:
                chosen.addTest(case(method))
    return chosen, left


CASES = importable(cases())

if __name__ == "__main__":
    tests, left = suite(sys.argv[1:])
    for name in left:
        print("left out: {0}: {1}".format(name, LEFT_OUT[name]))
    result = unittest.TextTestRunner(verbosity=2, stream=sys.stdout).run(tests)
    sys.exit(not result.wasSuccessful() or result.testsRun == 0)
