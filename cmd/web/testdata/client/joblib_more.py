"""Checks what joblib's own tests of backends do not: options, jobs on the server, local modules, GridSearchCV."""
import os
import sys

import joblib
from joblib import Parallel, delayed

import allcores
import allcores.joblib

config = getattr(joblib, "parallel_config", joblib.parallel_backend)


class OwnError(Exception):
    """An error with a number."""

    def __init__(self, number):
        super().__init__("number {0}".format(number))
        self.number = number


def picky(x):
    if x == 3:
        raise OwnError(x)
    return x


def threads(_):
    return os.environ.get("OMP_NUM_THREADS")


def latest():
    return allcores.Api().json("GET", "/api/v1/jobs?tag=joblib&limit=1")["items"][0]


def check_options():
    with config("allcores", n_jobs=2, name="squares", tags=["joblib"], max_attempts=2):
        assert Parallel()(delayed(pow)(x, 2) for x in range(50)) == [x * x for x in range(50)]
    job = allcores.Job(latest()["id"]).wait(20)
    assert (job["name"], job["tags"], job["state"]) == ("squares", ["joblib"], "succeeded"), job
    first = allcores.Api().json("GET", "/api/v1/jobs/{0}/tasks/0".format(job["id"]))
    assert "pow(0, 2)" in first["input"]["call"]["repr"] and "[0" in first["output"]["repr"], first
    first = allcores.Api().json("GET", "/api/v1/jobs/{0}/tasks/0".format(job["id"]))
    assert "pow(0, 2)" in first["input"]["call"]["repr"] and "[0" in first["output"]["repr"], first
    assert job["policy"]["processes"] == 2 and job["policy"]["max_attempts"] == 2, job["policy"]
    with config("allcores", inner_max_num_threads=1):
        assert Parallel(n_jobs=2)(delayed(threads)(x) for x in range(2)) == ["1", "1"]
    assert allcores.joblib() is None  # may be called too
    assert Parallel(n_jobs=-1, backend="allcores")(delayed(abs)(x) for x in (-1, 2)) == [1, 2]


def check_errors():
    for managed in (False, True):
        parallel = Parallel(n_jobs=2, backend="allcores")
        try:
            if managed:
                with parallel:
                    parallel(delayed(picky)(x) for x in range(6))
            else:
                parallel(delayed(picky)(x) for x in range(6))
        except OwnError as e:
            assert e.number == 3 and "raise OwnError(x)" in str(e.__cause__)
        else:
            raise AssertionError("the error is lost")


def check_local():
    with open("near.py", "w") as file:
        file.write("def twice(x):\n    return 2 * x\n")
    sys.path.insert(0, os.getcwd())
    import near

    offset = 5
    assert Parallel(n_jobs=2, backend="allcores")(delayed(near.twice)(x) for x in range(4)) == [0, 2, 4, 6]
    assert Parallel(n_jobs=2, backend="allcores")(delayed(lambda x: near.twice(x) + offset)(x) for x in range(3)) == [5, 7, 9]


def check_grid_search():
    try:
        from sklearn.datasets import load_iris
        from sklearn.model_selection import GridSearchCV
        from sklearn.svm import SVC
    except ImportError:
        return
    found = []
    for backend in ("loky", "allcores"):
        with config(backend, n_jobs=2):
            search = GridSearchCV(SVC(random_state=0), {"C": [0.1, 1, 10], "kernel": ["linear", "rbf"]}, cv=3)
            search.fit(*load_iris(return_X_y=True))
        found.append((search.best_params_, search.best_score_, list(search.cv_results_["mean_test_score"])))
    assert found[0] == found[1], found


def main():
    for check in (check_options, check_errors, check_local, check_grid_search):
        check()


if __name__ == "__main__":
    main()
