# The processes of a script: each is a task of one open job, on a queue where many run at
# once. The job and what its processes print end with the script.

_PROCESS_QUEUE = "io"
_AT_ONCE = 80  # processes: more than the queue has slots, as those that wait lend theirs


class _ScriptJob:
    """The job whose tasks are the processes of a script."""

    def __init__(self, script):
        self.script = script
        self.lock = threading.RLock()
        self.running = {}  # by task: its _Child
        self.job = self.program = None

    def start(self, process):
        """Starts a process; returns what multiprocessing takes for its popen."""
        for file in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, ValueError, OSError):
                file.flush()
        with self.lock:
            if self.program is None:
                self.program = ClientProgram(self.script.api)
            child = _Child(self, process)
            config, process._config = process._config, {k: v for k, v in process._config.items() if k != "authkey"}
            try:
                # Pickled once: a copy of the end of a pipe counts as one.
                line = self.program.input(_run_process, _dumps((process, self.settings(child))))
            finally:
                process._config = config
            if self.job is None:
                self.open()
            self.program.upload(self.job)
            child.task = self.script.api.json(
                "POST", self.job._path + "/tasks", line + b"\n", content_type="application/x-ndjson", key=child.key)["first"]
            self.running[child.task] = child
            return child

    def open(self):
        name = os.path.basename(sys.argv[0] or "script")
        self.script.output.listen()
        options = dict(name=name, queue=_PROCESS_QUEUE, tags=["script"], keep_alive=True)
        try:
            self.job = self.program.open_job(policy={"processes": _AT_ONCE, "max_tasks_per_process": 1}, **options)
        except ApiError as e:
            if not any("max_tasks_per_process" in str(v.get("location")) for v in e.errors):
                raise
            self.job = self.program.open_job(policy={"processes": _AT_ONCE}, **options)  # a server without it
        for work in (self.watch, self.keep_alive):
            threading.Thread(target=work, name="allcores-processes", daemon=True).start()

    def settings(self, child):
        """Returns what a process gets from its parent beside its arguments."""
        return {
            "argv": list(sys.argv), "cwd": os.getcwd(), "key": child.key, "scope": self.script.manager.scope,
            "environ": {k: v for k, v in os.environ.items() if self.script.environ.get(k) != v},
            "globals": _globals_of_main() if self.script.method() == "fork" else None,
        }

    def watch(self):
        """Ends each process whose task has ended."""
        try:
            for line in self.job._lines(-1, False, True, False):
                with self.lock:
                    child = self.running.pop(line["index"], None)
                if child is not None:
                    self.script.output.ended(self.job, line["index"], child.key)
                    child.ended(_exit_code(line, child.asked))
        except BaseException as e:
            with self.lock:
                children, self.running = list(self.running.values()), {}
            print("allcores: the processes of the script are lost: %s" % e, file=sys.stderr)
            for child in children:
                child.ended(1)

    def keep_alive(self):
        while not self.script.closed.wait(_KEEP_ALIVE):
            try:
                self.job._api.json("POST", self.job._path + "/keep-alive", timeout=10, patience=0)
            except Error:
                pass

    def interrupt(self, seconds):
        """Interrupts the processes, as a terminal does with Ctrl-C, and waits for their end."""
        with self.lock:
            children = list(self.running.values())
        with contextlib.suppress(Error):
            for child in children:
                child.interrupt()
        end = time.monotonic() + seconds
        for child in children:
            child.wait(end - time.monotonic())

    def close(self, cancel):
        """Ends the job: with cancel also the tasks that run."""
        if self.job is not None:
            self.script.api.json("POST", self.job._path + ("/cancel" if cancel else "/seal"), patience=5)


