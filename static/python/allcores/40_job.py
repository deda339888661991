

_ENDED = ("succeeded", "failed", "cancelled")


class Outcome:
    """How a task ended: `index`, `state`, and `value` or `error`.

    `state` is "succeeded", "failed" or "cancelled". `value` is what the task returned, and
    `error` the exception that it raised, else None.
    """

    __slots__ = ("index", "state", "value", "error")

    def __init__(self, index: int, state: str, value: Any = None, error: Optional[BaseException] = None):
        self.index, self.state, self.value, self.error = index, state, value, error

    def result(self) -> Any:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value

    def __repr__(self):
        what = "error={0!r}".format(self.error) if self.error is not None else "value={0!r}".format(self.value)
        return "Outcome(index={0}, state={1!r}, {2})".format(self.index, self.state, what)


class Job:
    """A job on the server.

        from allcores import Job

        job = Job.submit(square, range(1000), name="squares")
        print(job.id)

    The job needs no client from here on. Later, anywhere:

        for value in Job("0195...").results():
            print(value)

    A Job that does not exist is found out by the first call that asks the server.
    `url` and `token` are those of `Executor`.
    """

    def __init__(self, id: str, *, url: Optional[str] = None, token: Optional[str] = None, _api: Any = None):
        self.id = str(id)
        self._api = _api or Api(url, token)
        self._path = "/api/v1/jobs/" + _quoted(self.id)

    @classmethod
    def submit(
        cls,
        fn: Callable[..., Any],
        iterable: Iterable[Any],
        *,
        star: bool = False,
        name: Optional[str] = None,
        queue: Optional[str] = None,
        priority: Optional[int] = None,
        tags: Iterable[str] = (),
        url: Optional[str] = None,
        token: Optional[str] = None,
        **policy: Any,
    ) -> "Job":
        """Submit fn(item) for each item of iterable, and return the job at once.

        With star, an item is a tuple of arguments. The iterable is read once and sent in
        parts, so it may be longer than memory is large. When it raises, the job is cancelled
        and the exception goes on. Further keywords are the job's policy, such as
        `processes=4`, `timeout="30s"`, `max_attempts=3`, `memory_limit="512MiB"`.

            job = Job.submit(resize, paths, processes=8, timeout=60, tags=["photos"])
        """
        program = ClientProgram(Api(url, token))
        batches = _batches(program.input(fn, tuple(item) if star else (item,)) for item in iterable)
        first = next(batches)  # what these inputs need goes with the job
        job = program.open_job(name or getattr(fn, "__name__", None), queue, priority, tags, policy)
        _append(job, itertools.chain([first], batches), before=program.upload)
        return job

    def status(self) -> Dict[str, Any]:
        """Return the job as the server describes it: state, counts, rate, eta_seconds and more."""
        return self._api.json("GET", self._path)

    def outcomes(
        self, after: int = -1, *, ordered: bool = True, follow: bool = True, progress: Optional[bool] = None
    ) -> Iterator[Outcome]:
        """Yield an Outcome for each task after index `after`, as `results` does, and raise no task's error."""
        for line in self._lines(after, ordered, follow, progress):
            yield _outcome_of(line, self._api)

    def results(
        self,
        after: int = -1,
        *,
        ordered: bool = True,
        follow: bool = True,
        errors: str = "raise",
        progress: Optional[bool] = None,
    ) -> Iterator[Any]:
        """Yield the tasks' values in the order of the inputs, as they come, until the job has ended.

        `after` is the index of the last task that was seen: the values go on after it, in
        another process too. A connection that breaks is made again, and a server that starts
        again goes on, so nothing is lost or seen twice.

        A task that failed raises its exception. With errors="return" the exception is yielded
        in its place. ordered=False yields values as tasks end, follow=False only those that
        have ended by now. progress shows a line on the terminal: None, if standard error is one.
        """
        if errors not in ("raise", "return"):
            raise ValueError('errors must be "raise" or "return", not {0!r}'.format(errors))
        return self._values(after, ordered, follow, errors, progress)

    def _values(self, after, ordered, follow, errors, progress):
        for outcome in self.outcomes(after, ordered=ordered, follow=follow, progress=progress):
            if outcome.error is None:
                yield outcome.value
            elif errors == "return":
                yield outcome.error
            else:
                raise outcome.error

    def wait(self, timeout: Optional[float] = None, *, progress: Optional[bool] = None) -> Dict[str, Any]:
        """Wait until the job has ended and return its status. TimeoutError after timeout seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with _Bar(self, progress) as bar:
            bar.show()
            while True:
                left = 60.0 if deadline is None else max(0.0, min(60.0, deadline - time.monotonic()))
                job = self._api.json("GET", "{0}?wait={1}".format(self._path, math.ceil(left)), timeout=left + 30)
                if job["state"] in _ENDED:
                    return job
                if deadline is not None and time.monotonic() >= deadline:
                    raise TimeoutError("job {0} has not ended within {1} seconds".format(self.id, timeout))

    def cancel(self) -> Dict[str, Any]:
        """End the job: waiting tasks do not start, running ones are stopped. Return its status."""
        return self._api.json("POST", self._path + "/cancel")

    def retry(self) -> Dict[str, Any]:
        """Run the failed and cancelled tasks of an ended job again. Return its status."""
        return self._api.json("POST", self._path + "/retry")

    def errors(self) -> List[Dict[str, Any]]:
        """Return the failures grouped by kind and message: count, first index and an example each."""
        return self._api.json("GET", self._path + "/errors")["items"]

    def logs(self, task: Optional[int] = None, *, follow: bool = False) -> Iterator[Dict[str, Any]]:
        """Yield what the tasks printed: task, stream, line and at. follow goes on until the job has ended."""
        query = {} if task is None else {"task": task}
        return self._log_lines(query, follow)

    def _log_lines(self, query, follow):
        if follow:
            query = dict(query, follow="true")
        after, sent = 0, 0  # the seq of the last line, and how many lines had it
        while True:
            again = 0
            stream = self._stream("/logs", dict(query, after=max(after - 1, 0)))
            for line in stream:
                seq = line.get("seq", after)
                if seq < after:
                    continue
                if seq == after and again < sent:
                    again += 1
                    continue
                if seq > after:
                    after, sent, again = seq, 0, 0
                sent, again = sent + 1, again + 1
                yield line
            if not stream.broke and (not follow or self.status()["state"] in _ENDED):
                return

    def _lines(self, after, ordered, follow, progress):
        """Yield the lines of the job's results, each once, over as many connections as it takes."""
        query = {"follow": "true"} if follow else {}
        if not ordered:
            query["order"] = "completion"
        seen = _Seen(after)
        with _Bar(self, progress if follow else False) as bar:
            while True:
                if ordered and seen.below > 0:
                    query["after"] = seen.below - 1
                news = False
                bar.show()
                stream = self._stream("/results", query)
                for line in stream:
                    if not seen.add(line["index"]):
                        continue
                    news = True
                    bar.hide()
                    yield line
                    bar.show()
                if stream.broke or news and follow:
                    continue  # it may have broken between two lines
                if not follow or self.status()["state"] in _ENDED:
                    return

    def _stream(self, path, query):
        return _LineStream(self._api, self._path + path + "?" + _query(query))

    def __eq__(self, other):
        return isinstance(other, Job) and (self.id, self._api.url) == (other.id, other._api.url)

    def __hash__(self):
        return hash((self.id, self._api.url))

    def __repr__(self):
        return "Job({0!r})".format(self.id)


