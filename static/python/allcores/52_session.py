

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
                "the main module submits a call while a worker imports it, which would start the program again in each "
                'process: put what starts it under if __name__ == "__main__":'
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
