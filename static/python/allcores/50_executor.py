

# Executor: concurrent.futures over one open job.
#
# submit encodes the call and puts it into the outbox. One thread, the sender, makes the
# job and appends what is in the outbox, as much at once as has come while the request
# before was under way. Another, the receiver, reads the results as they come and
# completes the futures. Both know only the session, so an executor that is dropped
# still delivers. The job is sealed when the executor is shut down or dropped.

_BATCH = 4 << 20  # bytes of inputs in one request
_sessions = set()  # those with a running thread
_exiting = False
_forks = 0  # how many forks lie between the first process and this one


class _Future(Future):
    """A Future whose task may be waiting or running on the server."""

    _session = None
    _index = None  # of the task, once it is being appended

    def cancel(self) -> bool:
        """Cancel the call if it has not started, on the server too, and report whether it is cancelled."""
        with self._condition:
            session, index = self._session, self._index
            if index is None or self._state != "PENDING":
                return super().cancel()
        if not session.cancel_task(index):
            return False
        return self._end_cancelled()

    def running(self) -> bool:
        """Report whether a process has the call. Of one that was sent, the server is asked.

        As with ProcessPoolExecutor, a process may have calls that wait for the one before.
        Unlike there, those can be cancelled.
        """
        with self._condition:
            session, index = self._session, self._index
            if index is None or self._state != "PENDING":
                return super().running()
        return session.is_running(index)

    def result(self, timeout: Optional[float] = None) -> Any:
        """Return the result of the call, or raise its exception; TimeoutError after timeout seconds."""
        try:
            return super().result(timeout)
        except concurrent.futures.TimeoutError:
            if self.done():
                raise
            raise TimeoutError("the result has not come within {0} seconds".format(timeout)) from None
        finally:
            self = None  # as an exception's traceback would keep it

    def exception(self, timeout: Optional[float] = None) -> Optional[BaseException]:
        """Return the exception of the call, or None; TimeoutError after timeout seconds."""
        try:
            return super().exception(timeout)
        except concurrent.futures.TimeoutError:
            raise TimeoutError("the result has not come within {0} seconds".format(timeout)) from None

    def _end_cancelled(self):
        """Mark the call as cancelled, and wake who waits for it."""
        with self._condition:
            self._index = None
            if not super().cancel():
                return False
            if self._state == "CANCELLED":
                self.set_running_or_notify_cancel()
        return True

    def _append_as(self, session, index):
        """Take an index for the task, and report whether the call was not cancelled before."""
        with self._condition:
            if self._state != "PENDING":
                if self._state == "CANCELLED":
                    self.set_running_or_notify_cancel()
                return False
            self._session, self._index = session, index
            return True

    def _finish(self, value, error):
        """Complete the future, unless it was cancelled."""
        self._session = None
        try:
            if error is None:
                self.set_result(value)
            else:
                self.set_exception(error)
        except concurrent.futures.InvalidStateError:
            pass


