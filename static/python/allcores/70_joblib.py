

class _CallableModule(types.ModuleType):
    """A module that is made with allcores, and does its work when it is imported or called."""

    def __init__(self, name, doc, run):
        super().__init__(name, doc)
        self._run = run

    def __call__(self):
        return self._run()


class _SubmoduleFinder:
    """Imports allcores.NAME for the names that are not files."""

    def __init__(self, modules):
        self._modules = modules

    def find_spec(self, name, path=None, target=None):
        if name in self._modules:
            import importlib.machinery

            return importlib.machinery.ModuleSpec(name, self)
        return None

    def create_module(self, spec):
        return self._modules[spec.name]

    def exec_module(self, module):
        module()


def _register_joblib() -> None:
    """Make "allcores" a backend of joblib.

        from joblib import Parallel, delayed, parallel_config
        import allcores.joblib

        with parallel_config(backend="allcores"):       # joblib 1.2: parallel_backend("allcores")
            squares = Parallel(n_jobs=4)(delayed(pow)(x, 2) for x in range(10))

    Each call of Parallel is one job, whose tasks are joblib's batches. n_jobs=-1 takes all
    slots that its queue has on the server's nodes. Further keywords of parallel_config are those of
    Executor: url, token, queue, name, tags and the policy. Workers need joblib too.
    """
    try:
        from joblib.parallel import register_parallel_backend
    except ImportError as missing:
        raise ImportError("allcores.joblib needs joblib, which cannot be imported: {0}".format(missing)) from missing
    register_parallel_backend("allcores", _joblib_backend())


def _joblib_backend():
    """Return the class of the backend. It derives from joblib's own, so it is made when it is needed."""
    from joblib import _parallel_backends as bases

    made = globals().get("_JoblibBackend")
    if made is not None:
        return made

    class _JoblibBackend(_JoblibMethods, bases.AutoBatchingMixin, bases.ParallelBackendBase):
        def __init__(self, nesting_level=None, inner_max_num_threads=None, **options):
            super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads)
            self._options = options
            self._workers = None

        def __reduce__(self):
            # A backend may travel with a task, and is a new one there.
            return _joblib_again, (self.nesting_level, self.inner_max_num_threads, self._options)

    _JoblibBackend.__qualname__ = "_JoblibBackend"
    globals()["_JoblibBackend"] = _JoblibBackend
    return _JoblibBackend


def _joblib_again(nesting_level, inner_max_num_threads, options):
    return _joblib_backend()(nesting_level, inner_max_num_threads, **options)


class _JoblibMethods:
    """What the backend does, apart from what it inherits from joblib."""

    supports_timeout = True
    supports_inner_max_num_threads = True
    supports_retrieve_callback = True  # return_as="generator", from joblib 1.3 on
    supports_return_generator = True

    def effective_n_jobs(self, n_jobs):
        """Return how many processes n_jobs asks for."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None:
            return 1
        why = self._nested_below()
        if why:
            if n_jobs != 1:
                message = "allcores-backed parallel loops cannot be nested below {0}, setting n_jobs=1"
                warnings.warn(message.format(why), stacklevel=3)
            return 1
        if n_jobs < 0:
            return max(self._slots() + 1 + n_jobs, 1)
        return n_jobs

    def _nested_below(self):
        """Return what this thread is part of that must not start another parallel loop, or an empty text."""
        if multiprocessing.current_process().daemon:
            return "multiprocessing"
        if "ALLCORES_TASK_URL" in os.environ and not os.environ.get("ALLCORES_TOKEN"):
            return "a task"
        return "" if self.in_main_thread() or self.nesting_level == 0 else "threads"

    def _slots(self):
        """Return how many processes the queue runs at once on all nodes."""
        if getattr(self, "_all_slots", None) is None:
            api = Api(self._options.get("url"), self._options.get("token"))
            queue = self._options.get("queue") or "cpu"
            try:
                nodes = api.json("GET", "/api/v1/nodes?limit=1000")["items"]
                alive = [node for node in nodes if node["alive"] and not node["draining"]]
                self._all_slots = sum((node["slots"] or {}).get(queue, {}).get("total", 0) for node in alive)
            except ApiError:  # the user may not see the nodes
                self._all_slots = 0
        return self._all_slots or os.cpu_count() or 1

    def configure(self, n_jobs=1, parallel=None, prefer=None, require=None, **ignored):
        """Start an executor and return the number of its processes."""
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            from joblib._parallel_backends import FallbackToBackend, SequentialBackend

            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        self.parallel = parallel
        self._n_jobs = n_jobs
        self._open = set()
        self._workers = self._executor()
        return n_jobs

    def _executor(self):
        options = dict({"name": "joblib"}, **self._options)
        options["env"] = dict(self._prepare_worker_env(self._n_jobs), **options.get("env") or {})
        return Executor(self._n_jobs, **options)

    def submit(self, func, callback=None):
        """Run a batch of calls as a task."""
        future = _submit_pickled(self._workers, func)
        future.get = functools.partial(_joblib_get, future)
        self._open.add(future)
        future.add_done_callback(self._open.discard)
        if callback is not None:
            future.add_done_callback(callback if self._takes_errors() else functools.partial(_after_success, callback))
        return future

    @staticmethod
    def _takes_errors():
        """Report whether joblib learns of a failure by the callback, as from 1.3 on. Before, that dispatched the next batch."""
        import joblib

        return [int(part) for part in joblib.__version__.split(".")[:2]] >= [1, 3]

    apply_async = submit

    def retrieve_result_callback(self, out):
        """Return the values of a batch that has ended."""
        return pickle.loads(out.result().data)

    def terminate(self):
        """End the job. Tasks that have not ended are cancelled."""
        workers, self._workers = self._workers, None
        if workers is not None:
            if self._open:
                _abort(workers)
            else:
                workers.shutdown(wait=False)
        self.reset_batch_stats()

    def abort_everything(self, ensure_ready=True):
        """Cancel the job, and with ensure_ready begin another."""
        workers, self._workers = self._workers, None
        if workers is not None:
            _abort(workers)
        if ensure_ready:
            self._open = set()
            self._workers = self._executor()


def _after_success(callback, future):
    if not future.cancelled() and future.exception() is None:
        callback(future)


def _joblib_get(future, timeout=None):
    """Return the values of a batch, waiting at most timeout seconds."""
    try:
        return pickle.loads(future.result(timeout).data)
    except concurrent.futures.TimeoutError:
        if future.done():
            raise  # the task's own
        raise TimeoutError("no result within {0} seconds".format(timeout)) from None


class _Pickled:
    """What joblib's cloudpickle made of a value, with a text that pages show of it."""

    def __init__(self, data, text=""):
        self.data, self.text = data, text

    def __reduce__(self):
        return _Pickled, (self.data,)

    def __repr__(self):
        return self.text


