

# The program of a job, as a client makes it. The worker's side is in 30_worker.py.

_POLICY = frozenset(
    "chunk_size timeout memory_limit max_attempts retry_backoff max_failures cores_per_process "
    "max_tasks_per_process processes threads network halt".split()
)
_IDLE_SEAL = 60  # seconds after which the server seals an executor's job whose client is gone
_KEEP_ALIVE = 15.0  # seconds between two signs of life


class ClientProgram:
    """The program of one job: it encodes calls as inputs and knows what they need.

    Inputs may be made before the job is: what they need by then goes with the job.
    Any thread may make inputs; one at a time sends them.
    """

    def __init__(self, api: Api, initializer: Optional[Callable[..., Any]] = None, initargs: Tuple[Any, ...] = ()):
        self._api = api
        self._initializer, self._initargs = initializer, initargs
        self._lock = threading.Lock()
        self._roots, self._needs = set(), {}  # names of modules; and of functions, what of their inputs never changes
        self._epoch, self._made = 0, None  # how often _roots grew; that number when the job was made
        self._sources = (-1, "")  # epoch, and the manifest of its sources
        self._own_sources = ""  # the manifest that went with the job
        self._blobs, self._sent = {}, set()  # by sha256: not yet sent, and sent

    def open_job(
        self,
        name: Optional[str] = None,
        queue: Optional[str] = None,
        priority: Optional[int] = None,
        tags: Iterable[str] = (),
        policy: Optional[Dict[str, Any]] = None,
        *,
        keep_alive: bool = False,
    ) -> "Job":
        """Make an open job of this program. With keep_alive it is sealed soon after its client dies."""
        policy, python = dict(policy or {}), {}
        for field in ("interpreter", "env"):
            if policy.get(field) is not None:
                python[field] = policy[field]
            policy.pop(field, None)
        spec = {"name": name or _job_name(), "program": {"python": python}, "inputs": {"open": True}, "tags": list(tags)}
        if keep_alive:
            spec["inputs"]["idle_seal"] = "{0}s".format(_IDLE_SEAL)
        if queue is not None:
            spec["queue"] = queue
        if priority is not None:
            spec["priority"] = priority
        spec["policy"] = {field: _policy_value(field, value) for field, value in policy.items() if value is not None}
        python["source"], python["function"] = self._source(), "call"
        own = None if "interpreter" in python else _own_interpreter(self._api)
        if own is not None:
            python["interpreter"] = own
        try:
            made = self._api.json("POST", "/api/v1/jobs", spec)
        except ApiError as e:
            if own is None or not any("interpreter" in str(v.get("location")) for v in e.errors):
                raise
            del python["interpreter"]  # the server is not on this machine after all
            made = self._api.json("POST", "/api/v1/jobs", spec)
        return Job(made["id"], _api=self._api)

    def input(self, fn: Callable[..., Any], args: Tuple[Any, ...] = (), kwargs: Optional[Dict[str, Any]] = None) -> bytes:
        """Return the input for fn(*args, **kwargs), one line of JSON; what it needs is to be uploaded first."""
        return self._finish(*self._input(fn, args, kwargs or {}))

    def upload(self, job: "Job") -> None:
        """Send the blobs that the inputs made so far need and the server does not have."""
        with self._lock:
            blobs, self._blobs = self._blobs, {}
        if not blobs:
            return
        try:
            path = "/api/v1/jobs/{0}/blobs".format(job.id)
            for sha in self._api.json("POST", path, {"sha256": list(blobs)})["missing"]:
                path = "/api/v1/blobs/{0}?job={1}".format(sha, job.id)
                self._api.request("PUT", path, blobs[sha], content_type="application/octet-stream", timeout=600.0)
        except BaseException:
            with self._lock:
                self._blobs.update(blobs)
            raise

    # The work.

    def _input(self, fn, args, kwargs):
        """Return an input, and how many changes of _roots it needs; see _finish."""
        name = _reference(fn)
        if name is not None:
            known = self._needs.get(name)
            if known is None:
                known = self._know(name)
            if not kwargs:
                texts = []
                for x in args:
                    text = _atom_text(x)
                    if text is None:
                        break
                    texts.append(text)
                else:
                    return ("%s[%s]}" % (known[0], ",".join(texts))).encode(), known[1]
            if _is_json(list(args)) and (not kwargs or _is_json([list(args), kwargs])):
                line = known[0] + _to_json(args) + (',"kwargs":' + _to_json(kwargs) if kwargs else "") + "}"
                return line.encode(), known[1]
        return self._pickled_input(name, fn, args, kwargs)

    def _pickled_input(self, name, fn, args, kwargs):
        data, by = _dumps((None if name else fn, args, kwargs))
        if name and by is None and len(data) > _INLINE:
            documents = self._documents(list(args) + list(kwargs.values()))
            task = {"fn": name, "args": documents[: len(args)]}
            if kwargs:
                task["kwargs"] = dict(zip(kwargs, documents[len(args) :]))
        else:
            task = {"fn": name or _repr_of(fn), "call": _pickled(data, (args, kwargs) if kwargs else args, self._put)}
            if by:
                task["by"] = by
        roots = _modules_in(data)
        if name:
            roots.add(name.partition(":")[0])
        return _to_json(task).encode(), self._need(roots)

    def _documents(self, values):
        """Return the documents of values. A value that appears twice is sent once and stays one object."""
        documents, places = [], {}
        for i, value in enumerate(values):
            if type(value) in _ATOMS and _is_json(value):
                documents.append(value)
            elif id(value) in places:
                documents.append({_MARK: "same", "index": places[id(value)]})
            else:
                places[id(value)] = i
                documents.append(_encode(value, self._put))
        return documents

    def _put(self, data):
        sha = _sha256(data)
        with self._lock:
            if sha not in self._sent:
                self._sent.add(sha)
                self._blobs[sha] = data
        return sha

    def _get(self, sha):
        return self._api.request("GET", "/api/v1/blobs/" + sha)[1]

    def _know(self, name):
        """Return the start of the inputs of a function and what they need."""
        known = '{"fn":' + _to_json(name) + ',"args":', self._need({name.partition(":")[0]})
        self._needs[name] = known
        return known

    def _need(self, roots):
        """Add modules to what the job needs, and return how often that was."""
        if not roots <= self._roots:
            with self._lock:
                self._roots |= roots
                self._epoch += 1
        return self._epoch

    def _finish(self, line, epoch):
        """Return an input with the sources that it needs, if the job was made without them."""
        if self._made is None or epoch <= self._made:
            return line
        text = self._sources_at_least(epoch)
        if text == self._own_sources:
            return line
        sha = self._put(text.encode())
        return line[:-1] + b',"modules":"' + sha.encode() + b'"}'

    def _sources_at_least(self, epoch):
        """Return the manifest of the sources that are needed by now."""
        if self._sources[0] < epoch:
            with self._lock:
                now, roots = self._epoch, set(self._roots)
            self._sources = now, self._collect(roots)
        return self._sources[1]

    def _collect(self, roots):
        sources, main = {}, None
        if roots & {"__main__", "__mp_main__"}:
            main = _sources.main()
        found = _sources.closure(roots - {"__main__", "__mp_main__"} | set(main.imports if main else ()))
        for name, source in sorted(found.items()):
            sources[name] = [self._put(source.data) if source.data else "", source.path, source.kind]
        manifest = {"modules": sources}
        if main is not None:
            manifest["main"] = [self._put(main.data), main.path, main.name, list(sys.argv)]
        if not sources and main is None:
            return ""
        return _to_json(manifest)

    def _source(self):
        """Return the source of the job's program, which has what its inputs need by now."""
        manifest = {"format": 1, "python": list(sys.version_info[:2])}
        if self._initializer is not None:
            task, _ = self._input(self._initializer, tuple(self._initargs), {})
            manifest["initializer"] = json.loads(task)
        with self._lock:
            self._made = self._epoch
        text = self._own_sources = self._sources_at_least(self._made)
        if text:
            manifest["sources"] = json.loads(text)
        return "import allcores\n\ncall = allcores._program({0!r})\n".format(_to_json(manifest))


