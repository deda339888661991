# "run script.py": the script runs here, as __main__; what it starts by multiprocessing,
# concurrent.futures and joblib runs on the server.


class _Script:
    """A script that runs."""

    def __init__(self, api):
        self.api = api
        self.environ = dict(os.environ)
        self.output = _ScriptOutput(self)
        self.processes = _ScriptJob(self)
        self.closed = threading.Event()
        self.default = multiprocessing.get_context().get_start_method()
        self.chosen = None  # by set_start_method
        self._manager = None

    @property
    def manager(self):
        """What makes the shared objects of the script."""
        if self._manager is None:
            _drop_scopes_of_dead(self.api)
            self._manager = Manager(name=_random_scope("script"))
        return self._manager

    def method(self):
        return self.chosen or self.default

    def close(self, cancel=False):
        """Ends the jobs and prints what is left."""
        if self.closed.is_set():
            return
        self.closed.set()
        try:
            self.processes.close(cancel)
            self.output.finish()
            if self._manager is not None:
                self._manager.shutdown()
        except Error as e:
            print("allcores: %s" % e, file=sys.stderr)


def run_script(path: str, argv: Sequence[str] = (), options: Any = None) -> int:
    """Runs a script with its processes, pools and executors on the server. Returns its exit
    status.

    multiprocessing's Process, Pool, Queue, SimpleQueue, JoinableQueue, Pipe, Value, Array,
    RawValue, RawArray, Manager, locks, events and barriers, ProcessPoolExecutor, and joblib's
    process backends are replaced. Threads stay threads. Modules shared_memory and
    managers.BaseManager are left as they are: they work within this process only."""
    global _script
    given = path
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as e:
        print("allcores: can't open file %r: %s" % (path, e.strerror), file=sys.stderr)
        return 2
    api = Api()
    api.json("GET", "/api/v1/jobs?limit=1")  # an error of the settings shows before the script begins
    script = _script = _Script(api)
    import atexit

    atexit.register(script.close)  # the last of all, as handlers run in reverse
    _replace_multiprocessing(script)
    if sys.version_info >= (3, 9):
        path = os.path.abspath(path)  # as Python names scripts
    module = types.ModuleType("__main__")
    module.__dict__.update(__file__=path, __builtins__=builtins, __spec__=None, __loader__=None, __cached__=None)
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module
    sys.argv[:] = [given] + list(argv)
    sys.path[0] = os.path.dirname(os.path.abspath(path))
    script.output.install()
    status = _run_main(source, path, module)
    interrupted = status == 130
    try:
        for thread in threading.enumerate():
            if thread is not threading.main_thread() and not thread.daemon:
                thread.join()
        if interrupted:
            script.processes.interrupt(3.0)
            script.close(cancel=True)
        else:
            from multiprocessing import util

            util._exit_function()  # joins processes, ends daemons
    except KeyboardInterrupt:
        script.close(cancel=True)
        status = 130
    return status


def _run_main(source, path, module):
    """Runs the script's source; returns its exit status."""
    try:
        exec(compile(source, path, "exec", dont_inherit=True), module.__dict__)
        return 0
    except SystemExit as e:
        if e.code is None:
            return 0
        if isinstance(e.code, int):
            return e.code & 0xFF
        print(e.code, file=sys.stderr)
        return 1
    except BaseException as e:
        tb = e.__traceback__
        while tb is not None and tb.tb_frame.f_code is _run_main.__code__:
            tb = tb.tb_next
        sys.last_type = type(e)
        sys.excepthook(type(e), e.with_traceback(tb), tb)
        return 130 if isinstance(e, KeyboardInterrupt) else 1


class _ScriptWorker:
    """The initializer of the processes of a script's pools and executors: they get what a
    process has of its parent, and a name. What that is, is read when the job is made."""

    def __init__(self, script, name, initializer, initargs, now):
        self.script, self.name, self.initializer, self.initargs = script, name, initializer, tuple(initargs)
        self.settings = self._settings() if now else None

    def _settings(self):
        script = self.script
        return {
            "argv": list(sys.argv), "cwd": os.getcwd(),
            "environ": {k: v for k, v in os.environ.items() if script.environ.get(k) != v},
            "globals": _globals_of_main() if script.method() == "fork" else None,
        }

    def __reduce__(self):
        settings = self.settings or self._settings()
        return _script_worker, (settings, self.name, self.initializer, self.initargs)

    def __call__(self):
        raise RuntimeError("it runs in the processes of a pool")


def _script_worker(settings, name, initializer, initargs):
    return functools.partial(_begin_worker, settings, name, initializer, initargs)


def _begin_worker(settings, name, initializer, initargs):
    """Runs in a process of a script's pool or executor, before its first task."""
    from multiprocessing import process as processes

    _inherit(settings)
    number = int(os.environ.get("ALLCORES_LANE") or 0) + 1
    parent = processes._current_process
    worker = processes.BaseProcess(name="%s-%d" % (name, number))
    worker._identity, worker._parent_name, worker._config = (number,), parent.name, {"authkey": parent.authkey, "daemon": True}
    processes._parent_process = processes._ParentProcess(parent.name, os.getppid(), None)
    processes._current_process = worker
    if initializer is not None:
        initializer(*initargs)


def _start_worker(worker):
    """Calls what the initializer of a script's worker has become."""
    worker()
