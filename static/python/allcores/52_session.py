

class _Outbox:
    """The inputs that are not sent, with their futures. The session's lock guards it."""

    def __init__(self):
        self.waiting = collections.deque()  # future, and input as _input returns it
        self.next = 0  # index of the next input
        self.appended = 0  # how many inputs the server has

    def take(self, session):
        """Return the inputs of one request and the index of the first. Their futures become the session's."""
        inputs, size, first = [], 0, self.next
        while self.waiting and size < _BATCH:
            future, line = self.waiting.popleft()
            if future._append_as(session, self.next):
                session.futures[self.next] = future
                inputs.append(line)
                size += len(line[0]) + 1
                self.next += 1
        return inputs, first


class _Printer:
    """Prints what tasks print, as their processes would on this terminal."""

    def __init__(self, wanted):
        self.wanted = wanted
        self.seq = 0  # of the last line,
        self.since = 0  # how many lines came after the last one with a greater seq,
        self.skip = 0  # and how many of them come again after a stream broke

    def query(self):
        """Return what asks for the lines that were not printed yet."""
        self.skip = self.since
        return "&logs={0}".format(self.seq) if self.wanted else ""

    def print(self, lines):
        """Print the log lines among lines of results, and return the others.

        A line counts as printed before the outcomes behind it are delivered.
        """
        others = []
        for line in lines:
            log = line.get("log")
            if log is None:
                others.append(line)
                continue
            self.since += 1
            if log["seq"] > self.seq:
                self.seq, self.since = log["seq"], 0
            if self.skip:
                self.skip -= 1
                continue
            with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or None
                print(log["line"], file=sys.stderr if log["stream"] == "stderr" else sys.stdout)
        return others


class _Session:
    """The open job of an executor: its calls on their way there and back."""

    def __init__(self, program, workers, open_job, output=True):
        self.printer = _Printer(output)
        self.program, self.workers, self._open_job = program, workers, open_job
        self.api = program._api
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.outbox = _Outbox()
        self.futures = {}  # by index: those that are sent
        self.orders = []  # futures to cancel on the server, or None for all that wait there
        self.job = None
        self.threads = []
        self.closed = self.sealed = self.left = False
        self.broken = None  # why no further call is taken
        self.forks = _forks

    # What the executor calls.

    def check_open(self):
        """Raise what the standard library raises if no call can be taken."""
        if self.forks != _forks:
            raise RuntimeError("this executor was made before a fork; make another one in this process")
        if self.broken is not None:
            raise _lazy_class("WorkerDied")(self.broken)
        if _exiting:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        if self.closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if _importing_main():
            raise RuntimeError(
                "an executor was used while a worker imports the main module, which would start the program again in "
                'each process: put what starts it under if __name__ == "__main__":'
            )

    def put(self, future, line):
        """Take a call."""
        waiting = self.outbox.waiting
        with self.lock:
            if self.closed or self.broken is not None:
                self.check_open()
            waiting.append((future, line))
            if len(waiting) == 1:
                if not self.threads:
                    self._start()
                self.changed.notify_all()

    def opened(self):
        """Return the job, making it if need be."""
        with self.changed:
            if self.job is None and not self.threads:
                self.check_open()
                self._start()
            while self.job is None and self.broken is None:
                self.changed.wait()
            if self.job is None:
                raise self.reason
            return self.job

    def close(self, cancel=False):
        """Take no further calls; with cancel, cancel those that have not started."""
        if self.forks != _forks:
            return
        with self.changed:
            self.closed = True
            cancelled = []
            if cancel:
                waiting = self.outbox.waiting
                keep = 0 if self.futures or self.outbox.appended else self.workers
                while len(waiting) > keep:
                    cancelled.append(waiting.pop()[0])
                if self.futures:
                    self.orders.append(None)
            self.changed.notify_all()
        for future in cancelled:
            future._end_cancelled()

    def join(self):
        """Wait until all calls have ended."""
        if self.forks != _forks:
            return
        me = threading.current_thread()
        for thread in list(self.threads):
            if thread is not me:
                thread.join()
                self.threads.remove(thread)

    def leave(self):
        """Leave the job running after an interrupt, once what was submitted is sent, and print how to go on."""
        with self.changed:
            pending = len(self.futures) + len(self.outbox.waiting)
            self.left = True
        self.close()
        deadline = time.monotonic() + 10
        with self.changed:
            while not self.sealed and self.broken is None and self.threads and time.monotonic() < deadline:
                self.changed.wait(0.5)
        if self.job is not None and pending:
            print(
                "allcores: job {0} goes on. Its results: python3 -m allcores results {0}, or allcores.Job({0!r}).results(); "
                "to cancel it: python3 -m allcores cancel {0}".format(self.job.id),
                file=sys.stderr,
            )

    # What futures call.

    def cancel_task(self, index):
        """Cancel a task if it waits on the server, and report whether it is cancelled."""
        with self.changed:
            while index >= self.outbox.appended and self.broken is None:
                self.changed.wait(1.0)
            if self.job is None or index not in self.futures:
                return False
        try:
            path = "/api/v1/jobs/{0}/tasks/{1}/cancel".format(self.job.id, index)
            status, _ = self.api.request("POST", path, accept=(404, 405, 409), patience=5.0)
        except Error:
            return False
        if status >= 400:
            return False
        with self.changed:
            self.futures.pop(index, None)
        return True

    def is_running(self, index):
        """Report whether a task runs now."""
        with self.changed:
            if index >= self.outbox.appended or self.job is None:
                return False
        try:
            path = "/api/v1/jobs/{0}/tasks/{1}".format(self.job.id, index)
            return self.api.json("GET", path, patience=5.0)["state"] == "running"
        except Error:
            return False

    def cancel_all(self, futures):
        """Cancel the futures that have not started; those that are sent soon after."""
        sent = []
        for future in futures:
            with future._condition:
                index = future._index
                if index is None:
                    Future.cancel(future)
                elif not future.done():
                    sent.append(future)
        if sent:
            with self.changed:
                self.orders.append(None if len(sent) >= len(self.futures) else sent)
                self.changed.notify_all()

    # The threads.

    def _start(self):
        for work in (_send, _receive):
            thread = threading.Thread(target=work, args=(self,), daemon=True, name="allcores" + work.__name__)
            self.threads.append(thread)
        _sessions.add(self)
        for thread in self.threads:
            thread.start()

    def fail(self, error):
        """Break the session: all its calls fail with an error."""
        with self.changed:
            if self.broken is None:
                self.broken, self.reason = str(error) or type(error).__name__, error
            futures = list(self.futures.values()) + [future for future, _ in self.outbox.waiting]
            self.futures.clear()
            self.outbox.waiting.clear()
            self.changed.notify_all()
        for future in futures:
            future._finish(None, error)


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
    """Append inputs to the job, of which the first gets an index."""
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
    for future in order:
        if not future.done():
            future.cancel()


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