class Executor(concurrent.futures.Executor):
    """Runs calls in processes of an Allcores server, as ProcessPoolExecutor does in its own.

        with Executor(4) as ex:
            future = ex.submit(pow, 2, 10)
            print(future.result())                      # 1024
            for square in ex.map(square, range(100)):
                print(square)

    max_workers is the number of processes at once over all nodes; None for as many as the
    queue has slots. initializer(*initargs) runs once in each process before its first
    call; if it fails, the executor is broken. max_tasks_per_child replaces a process after
    so many calls. mp_context is accepted and has no effect: processes start as under spawn.

    url and token name the server (see the module). threads is the number of calls at once
    in one process. queue, name, tags and priority are the job's. What calls print appears on
    this program's standard output and error too, unless output is False. Further keywords are its
    policy: timeout (seconds per call, or "30s"), memory_limit ("512MiB"), max_attempts,
    retry_backoff, max_failures, chunk_size, cores_per_process; and interpreter and env, the
    Python and the environment variables of the processes.

    One executor is one job, `ex.job`. It is made at the first call, and sealed by shutdown,
    when the executor is dropped, or a minute after this program died. Calls that were sent
    run whether or not this program waits for them: Ctrl-C leaves the job running and prints
    how to get its results and how to cancel it.
    """

    def __init__(
        self,
        max_workers: Optional[int] = None,
        mp_context: Any = None,
        initializer: Optional[Callable[..., Any]] = None,
        initargs: Tuple[Any, ...] = (),
        *,
        max_tasks_per_child: Optional[int] = None,
        url: Optional[str] = None,
        token: Optional[str] = None,
        threads: int = 1,
        queue: Optional[str] = None,
        name: Optional[str] = None,
        tags: Iterable[str] = (),
        priority: Optional[int] = None,
        output: bool = True,
        **policy: Any,
    ):
        _check_executor(max_workers, mp_context, initializer, max_tasks_per_child, policy)
        policy.update(processes=max_workers, max_tasks_per_process=max_tasks_per_child)
        if threads != 1:
            policy["threads"] = threads
        sys.modules.setdefault("__mp_main__", sys.modules["__main__"])  # the module of its classes in results
        program = ClientProgram(Api(url, token), initializer, initargs)
        options = dict(name=name, queue=queue, tags=(tags,) if isinstance(tags, str) else tuple(tags), priority=priority)
        self._session = _Session(program, max_workers or 1, lambda: program.open_job(policy=policy, keep_alive=True, **options), output)
        weakref.finalize(self, self._session.close).atexit = False

    @property
    def job(self) -> "Job":
        """The job of this executor. It is made now if there was no call yet."""
        return self._session.opened()

    @property
    def _broken(self):
        return self._session.broken

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Schedule fn(*args, **kwargs) and return its future.

        An argument that cannot be pickled is an error of the future, not of this call.
        RuntimeError after shutdown, BrokenProcessPool if the executor is broken.
        """
        session = self._session
        session.check_open()
        future = _Future()
        try:
            line = session.program._input(fn, args, kwargs)
        except Exception as e:
            future.set_running_or_notify_cancel()
            future.set_exception(e)
            return future
        session.put(future, line)
        return future

    if sys.version_info < (3, 9):  # fn may be a keyword there
        _submit = submit

        def submit(*args, **kwargs):
            if len(args) == 1 and "fn" in kwargs:
                warnings.warn("Passing 'fn' as keyword argument is deprecated", DeprecationWarning, stacklevel=2)
                args = (args[0], kwargs.pop("fn"))
            return Executor._submit(*args, **kwargs)

        submit.__doc__ = _submit.__doc__

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: Optional[float] = None,
        chunksize: int = 1,
        buffersize: Optional[int] = None,
    ) -> Iterator[Any]:
        """Return an iterator of fn's results, in the order of the arguments, as the built-in map.

        The arguments are read at once; with buffersize only so many ahead of the results.
        TimeoutError if a result has not come timeout seconds after this call. Each call is a
        task of its own whatever chunksize is: the server groups them by their measured time.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        deadline = None if timeout is None else time.monotonic() + timeout
        arguments = zip(*iterables)
        futures = collections.deque(self.submit(fn, *args) for args in itertools.islice(arguments, buffersize))
        more = None
        if buffersize is not None:
            me = weakref.ref(self)
            more = lambda: _submit_next(me(), fn, arguments, futures)  # noqa: E731
        return _results(futures, deadline, more, self._session)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no further calls. With wait, return when all calls have ended and no thread is left.

        cancel_futures cancels the calls that have not started; as with ProcessPoolExecutor,
        the first max_workers calls count as started.
        """
        self._session.close(cancel_futures)
        if wait:
            try:
                self._session.join()
            except KeyboardInterrupt:
                self._session.leave()
                raise

    def __exit__(self, kind, value, traceback):
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self._session.leave()
        else:
            self.shutdown(wait=True)
        return False


def _check_executor(max_workers, mp_context, initializer, max_tasks_per_child, policy):
    """Raise what ProcessPoolExecutor raises for wrong arguments."""
    if max_workers is not None and max_workers <= 0:
        raise ValueError("max_workers must be greater than 0")
    if initializer is not None and not callable(initializer):
        raise TypeError("initializer must be a callable")
    if max_tasks_per_child is not None:
        if not isinstance(max_tasks_per_child, int):
            raise TypeError("max_tasks_per_child must be an integer")
        if max_tasks_per_child <= 0:
            raise ValueError("max_tasks_per_child must be >= 1")
        if mp_context is not None and mp_context.get_start_method(allow_none=False) == "fork":
            raise ValueError("max_tasks_per_child is incompatible with the 'fork' multiprocessing start method")
    for field in policy:
        if field not in _POLICY and field not in ("interpreter", "env"):
            raise TypeError("Executor() got an unexpected keyword argument {0!r}".format(field))


def _submit_next(executor, fn, arguments, futures):
    """Submit the next call of a map, if its executor is still there."""
    if executor is not None:
        for args in itertools.islice(arguments, 1):
            futures.append(executor.submit(fn, *args))


def _results(futures, deadline, more, session):
    """Yield the results of futures in their order, and cancel the rest when that ends early."""
    try:
        while futures:
            yield _next_result(futures, deadline, more)  # no name of a result is kept here
    finally:
        session.cancel_all(futures)


def _next_result(futures, deadline, more):
    """Return the result of the first future. One that does not come in time is left to be cancelled."""
    future = futures.popleft()
    if more is not None:
        more()
    try:
        return future.result(None if deadline is None else deadline - time.monotonic())
    except concurrent.futures.TimeoutError:
        if not future.done():
            futures.append(future)
        raise
    finally:
        del future