class _Pickled:
    """What joblib's cloudpickle made of a value, with a text that pages show of it."""

    def __init__(self, data, text=""):
        self.data, self.text = data, text

    def __reduce__(self):
        return _Pickled, (self.data,)

    def __repr__(self):
        return self.text


def _submit_pickled(executor, batch):
    """Submit a batch as joblib's own process backends do: functions of __main__ and closures by value."""
    from joblib.externals import cloudpickle

    try:
        pickled = _Pickled(cloudpickle.dumps(batch), _batch_text(batch))
    except Exception as e:
        error = pickle.PicklingError("Could not pickle the task to send to the workers: {0}: {1}".format(type(e).__name__, e))
        error.__cause__ = e
        return _failed_future(error)
    try:
        return executor.submit(_joblib_call, pickled)
    except Exception as e:  # the executor is broken, and joblib may submit from a callback
        return _failed_future(e)


def _failed_future(error):
    future = Future()
    future.set_exception(error)
    return future


def _batch_text(batch):
    """Return the first call of a batch as text, and how many more there are."""
    items = getattr(batch, "items", None) or getattr(getattr(batch, "func", None), "items", None)
    if not isinstance(items, list) or not items:
        return _repr_of(batch)
    function, args, kwargs = items[0]
    words = [_repr_of(value) for value in args] + ["{0}={1}".format(name, _repr_of(value)) for name, value in kwargs.items()]
    text = "{0}({1})".format(getattr(function, "__name__", None) or _repr_of(function), ", ".join(words))
    return text if len(items) == 1 else "{0} and {1} more".format(text[: _REPR - 20], len(items) - 1)


def _joblib_call(batch):
    """Run a batch inside a task and return its pickled values."""
    from joblib.externals import cloudpickle
    from joblib.externals.loky import process_executor

    _register_joblib()  # a call inside the batch may name the backend
    depth = process_executor._CURRENT_DEPTH
    try:
        process_executor._CURRENT_DEPTH = max(1, depth)  # so that joblib's own backends nest as below loky
        values = pickle.loads(batch.data)()
        return _Pickled(cloudpickle.dumps(values), _repr_of(values))
    except KeyboardInterrupt as interrupt:
        from joblib import my_exceptions

        raise getattr(my_exceptions, "WorkerInterrupt", RuntimeError)("a call raised KeyboardInterrupt") from interrupt
    finally:
        process_executor._CURRENT_DEPTH = depth


__path__ = []  # lets the import system ask _SubmoduleFinder
joblib = _CallableModule("allcores.joblib", _register_joblib.__doc__, _register_joblib)
sys.meta_path.append(_SubmoduleFinder({"allcores.joblib": joblib}))
