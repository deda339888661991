

# The threads of an executor's session: one sends, one receives; and the end of the program.


def _send(session):
    """Make the job, append the inputs to it as they come, and seal it."""
    try:
        job = session._open_job()
        with session.changed:
            session.job = job
            session.changed.notify_all()
        while _send_next(session):
            pass
    except BaseException as e:
        session.fail(e)
    try:
        if session.job is not None:
            patience = None if session.broken is None else 0.0
            path = "/api/v1/jobs/{0}/seal".format(session.job.id)
            session.api.request("POST", path, accept=(404, 409), patience=patience)  # it may have ended
    except BaseException as e:
        session.fail(e)
    finally:
        with session.changed:
            session.sealed = True
            session.changed.notify_all()


def _send_next(session):
    """Send what there is, or wait. Returns False once the session is closed and all is sent.

    It keeps no future: one that is completed is the caller's alone.
    """
    with session.changed:
        if not (session.outbox.waiting or session.orders or session.closed):
            session.changed.wait(_KEEP_ALIVE)
        if session.broken is not None:
            return False
        orders, session.orders = session.orders, []
        inputs, first = session.outbox.take(session)
        closed = session.closed
    if inputs:
        lines = [session.program._finish(*line) for line in inputs]
        session.program.upload(session.job)
        _append_inputs(session, lines, first)
    while orders:
        _obey(session, orders.pop(0))
        inputs = True
    if not inputs and not closed:
        session.api.request("POST", "/api/v1/jobs/{0}/keep-alive".format(session.job.id), accept=(404, 405, 409))
    return bool(inputs) or not closed


def _append_inputs(session, lines, first):
    """Append inputs to the job; the first gets the index."""
    path, key = "/api/v1/jobs/{0}/tasks".format(session.job.id), "{0}-{1}".format(session.job.id, first)
    answer = session.api.json("POST", path, b"\n".join(lines), content_type="application/x-ndjson", key=key)
    if answer["first"] != first:
        raise Error("the job has {0} inputs where {1} were sent: another client appends to it".format(answer["first"], first))
    with session.changed:
        session.outbox.appended = first + len(lines)
        session.changed.notify_all()


def _obey(session, order):
    """Cancel futures on the server; None for all that wait there."""
    if order is None:
        _await_start(session)
        path = "/api/v1/jobs/{0}/cancel?waiting=true".format(session.job.id)
        session.api.request("POST", path, accept=(404, 405, 409), patience=5.0)
        return
    indexes = [future._index for future in order if not future.done()]
    path = "/api/v1/jobs/{0}/tasks/cancel".format(session.job.id)
    for i in range(0, len(indexes), 10000):  # the results say which of them were cancelled
        session.api.request("POST", path, {"indexes": indexes[i : i + 10000]}, accept=(404, 405, 409, 422), patience=5.0)


def _await_start(session):
    """Give tasks that were just appended the time to start."""
    deadline = time.monotonic() + 0.3
    while time.monotonic() < deadline:
        counts = session.api.json("GET", "/api/v1/jobs/{0}".format(session.job.id))["counts"]
        if counts["total"] > counts["waiting"]:
            return
        time.sleep(0.005)


def _receive(session):
    """Complete the futures as results come."""
    try:
        with session.changed:
            while session.job is None:
                if session.broken is not None:
                    return
                session.changed.wait()
        path = "/api/v1/jobs/{0}/results?follow=true&order=completion".format(session.job.id)
        while session.broken is None:
            if _read_results(session, path + session.printer.query()):
                break
        _finish_rest(session)
    except BaseException as e:
        session.fail(e)
    finally:
        session.api.close()
        _sessions.discard(session)
        _close_all(session.api._idle)


def _read_results(session, path):
    """Read a stream of results. Returns whether it ended because the job has."""
    from http.client import HTTPException

    response = session.api.stream("GET", path)
    rest = b""
    with contextlib.closing(response):
        try:
            while True:
                data = response.read1(1 << 18)
                if not data:
                    return not rest
                data = rest + data
                end = data.rfind(b"\n") + 1
                rest = data[end:]
                if end:
                    _deliver(session, data[: end - 1])
                data = None
        except (OSError, HTTPException):
            return False


def _deliver(session, data):
    """Complete the futures of lines of results."""
    lines = json.loads(b"[" + data.replace(b"\n", b",") + b"]")
    if b'{"log":' in data:
        lines = session.printer.print(lines)
    del data
    get = session.program._get
    with session.lock:
        # None of one that was delivered before the stream broke, or cancelled.
        found = [(session.futures.pop(line["index"], None), line) for line in lines]
    del lines
    found.reverse()
    while found:
        future, line = found.pop()
        if future is None:
            continue
        state = line["state"]
        if state == "cancelled":
            future._end_cancelled()
            continue
        value = error = None
        try:
            if state == "succeeded":
                value = line["output"]
                if type(value) is dict:
                    value = _decode(value, get)
            else:
                error = _failure(line["error"], get)
        except BaseException as e:
            error = _lazy_class("WorkerDied")("the result cannot be unpickled here: {0}: {1}".format(type(e).__name__, e))
            error.__cause__ = e
        line = None
        future._finish(value, error)
        if getattr(error, "_allcores_kind", None) == "initializer":
            _break(session, error)
        future = value = error = None


def _break(session, error):
    """Break the session because the initializer failed, and end its job."""
    session.fail(error)
    with contextlib.suppress(Error):
        session.api.request("POST", "/api/v1/jobs/{0}/cancel".format(session.job.id), accept=(404, 409), patience=5.0)


def _finish_rest(session):
    """End the futures that got no result although the job has ended."""
    with session.changed:
        if not session.closed and session.broken is None:
            session.broken = "the job of this executor has ended"
        while not session.sealed:
            session.changed.notify_all()
            session.changed.wait(1.0)
        futures, waiting = list(session.futures.values()), [future for future, _ in session.outbox.waiting]
        session.futures.clear()
        session.outbox.waiting.clear()
    for future in futures + waiting:
        future._end_cancelled()


def _at_exit():
    """Wait, as the interpreter ends, for the calls of all executors."""
    global _exiting
    _exiting = True
    sessions = list(_sessions)
    for session in sessions:
        session.close()
    interrupted = getattr(sys, "last_type", None) is KeyboardInterrupt
    try:
        for session in sessions:
            if not interrupted:
                session.join()
    except KeyboardInterrupt:
        interrupted = True
    if interrupted:
        for session in sessions:
            if session in _sessions and not session.left:
                session.leave()


if hasattr(threading, "_register_atexit"):
    threading._register_atexit(_at_exit)
else:
    import atexit

    atexit.register(_at_exit)


def _after_fork():
    global _forks
    _forks += 1
    _sessions.clear()  # their threads are the parent's


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
