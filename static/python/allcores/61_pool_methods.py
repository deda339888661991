class Pool:
    """multiprocessing.Pool over Allcores: the same methods, durable and watched.

    One pool is one job on the server. `processes` worker processes run its tasks, on as many
    nodes as there are; None takes as many as the queue allows. Each worker process calls
    `initializer(*initargs)` first, and is replaced after `maxtasksperchild` tasks.
    `pool.job` is the pool's Job. Other keywords are those of Executor.

        from allcores import Pool

        def square(x):
            return x * x

        if __name__ == "__main__":
            with Pool(4) as pool:
                print(pool.map(square, range(10)))

    map and starmap make one task of each item (past 20,000 items, of several); with a
    `chunksize`, one task of that many items, which end together. Leaving the `with` block
    terminates the pool, as in the standard library. After Ctrl-C the job goes on instead,
    and a message says how to reattach.
    """

    _MOST_TASKS = 20000  # of one map without a chunksize

    def __init__(
        self,
        processes: Optional[int] = None,
        initializer: Optional[Callable[..., Any]] = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: Optional[int] = None,
        context: Any = None,
        **options: Any,
    ) -> None:
        self._state = "INIT"
        if processes is not None and processes < 1:
            raise ValueError("Number of processes must be at least 1")
        if maxtasksperchild is not None and (not isinstance(maxtasksperchild, int) or maxtasksperchild < 1):
            raise ValueError("maxtasksperchild must be a positive int or None")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._processes = processes or os.cpu_count() or 1
        self._pool = range(self._processes)  # callers take its length
        self._core = _PoolExecutor(
            Executor(processes, context, initializer, tuple(initargs), max_tasks_per_child=maxtasksperchild, **options)
        )
        _pools.add(self._core)
        weakref.finalize(self, self._core.drop).atexit = False
        self._state = "RUN"

    @property
    def job(self) -> "Job":
        """The pool's job on the server. The first use creates it."""
        return self._core.executor.job

    def apply(self, func, args=(), kwds={}):
        """Return func(*args, **kwds), run as a task."""
        return self.apply_async(func, args, kwds).get()

    def apply_async(self, func, args=(), kwds={}, callback=None, error_callback=None) -> AsyncResult:
        """Submit func(*args, **kwds). callback gets the value, error_callback the exception."""
        self._check_running()
        result = AsyncResult(self, callback, error_callback)
        self._core.submit(func, args, kwds).add_done_callback(result._arrived)
        return result

    def map(self, func, iterable, chunksize=None) -> List[Any]:
        """Return the list of func(item) for the items of iterable."""
        return self.map_async(func, iterable, chunksize).get()

    def map_async(self, func, iterable, chunksize=None, callback=None, error_callback=None) -> MapResult:
        """Submit func(item) for the items of iterable. The result gives a list."""
        return self._map(func, False, iterable, chunksize, callback, error_callback)

    def starmap(self, func, iterable, chunksize=None) -> List[Any]:
        """Return the list of func(*item) for the items of iterable."""
        return self.starmap_async(func, iterable, chunksize).get()

    def starmap_async(self, func, iterable, chunksize=None, callback=None, error_callback=None) -> MapResult:
        """Submit func(*item) for the items of iterable. The result gives a list."""
        return self._map(func, True, iterable, chunksize, callback, error_callback)

    def imap(self, func, iterable, chunksize=1) -> Iterator[Any]:
        """Yield func(item) in the order of iterable, which may be endless: it is read as tasks end."""
        return self._imap(IMapIterator, func, iterable, chunksize)

    def imap_unordered(self, func, iterable, chunksize=1) -> Iterator[Any]:
        """Yield func(item) as the tasks end."""
        return self._imap(IMapUnorderedIterator, func, iterable, chunksize)

    def close(self) -> None:
        """Take no more work. What was submitted goes on."""
        if self._state == "RUN":
            self._state = "CLOSE"
            self._core.close()

    def terminate(self) -> None:
        """Cancel the job, with its running tasks."""
        self._state = "TERMINATE"
        self._core.terminate()
        self._core.join()

    def join(self) -> None:
        """Wait until all work has ended. Call close or terminate before."""
        if self._state == "RUN":
            raise ValueError("Pool is still running")
        if self._state not in ("CLOSE", "TERMINATE"):
            raise ValueError("In unknown state")
        self._core.join()

    def _check_running(self):
        if self._state != "RUN":
            raise ValueError("Pool not running")

    def _map(self, func, star, iterable, chunksize, callback, error_callback):
        self._check_running()
        if not hasattr(iterable, "__len__"):
            iterable = list(iterable)
        length = len(iterable)
        if chunksize is None:
            chunksize = -(-length // self._MOST_TASKS)
        elif chunksize < 1 and length:
            raise ValueError("Chunksize must be 1+, not {0!r}".format(chunksize))
        result = MapResult(self, length, callback, error_callback)
        if length <= self._MOST_TASKS:
            _submit_map(self._core, result, func, star, iterable, chunksize)
        else:
            self._core.feed(functools.partial(_submit_map, self._core, result, func, star, iterable, chunksize))
        return result

    def _imap(self, kind, func, iterable, chunksize):
        self._check_running()
        if chunksize < 1:
            raise ValueError("Chunksize must be 1+, not {0!r}".format(chunksize))
        result = kind(self)
        self._core.feed(functools.partial(_submit_imap, self._core, result, func, iterable, chunksize))
        if chunksize == 1:
            return result
        return (value for chunk in result for value in chunk)

    def __enter__(self) -> "Pool":
        self._check_running()
        return self

    def __exit__(self, kind, error, trace) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self._state = "TERMINATE"
            self._core.leave()
        else:
            self.terminate()

    def __del__(self, _warn=warnings.warn):
        if self._state == "RUN":
            _warn("unclosed running multiprocessing pool {0!r}".format(self), ResourceWarning, source=self)

    def __reduce__(self):
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")

    def __repr__(self):
        cls = type(self)
        return "<{0}.{1} state={2} pool_size={3}>".format(
            cls.__module__, cls.__qualname__, self._state, self._processes
        )


def _submit_map(core, result, func, star, iterable, chunksize):
    """Submit the tasks of a map and note their number on its result."""
    tasks = at = 0
    error = None
    try:
        if chunksize <= 1:
            whole, calls = None, ((item if star else (item,), 1) for item in iterable)
        else:
            whole = _starmapstar if star else _mapstar
            calls = (((func, chunk), len(chunk)) for chunk in _chunks(iterable, chunksize))
        for args, size in calls:
            if core.terminated:
                raise concurrent.futures.CancelledError("the pool was terminated")
            future = core.submit(whole or func, args, {})
            tasks += 1
            future.add_done_callback(result._task(at, whole and size))
            at += size
            del future, args
    except Exception as stopped:
        error = stopped
    result._submitted(tasks, error)


def _submit_imap(core, result, func, iterable, chunksize):
    """Submit the tasks of an imap as others end, until the iterable does."""
    window = _Window()
    tasks = 0

    def arrived(at, future):
        window.leave()
        result._set(at, _pool_outcome(future))

    try:
        for chunk in _chunks(iterable, chunksize):
            while not window.enter(1):
                if core.terminated:
                    break
            if core.terminated:
                break
            if chunksize == 1:
                future = core.submit(func, chunk, {})
            else:
                future = core.submit(_mapstar, (func, chunk), {})
            future.add_done_callback(functools.partial(arrived, tasks))
            tasks += 1
            del future, chunk
    except Exception as stopped:
        result._set(tasks, (False, stopped))
        tasks += 1
    result._set_length(tasks)