def _exit_code(line, asked):
    """Returns the exit code of the process whose task's result is line. asked is the name
    of the signal that it was sent, which ends it before it begins, too."""
    if line["state"] == "succeeded":
        return 0
    if line["state"] == "cancelled":
        return -int(getattr(signal, asked or "SIGTERM"))
    error = line.get("error") or {}
    kind = error.get("type", "")
    if error.get("kind") == "exception":
        payload = error.get("payload")
        if payload:
            e = _exception_of(payload, None)
            if isinstance(e, _ProcessExit):
                return e.code
            print("allcores: the process could not be started: %s" % e, file=sys.stderr)
        return 1
    if kind.startswith("exit "):
        return int(kind[5:])
    number = getattr(signal, kind, None)
    return 1 if number is None else -int(number)


class _Child:
    """A process of the script, as multiprocessing.process.BaseProcess wants to see it."""

    method = "allcores"

    def __init__(self, script_job, process):
        self.script_job, self.name = script_job, process.name
        self.key = "process-" + os.urandom(8).hex()
        self.task = None
        self.returncode = None
        self.over = threading.Event()
        self.sentinel, self.ends = os.pipe()
        self.asked = self._pid = None

    def __reduce__(self):
        raise TypeError("a started process cannot be passed to another one")

    def ended(self, code):
        self.returncode = code
        os.close(self.ends)
        self.over.set()

    def poll(self, flag=None):
        return self.returncode

    def wait(self, timeout=None):
        self.over.wait(None if timeout is None else max(timeout, 0))
        return self.returncode

    @property
    def pid(self):
        """The process's id on its node. It is known once the process runs."""
        if self._pid is None and not self.over.is_set():
            try:
                self._pid = self._control(".pid").get(True, 10)
            except queue.Empty:
                pass
        return self._pid if self._pid is not None else self.task

    def _control(self, suffix=""):
        script = self.script_job.script
        made = Queue(self.key + suffix, scope=script.manager.scope)
        made._object.api = script.api
        return made

    def terminate(self):
        self._signal("SIGTERM")

    def kill(self):
        self._signal("SIGKILL")

    def interrupt(self):
        self._signal("SIGINT")

    def _signal(self, name):
        if self.returncode is None:
            self.asked, job = name, self.script_job.job
            status, _ = job._api.request("POST", "%s/tasks/%d/cancel" % (job._path, self.task), accept=(404, 409))
            if status != 200:  # it runs
                self._control().put(name)

    def close(self):
        if self.sentinel is not None:
            os.close(self.sentinel)
            self.sentinel = None


def _globals_of_main():
    """Returns the pickles of the global variables of __main__ that can be pickled, by name,
    as a forked process would have them."""
    found, size = {}, 0
    for name, value in list(vars(sys.modules["__main__"]).items()):
        if name.startswith("__") or isinstance(value, (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type)):
            continue
        try:
            data = pickle.dumps(value, _PROTOCOL)
        except Exception:
            continue  # the process makes it anew
        size += len(data)
        if size > 64 << 20:
            break
        found[name] = data
    return found


# The side of the process, inside its task.


class _ProcessExit(BaseException):
    """Ends the task of a process whose exit code is not 0. It stands for the end of the
    process: a task whose process really dies is run again, as it may not be to blame."""

    def __init__(self, code):
        super().__init__("exit code %d" % code)
        self.code = code

    def __reduce__(self):
        return _ProcessExit, (self.code,)


def _run_process(data, by):
    """Runs a process of a script as the task that this is."""
    global _printing
    from multiprocessing import process as processes

    if by == "cloudpickle":
        _worker.check_cloudpickle("a process")
    process, settings = pickle.loads(data)
    _inherit(settings)
    control = Queue(settings["key"], scope=settings["scope"])
    ending = _Ending()
    threading.Thread(target=ending.obey, args=(control,), name="allcores-control", daemon=True).start()
    Queue(settings["key"] + ".pid", scope=settings["scope"]).put(os.getpid())
    printed = List("output", scope=settings["scope"])
    for name in ("stdout", "stderr"):
        stream = _ProcessStream(name, settings["key"], printed)
        setattr(sys, name, stream)
        threading.Thread(target=stream.send_soon, name="allcores-output", daemon=True).start()
    _printing = True
    before = set(threading.enumerate())
    processes._current_process = process
    processes._parent_process = processes._ParentProcess(process._parent_name, process._parent_pid, None)
    processes._process_counter = itertools.count(1)
    processes._children = set()
    process._config["authkey"] = processes.AuthenticationString(os.urandom(32))
    sys.stdin = open(os.devnull)
    try:
        code = _code_of(process)
        _join_children(before)
    finally:
        ending.over()
        _end_of_output()
    if code:
        raise _ProcessExit(code)


