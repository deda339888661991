"""Runs joblib's own parallel tests with the backend "allcores" in the place of "loky".

Where a test names loky, it means joblib's default backend of processes, so ours takes that
name. Tests of loky's own fields are left out, each with its reason.
"""
import importlib.util
import os
import sys

import joblib.parallel
import pytest

import allcores.joblib

LOKY = "compares the backend's class with loky's"
MAPPED = "looks for memory maps, which loky's processes share with the caller"
LEFT_OUT = {
    "test_backend_context_manager[loky]": LOKY,
    "test_backend_hinting_and_constraints": LOKY,
    "test_nested_parallelism_limit[loky]": LOKY,
    "test_auto_memmap_on_arrays_from_generator[loky]": MAPPED,
    "test_memmapping_leaks[loky]": MAPPED,
    "test_dispatch_multiprocessing[loky]": "sends the proxy of a multiprocessing.Manager, which serves this process's children only",
    "test_nested_loop[back_compat_backend-allcores]": "runs the loop in processes of multiprocessing that have not registered the backend",
}
if importlib.util.find_spec("threadpoolctl") is None:
    for name in ("test_threadpool_limitation_in_child", "test_threadpool_limitation_in_child_context"):
        LEFT_OUT[name] = "needs the package threadpoolctl"


OTHERS = {"threading", "multiprocessing", "sequential"}


def about_us(item):
    """Report whether a test has no parameter that names a backend, or one that is ours."""
    given = list(item.callspec.params.values()) if hasattr(item, "callspec") else []
    ours = {"loky", "allcores"} & {value for value in given if isinstance(value, str)}
    other = [value for value in given if isinstance(value, str) and value in OTHERS or hasattr(value, "get_nested_backend") or hasattr(value, "Pool")]
    return bool(ours) or not other


class Adapter:
    """The plugin of pytest that leaves tests out."""

    ran = 0

    def pytest_collection_modifyitems(self, items):
        items[:] = [item for item in items if about_us(item)]
        for item in items:
            reason = LEFT_OUT.get(item.name) or LEFT_OUT.get(item.originalname)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))

    def pytest_runtest_logreport(self, report):
        self.ran += report.when == "call" and report.passed


def main():
    backends = joblib.parallel.BACKENDS
    backends["loky"] = backends["allcores"]
    path = os.path.join(os.path.dirname(joblib.parallel.__file__), "test", "test_parallel.py")
    adapter = Adapter()
    status = pytest.main(["-q", "-x" if "-x" in sys.argv else "-rfEs", "-p", "no:cacheprovider", path] + [a for a in sys.argv[1:] if a != "-x"], [adapter])
    if not sys.argv[1:] and adapter.ran < 100:
        sys.exit("only {0} tests ran".format(adapter.ran))
    sys.exit(status)


if __name__ == "__main__":
    main()