def _quoted(text):
    import urllib.parse

    return urllib.parse.quote(text, safe="")


def _query(values):
    import urllib.parse

    return urllib.parse.urlencode(values)


def _outcome_of(line, api):
    """Return the Outcome in a line of results."""
    get = functools.partial(_get_blob, api)
    index, state = line["index"], line["state"]
    if state == "succeeded":
        try:
            return Outcome(index, state, _decode(line.get("output"), get))
        except Error:
            raise
        except Exception as broken:
            what = "the result of task {0} cannot be unpickled here: {1}: {2}"
            error = _lazy_class("WorkerDied")(what.format(index, type(broken).__name__, broken))
            error.__cause__ = broken
            return Outcome(index, state, error=error)
    if state == "failed":
        return Outcome(index, state, error=_failure(line["error"], get))
    return Outcome(index, state, error=concurrent.futures.CancelledError("task {0} was cancelled".format(index)))


def _get_blob(api, sha):
    """Return the bytes of a blob."""
    return api.request("GET", "/api/v1/blobs/" + sha)[1]


class _LineStream:
    """The lines of an NDJSON response. After the last one, broke says whether it was cut."""

    def __init__(self, api, path):
        self._response = api.stream("GET", path)
        self.broke = False

    def __iter__(self):
        from http.client import HTTPException

        with contextlib.closing(self._response) as response:
            try:
                for line in iter(response.readline, b""):
                    if not line.endswith(b"\n"):
                        break
                    if line.strip():
                        yield json.loads(line)
                else:
                    return
            except (OSError, HTTPException):
                pass
            self.broke = True


class _Seen:
    """The set of task indexes that were seen. It is small while they come nearly in order."""

    def __init__(self, after):
        self.below = after + 1  # all below were seen
        self._more = set()

    def add(self, index):
        """Add index, and report whether it is new."""
        if index < self.below or index in self._more:
            return False
        self._more.add(index)
        while self.below in self._more:
            self._more.remove(self.below)
            self.below += 1
        return True


def _batches(lines):
    """Yield lists of inputs of a few MiB each, at least one list."""
    batch, size, any_yet = [], 0, False
    for line in lines:
        batch.append(line)
        size += len(line) + 1
        if size >= 4 << 20 or len(batch) >= 10000:
            yield batch
            batch, size, any_yet = [], 0, True
    if batch or not any_yet:
        yield batch


def _append(job, batches, before=None):
    """Append encoded inputs to an open job, a request for each batch, and seal it.

    Each request counts once, whatever becomes of its answer. before(job) is called ahead of
    each, to send what its inputs refer to. When batches raises, the job is cancelled.
    """
    try:
        first, batch = 0, next(batches, [])
        while batch is not None:
            after = next(batches, None)
            if before:
                before(job)
            job._api.json(
                "POST",
                "{0}/tasks{1}".format(job._path, "?seal=true" if after is None else ""),
                b"".join(line + b"\n" for line in batch),
                content_type="application/x-ndjson",
                key="{0}-{1}".format(job.id, first),
            )
            first, batch = first + len(batch), after
    except BaseException:
        with contextlib.suppress(Exception):
            job.cancel()
        raise