def _dumps(value):
    """Return the pickle of (function or None, args, kwargs), and "cloudpickle" if that made it."""
    try:
        data = pickle.dumps(value, _PROTOCOL)
        if b"__main__" not in data or _sources.main_path():
            return data, None
        failed, what = None, "what is defined in an interactive session"
    except (pickle.PicklingError, AttributeError, TypeError) as e:
        failed, what = e, "{0} ({1})".format(_repr_of(value[0] if value[0] is not None else value[1:]), e)
    try:
        import cloudpickle
    except ImportError:
        if failed is None or _by_value(failed):
            raise pickle.PicklingError(
                "{0} can only be sent with the package cloudpickle, here and on the workers: install it, or define the "
                "function with def at the top of a module".format(what)
            ) from failed
        raise failed
    try:
        return cloudpickle.dumps(value, _PROTOCOL), "cloudpickle"
    except Exception as e:
        raise (failed or e)


def _by_value(e):
    """Return whether pickling failed for want of a name under which a function or class is imported."""
    text = str(e)
    return "local object" in text or "lambda" in text or "not the same object" in text or "not found as" in text


def _reference(fn):
    """Return "module:name" of a function or class that is imported by its name, or None."""
    module, name = getattr(fn, "__module__", None), getattr(fn, "__qualname__", None)
    if type(module) is not str or type(name) is not str:
        return None
    found = sys.modules.get(module)
    if "." not in name:
        found = getattr(found, name, None)
    else:
        for part in name.split("."):
            found = getattr(found, part, None)
    if found is not fn:
        return None
    if module == "__main__" or module == "__mp_main__":
        return "__main__:" + name if _sources.main_path() else None
    return module + ":" + name


def _job_name():
    """Return the name of a job that was given none: the script's."""
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    return os.path.splitext(os.path.basename(path))[0] if path else "executor"


def _policy_value(field, value):
    """Return a value as the API takes it: durations may be seconds, sizes bytes."""
    if field in ("timeout", "retry_backoff") and isinstance(value, (int, float)) and not isinstance(value, bool):
        return "{0!r}s".format(value) if value == int(value) else "{0}us".format(int(value * 1e6))
    if field == "memory_limit" and isinstance(value, int):
        return "{0}B".format(value)
    return value


def _own_interpreter(api):
    """Return this interpreter if the server is on this machine and might run another one."""
    import shutil

    if api._parts is None or api._parts.hostname not in ("127.0.0.1", "localhost", "::1") or not sys.executable:
        return None
    usual = shutil.which("python3")
    if sys.prefix == sys.base_prefix and usual and os.path.realpath(usual) == os.path.realpath(sys.executable):
        return None
    return sys.executable
