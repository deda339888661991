"""Checks Job: submitting, results, reattaching, errors, logs, cancelling and retrying."""
import contextlib
import itertools
import os
import sys
import threading
import time

import allcores
from allcores import Job


class OwnError(Exception):
    """An error with an attribute."""

    def __init__(self, number):
        super().__init__("number {0}".format(number))
        self.number = number


def square(x):
    return x * x


def add(a, b):
    return a + b


def picky(x):
    print("looking at", x)
    if x % 3 == 0:
        raise OwnError(x)
    return {"x": x, "t": (x,)}


def slow(x):
    time.sleep(x)
    return x


def once(path):
    """Fail the first time."""
    if not os.path.exists(path):
        open(path, "w").close()
        raise ValueError("first")
    return "second"


@contextlib.contextmanager
def raises(kind, text=""):
    try:
        yield
    except kind as e:
        assert text in str(e), "{0!r} does not contain {1!r}".format(str(e), text)
    else:
        raise AssertionError("no {0} was raised".format(kind.__name__))


def check_results():
    job = Job.submit(square, range(25), name="squares", tags=["demo"], processes=2)
    assert list(job.results()) == [x * x for x in range(25)]
    again = Job(job.id)
    assert again == job and list(again.results(after=19)) == [x * x for x in range(20, 25)]
    assert sorted(again.results(ordered=False)) == sorted(x * x for x in range(25))
    status = again.status()
    assert (status["name"], status["tags"], status["state"]) == ("squares", ["demo"], "succeeded"), status
    assert status["policy"]["processes"] == 2, status
    assert again.wait(0)["state"] == "succeeded"
    assert list(Job.submit(add, [(1, 2), ("a", "b")], star=True).results()) == [3, "ab"]
    assert list(Job.submit(square, []).results()) == []


def check_errors():
    job = Job.submit(picky, range(5), name="picky")
    outcomes = list(job.outcomes())
    assert [o.index for o in outcomes] == list(range(5))
    assert [o.state for o in outcomes] == ["failed", "succeeded", "succeeded", "failed", "succeeded"]
    assert outcomes[1].result() == {"x": 1, "t": (1,)}
    error = outcomes[3].error
    assert type(error) is OwnError and error.number == 3, repr(error)
    assert "raise OwnError(x)" in str(error.__cause__), error.__cause__
    mixed = list(job.results(errors="return"))
    assert type(mixed[0]) is OwnError and mixed[1] == {"x": 1, "t": (1,)}
    with raises(OwnError, "number 0"):
        list(job.results())
    with raises(ValueError, "errors must be"):
        job.results(errors="ignore")
    assert [e["count"] for e in job.errors()] == [2]
    assert sorted(line["line"] for line in job.logs()) == ["looking at {0}".format(x) for x in range(5)]
    assert [line["line"] for line in job.logs(3, follow=True)] == ["looking at 3"]
    with raises(allcores.ApiError, "404"):
        Job("01a21f4c-0000-7b90-b33f-099c9da3829b").status()


def check_control():
    job = Job.submit(slow, [30] * 4, processes=1)
    with raises(allcores.TimeoutError, "0.2 seconds"):
        job.wait(0.2)
    assert job.cancel()["state"] == "cancelled"
    with raises(Exception, "was cancelled"):
        list(job.results())
    job = Job.submit(once, [os.path.abspath("mark")])
    with raises(ValueError, "first"):
        list(job.results())
    job.retry()
    assert list(job.results()) == ["second"]


def check_plain_jobs():
    api = allcores.Api()
    program = {"command": {"argv": ["sh", "-c", "echo $1; exit $2", "sh", "{}", "{}"]}}
    made = api.json("POST", "/api/v1/jobs", {"program": program, "inputs": {"items": ["0", "3"]}})
    outcomes = list(Job(made["id"]).outcomes())
    assert outcomes[0].value == "0" and type(outcomes[1].error) is allcores.TaskError, outcomes
    assert outcomes[1].error.type == "exit 3"


def check_streaming():
    """An iterable is read once and sent in parts, and one that fails leaves no job that waits for more."""
    job = Job.submit(square, (x for x in range(30000)))
    total = 0
    for x, value in zip(itertools.count(), job.results()):
        assert value == x * x
        total += 1
    assert total == 30000
    seen = []

    def broken():
        for x in range(20001):
            yield x
        raise RuntimeError("no more")

    before = {j["id"] for j in allcores.Api().json("GET", "/api/v1/jobs?limit=1000")["items"]}
    with raises(RuntimeError, "no more"):
        seen.append(Job.submit(square, broken()))
    after = allcores.Api().json("GET", "/api/v1/jobs?limit=1000")["items"]
    assert [j["state"] for j in after if j["id"] not in before] == ["cancelled"], after
    with raises(Exception, "pickle"):
        Job.submit(square, [threading.Lock()])


def main():
    for check in (check_results, check_errors, check_control, check_plain_jobs, check_streaming):
        began = time.monotonic()
        check()
        print("{0}: {1:.2f} s".format(check.__name__, time.monotonic() - began), file=sys.stderr)


if __name__ == "__main__":
    main()
