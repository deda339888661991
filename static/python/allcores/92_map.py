

def _map_parser(verb):
    sub = verb("map", _verb_map, "call a Python function on each line of a file",
               description="Call FILE:FUNCTION with each line of INPUTS, which are JSON values, and print what it returns,\n"
               "a line each, in the order of the inputs.",
               epilog="example: allcores map script.py:square numbers.ndjson")
    sub.add_argument("function", metavar="FILE:FUNCTION", help="a Python file or module and a function in it, such as script.py:square")
    sub.add_argument("inputs", metavar="INPUTS", nargs="?", default="-", help="a file with one JSON value per line (default: standard input)")
    sub.add_argument("--threads", type=_positive, metavar="N", help="tasks at once inside one process")
    _cli_job_options(sub, "run a task that fails up to N times")


def _verb_map(settings):
    """Map a function over the values of a file."""
    function = _load_function(settings.function)
    spec = _cli_spec(settings, settings.function.rpartition(":")[2])
    policy = spec.pop("policy")
    if settings.threads:
        policy["threads"] = settings.threads
    tags = spec.pop("tags", ())
    url, token = getattr(settings, "url", None), getattr(settings, "token", None)
    with _input_file(settings.inputs) as lines:
        try:
            job = Job.submit(function, _json_lines(lines, settings.inputs), url=url, token=token, tags=tags, **spec, **policy)
        except UnicodeDecodeError as wrong:
            raise _UsageError("allcores map: {0}: is not UTF-8: {1}".format(settings.inputs, wrong))
    return _finish_job(settings, job)


def _finish_job(settings, job):
    """Print a submitted job's outcomes as they come and return the exit status."""
    if settings.detach:
        _out(_json({"id": job.id}) if settings.json else job.id)
        return 0
    ends = _Halt(settings.halt)

    def follow():
        for line in job._lines(-1, True, True, None if not settings.json else False):
            _print_outcome(settings, line, job._api)
            ends.note(job, line)

    _told(job, follow)
    return _summary(settings, job.status(), quiet=not _terminal(sys.stderr))


class _Halt:
    """Ends a job's running tasks once as many failed as --halt now,fail=N says.

    The server starts no further task by then, because the job's policy has the same bound.
    """

    def __init__(self, text):
        when, fails = _halt(text)
        self._bound = fails if when == "now" else None
        self._failed = 0
        self._ended = 0
        self._done = False

    def note(self, job, line):
        """Count an outcome."""
        if self._bound is None or self._done:
            return
        self._ended += 1
        self._failed += line["state"] == "failed"
        if isinstance(self._bound, str):
            if line["state"] != "failed":
                return
            total = job.status()["counts"]["total"]
            over = self._failed * 100 > int(self._bound[:-1]) * total
        else:
            over = self._failed > self._bound
        if over:
            self._done = True
            with contextlib.suppress(Error):
                job.cancel()


def _load_function(text):
    """Return the function that FILE:FUNCTION or MODULE:FUNCTION names."""
    place, _, name = text.rpartition(":")
    if not place or not name:
        raise _UsageError("allcores map: name a function as FILE:FUNCTION, such as script.py:square, not {0!r}".format(text))
    if place.endswith(".py"):
        path = os.path.abspath(place)
        if not os.path.isfile(path):
            raise _UsageError("allcores map: there is no file {0}".format(place))
        directory, module_name = os.path.dirname(path), os.path.basename(path)[:-3]
    else:
        directory, module_name = os.getcwd(), place
    if directory not in sys.path:
        sys.path.insert(0, directory)
    import importlib

    try:
        module = importlib.import_module(module_name)
    except Exception as failed:
        raise _UsageError("allcores map: {0} cannot be imported: {1}: {2}".format(place, type(failed).__name__, failed))
    function = module
    for part in name.split("."):
        function = getattr(function, part, None)
    if not callable(function):
        raise _UsageError("allcores map: {0} has no function {1!r}".format(place, name))
    return function


@contextlib.contextmanager
def _input_file(name):
    """Open a file of inputs, or standard input for "-", as lines of bytes."""
    if name == "-":
        yield sys.stdin.buffer
        return
    try:
        file = open(name, "rb")
    except OSError as failed:
        raise _UsageError("allcores: {0}: {1}".format(name, failed.strerror))
    with file:
        yield file


def _json_lines(lines, name):
    """Yield the JSON values of the lines that are not empty."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield json.loads(line)
        except ValueError as wrong:
            raise _UsageError("allcores map: {0} line {1} is not JSON: {2}".format(name, number, wrong))
