"""Runs CPython's tests of multiprocessing.Pool with allcores.Pool in its place."""
import multiprocessing
import sys
import unittest

import allcores

multiprocessing.Pool = allcores.Pool  # before the suite binds it

import test._test_multiprocessing as suite  # noqa: E402

LEFT_OUT = {
    "test_pool_worker_lifetime": "reads the processes in the private field _pool",
    "test_worker_finalization_via_atexit_handler_of_multiprocessing": "runs a program with the standard library's own Pool",
}


suite.install_tests_in_module_dict(globals(), "spawn")  # in a worker too, which runs this file as __mp_main__


def main():
    tests = unittest.TestSuite()
    for name in ("WithProcessesTestPool", "WithProcessesTestPoolWorkerErrors", "WithProcessesTestPoolWorkerLifetime"):
        for test in unittest.defaultTestLoader.loadTestsFromTestCase(globals()[name]):
            if test._testMethodName not in LEFT_OUT:
                tests.addTest(test)
    if len(sys.argv) > 1:
        tests = unittest.TestSuite(t for group in [tests] for t in group if t._testMethodName in sys.argv[1:])
    result = unittest.TextTestRunner(stream=sys.stderr, verbosity=2).run(tests)
    if result.testsRun < (1 if sys.argv[1:] else 25) or result.skipped:
        sys.exit("{0} tests ran, {1} skipped".format(result.testsRun, result.skipped))
    sys.exit(not result.wasSuccessful())


if __name__ == "__main__":
    main()