def _join_children(before):
    """Waits for what a process has started, as multiprocessing does."""
    for child in multiprocessing.active_children():
        if child.daemon:
            child.terminate()
        child.join()
    for thread in threading.enumerate():
        if thread not in before and not thread.daemon:
            thread.join()


def _end_of_output():
    """Closes the pipes of a process and sends what it has printed."""
    global _printing
    for end in list(_open_ends):
        with contextlib.suppress(Exception):
            end.close()
    for file in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            file.flush()
    _printing = False
    for stream in (sys.stdout, sys.stderr):
        if type(stream) is _ProcessStream:
            setattr(sys, stream.stream, stream.real)


def _code_of(process):
    """Runs a process; returns its exit code, as multiprocessing gives it."""
    try:
        process.run()
        return 0
    except SystemExit as e:
        if e.code is None:
            return 0
        if isinstance(e.code, int):
            return e.code
        print(e.code, file=sys.stderr)
        return 1
    except _ProcessExit:
        raise
    except BaseException as e:
        import traceback

        tb = e.__traceback__.tb_next  # without this frame
        sys.stderr.write("Process %s:\n" % process.name)
        traceback.print_exception(type(e), e, tb)
        return 1


def _inherit(settings):
    """Takes over what a process has of its parent."""
    sys.argv[:] = settings["argv"]
    os.environ.update(settings["environ"])
    with contextlib.suppress(OSError):
        os.chdir(settings["cwd"])
    if settings["globals"]:
        _worker.load_main(True)
        main = sys.modules["__main__"]
        if getattr(main, "__name__", "") == "__mp_main__":
            for name, data in settings["globals"].items():
                with contextlib.suppress(Exception):  # what it is made of is not here
                    setattr(main, name, pickle.loads(data))


_END = getattr(signal, "SIGRTMAX", signal.SIGTERM + 15) - 1  # wakes the main thread of a process that must end


class _Ending:
    """Ends the process of a script from any of its threads, with an exit code."""

    def __init__(self):
        self.code = 0
        self.pid, self.really = os.getpid(), os._exit
        self.main = threading.main_thread()
        self.before = {number: signal.signal(number, self.on_signal) for number in (signal.SIGTERM, _END)}
        os._exit = self.exit

    def on_signal(self, number, frame):
        if os.getpid() != self.pid:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
        raise _ProcessExit(self.code if number == _END else -number)

    def exit(self, code):
        """os._exit in a process of a script."""
        if os.getpid() != self.pid:
            self.really(code)
        self.end(code & 0xFF)

    def end(self, code):
        """Ends the process: its main thread stops where it is."""
        if threading.current_thread() is self.main:
            raise _ProcessExit(code)
        self.code = code
        os.kill(self.pid, _END)
        time.sleep(10)
        self.really(code)  # the main thread is in code that takes no signals

    def obey(self, control):
        """Does what the parent asks for: a signal that has a handler calls that one."""
        _threads.numbers[_task_index(), threading.get_ident()] = 1 << 30
        try:
            while True:
                number = int(getattr(signal, control.get()))
                if number != signal.SIGKILL and signal.getsignal(number) != self.on_signal:
                    os.kill(self.pid, number)
                else:
                    self.end(-number)
        except Exception:
            pass  # the task has ended, or its scope is gone

    def over(self):
        """Restores what was replaced."""
        os._exit = self.really
        for number, handler in self.before.items():
            signal.signal(number, handler)
