class _ScriptManager(Manager):
    """multiprocessing.Manager() in a script."""


class _ScriptPoolClass(type):
    """Has what multiprocessing.pool's other classes look for in its Pool."""

    def __getattr__(cls, name):
        if cls.real is None:
            raise AttributeError(name)
        return getattr(cls.real, name)


class _ScriptPool(Pool, metaclass=_ScriptPoolClass):
    """multiprocessing.Pool in a script."""

    real = None  # multiprocessing's own, from which ThreadPool derives

    def __init__(self, processes=None, initializer=None, initargs=(), maxtasksperchild=None, context=None):
        if not isinstance(self, _ScriptPool):
            _ScriptPool.real.__init__(self, processes, initializer, initargs, maxtasksperchild, context)
            return
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        prefix = {"fork": "Fork", "spawn": "Spawn", "forkserver": "ForkServer"}[_script.method()] + "PoolWorker"
        worker = _ScriptWorker(_script, prefix, initializer, initargs, True)
        super().__init__(processes, _start_worker, (worker,), maxtasksperchild)


class _ScriptExecutor(Executor):
    """concurrent.futures.ProcessPoolExecutor in a script."""

    def __init__(self, max_workers=None, mp_context=None, initializer=None, initargs=(), **more):
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        prefix = {"fork": "Fork", "spawn": "Spawn", "forkserver": "ForkServer"}[_script.method()] + "Process"
        worker = _ScriptWorker(_script, prefix, initializer, initargs, False)
        super().__init__(max_workers, mp_context, _start_worker, (worker,), **more)


def _replace_multiprocessing(script):
    """Puts the classes of this module in the places of those of the standard library."""
    import concurrent.futures.process
    from multiprocessing import connection, managers, pool, sharedctypes

    script.methods = multiprocessing.get_all_start_methods()
    script.contexts = {}
    script.context_class, default = _make_context(script)
    context = default()
    for name in multiprocessing.__all__:
        if hasattr(context, name):
            setattr(multiprocessing, name, getattr(context, name))
    multiprocessing.get_all_start_methods = context.get_all_start_methods
    _ScriptPool.real, pool.Pool = pool.Pool, _ScriptPool
    for name in ("Value", "Array", "RawValue", "RawArray"):
        setattr(sharedctypes, name, getattr(context, name))
    connection.wait = functools.partial(_wait_for_any, connection.wait)
    managers.SyncManager = _ScriptManager
    concurrent.futures.ProcessPoolExecutor = concurrent.futures.process.ProcessPoolExecutor = _ScriptExecutor
    _sources.main = functools.partial(_main_of_script, script, _sources.main)
    sys.meta_path.insert(0, _JoblibWatcher())


def _wait_for_any(real, object_list, timeout=None):
    """multiprocessing.connection.wait for ends of pipes between tasks, too."""
    objects = list(object_list)
    ends = [o for o in objects if isinstance(o, PipeEnd)]
    if not ends:
        return real(objects, timeout)
    others = [o for o in objects if not isinstance(o, PipeEnd)]
    deadline = None if timeout is None else time.monotonic() + timeout
    pause = 0.001
    while True:
        ready = [end for end in ends if end.poll()] + (real(others, 0) if others else [])
        if ready or deadline is not None and time.monotonic() >= deadline:
            return [o for o in objects if any(o is r for r in ready)]
        time.sleep(pause if deadline is None else max(0, min(pause, deadline - time.monotonic())))
        pause = min(2 * pause, 0.05)


class _JoblibWatcher:
    """Replaces joblib's process backends as soon as a script has imported joblib."""

    def find_spec(self, name, path=None, target=None):
        if name != "joblib":
            return None
        sys.meta_path.remove(self)
        import importlib.util

        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def exec_module(module):
                run(module)
                _replace_joblib()

            spec.loader.exec_module = exec_module
        return spec


def _replace_joblib():
    """Makes the backend of this module joblib's default, and that of its process backends."""
    from joblib import parallel

    _register_joblib()
    for name in ("loky", "multiprocessing"):
        parallel.BACKENDS[name] = parallel.BACKENDS["allcores"]
