# Pool: multiprocessing.Pool's interface over one Executor.


class _PoolExecutor:
    """Owns a Pool's executor and the threads that read its iterables.

    A Pool refers to it, and it never refers to the Pool, so a Pool that its user drops is
    collected. Its methods may be called from any thread.
    """

    def __init__(self, executor):
        self.executor = executor
        self.terminated = False
        self._lock = threading.Lock()
        self._feeders = []
        self._closed = False

    def submit(self, function, args, kwds):
        return self.executor.submit(function, *args, **kwds)

    def feed(self, read):
        """Run read, which submits the tasks of an iterable, in a thread of its own."""

        def run():
            try:
                read()
            finally:
                with self._lock:
                    self._feeders.remove(thread)
                    last = self._closed and not self._feeders
                if last:
                    self.executor.shutdown(wait=False)

        thread = threading.Thread(target=run, name="allcores-pool-feeder", daemon=True)
        with self._lock:
            self._feeders.append(thread)
        thread.start()

    def close(self):
        """Submit nothing more, once the iterables at hand are read."""
        with self._lock:
            self._closed = True
            busy = bool(self._feeders)
        if not busy:
            self.executor.shutdown(wait=False)

    def terminate(self):
        """Cancel the job with its running tasks."""
        self.terminated = True
        _abort(self.executor)

    def leave(self):
        """Close, and print how to come back to the job, which goes on."""
        self.terminated = True
        self.executor._session.leave()

    def join(self):
        with self._lock:
            feeders = list(self._feeders)
        for thread in feeders:
            if thread is not threading.current_thread():
                thread.join()
        self.executor.shutdown(wait=True)

    def drop(self):
        """Terminate, as multiprocessing does with a pool that was forgotten, or leave the job after Ctrl-C."""
        if self.terminated or self.executor._session.forks != _forks:
            return
        if getattr(sys, "last_type", None) is KeyboardInterrupt:
            self.leave()
        else:
            self.terminate()


class _Window:
    """Bounds the tasks of one iterable that wait or run at once, so that an endless one may be read.

    The bound follows the tasks: it is about what they do in half a second to two seconds.
    """

    LEAST, MOST = 32, 4096

    def __init__(self):
        self._cond = threading.Condition()
        self._size = self.LEAST
        self._open = self._ended = 0  # tasks that have not ended; that have since _began
        self._began = time.monotonic()

    def enter(self, timeout):
        """Wait for room for a task, at most timeout seconds, and report whether there is."""
        with self._cond:
            if not self._cond.wait_for(lambda: self._open < self._size, timeout):
                return False
            self._open += 1
            return True

    def leave(self):
        """Note that a task has ended."""
        with self._cond:
            self._open -= 1
            self._ended += 1
            if self._ended >= self._size:
                took, self._began = time.monotonic() - self._began, time.monotonic()
                self._ended = 0
                if took < 0.5:
                    self._size = min(2 * self._size, self.MOST)
                elif took > 2:
                    self._size = max(self._size // 2, self.LEAST)
            self._cond.notify()


_pools = weakref.WeakSet()  # of what is not collected


def _drop_pools():
    for core in list(_pools):
        core.drop()


# As the interpreter ends this runs before executors are waited for: the last comes first.
if hasattr(threading, "_register_atexit"):
    threading._register_atexit(_drop_pools)
else:
    import atexit

    atexit.register(_drop_pools)


def _abort(executor):
    """Cancel an executor's job with its running tasks. A job whose tasks have all ended is sealed instead."""
    session = executor._session
    if session.forks != _forks:
        return
    with session.changed:
        session.closed = True
        waiting = [future for future, _ in session.outbox.waiting]
        session.outbox.waiting.clear()
        running = bool(session.futures)
        session.changed.notify_all()
    for future in waiting:
        future._end_cancelled()
    if running:
        with contextlib.suppress(Error):
            session.api.request("POST", "/api/v1/jobs/{0}/cancel".format(session.job.id), accept=(404, 409), patience=5.0)


def _mapstar(function, items):
    """Run the items of one chunk inside a task."""
    return [function(item) for item in items]


def _starmapstar(function, items):
    """Run the items of one chunk, each a tuple of arguments, inside a task."""
    return [function(*item) for item in items]


def _chunks(iterable, size):
    """Yield tuples of size items. An error of the iterable drops its unfinished tuple."""
    iterator = iter(iterable)
    while True:
        chunk = tuple(itertools.islice(iterator, size))
        if not chunk:
            return
        yield chunk


def _pool_outcome(future):
    """Return (succeeded, value or exception) of a done future, with the exceptions of multiprocessing."""
    if future.cancelled():
        return False, concurrent.futures.CancelledError("the pool was terminated")
    error = future.exception()
    if error is None:
        return True, future.result()
    return False, _pool_error(error)


def _pool_error(error):
    """Return an error of a future as multiprocessing raises it."""
    if hasattr(error, "_allcores_value"):
        from multiprocessing.pool import MaybeEncodingError

        return MaybeEncodingError(error, _Repr(error._allcores_value))
    trace = getattr(error.__cause__, "tb", None)
    if isinstance(trace, str):
        from multiprocessing.pool import RemoteTraceback

        error.__cause__ = RemoteTraceback(trace)
    return error


class _Repr:
    """An object known by its repr only."""

    def __init__(self, text):
        self._text = text

    def __repr__(self):
        return self._text


class AsyncResult:
    """The result of `Pool.apply_async`, `map_async` and `starmap_async`.

    `get(timeout)` returns the value or raises the task's exception. After `timeout`
    seconds without a result it raises `multiprocessing.TimeoutError`.
    """

    def __init__(self, pool, callback=None, error_callback=None):
        self._pool = pool  # keeps the pool while it owes this result
        self._event = threading.Event()
        self._callback = callback
        self._error_callback = error_callback
        self._success = True
        self._value = None

    def ready(self) -> bool:
        """Report whether the call has ended."""
        return self._event.is_set()

    def successful(self) -> bool:
        """Report whether the call ended without an exception. ValueError if it has not ended."""
        if not self.ready():
            raise ValueError("{0!r} not ready".format(self))
        return self._success

    def wait(self, timeout: Optional[float] = None) -> None:
        """Wait until the call has ended, at most timeout seconds."""
        self._event.wait(timeout)

    def get(self, timeout: Optional[float] = None) -> Any:
        """Return the value, or raise what the call raised."""
        self.wait(timeout)
        if not self.ready():
            raise TimeoutError("no result within {0} seconds".format(timeout))
        if self._success:
            return self._value
        raise self._value

    def _arrived(self, future):
        self._end(*_pool_outcome(future))

    def _end(self, success, value):
        self._success, self._value = success, value
        callback = self._callback if success else self._error_callback
        self._callback = self._error_callback = None
        try:
            if callback and not isinstance(value, concurrent.futures.CancelledError):
                callback(value)
        except Exception:
            import traceback

            traceback.print_exc()
        finally:
            self._pool = None
            self._event.set()

    if hasattr(types, "GenericAlias"):
        __class_getitem__ = classmethod(types.GenericAlias)


ApplyResult = AsyncResult


class MapResult(AsyncResult):
    """The result of `map_async` and `starmap_async`: the list of values in order of the iterable.

    It is ready when all tasks have ended, and raises the exception that came first.
    """

    def __init__(self, pool, length, callback=None, error_callback=None):
        super().__init__(pool, callback, error_callback)
        self._lock = threading.Lock()
        self._values = [None] * length
        self._error = None
        self._left = None  # tasks that have not ended; None while they are submitted
        self._ended = 0

    def _task(self, at, size):
        """Return the callback for a task that gives size values from position at; None: one plain value."""

        def arrived(future):
            self._arrived_at(at, size, *_pool_outcome(future))

        return arrived

    def _arrived_at(self, at, size, success, value):
        with self._lock:
            if success:
                self._values[at : at + (size or 1)] = value if size else [value]
            elif self._error is None:
                self._error = value
            self._ended += 1
            if self._ended != self._left:
                return
        self._finish()

    def _submitted(self, tasks, error=None):
        """Note that all tasks are submitted, with what stopped the iterable."""
        with self._lock:
            if error is not None and self._error is None:
                self._error = error
            self._left = tasks
            if self._ended != tasks:
                return
        self._finish()

    def _finish(self):
        values, self._values = self._values, None
        if self._error is None:
            self._end(True, values)
        else:
            self._end(False, self._error)


class IMapIterator:
    """The iterator of `Pool.imap`. `next(timeout)` may raise `multiprocessing.TimeoutError` and be called again."""

    def __init__(self, pool):
        self._pool = pool
        self._cond = threading.Condition()
        self._items = collections.deque()
        self._early = {}  # outcomes that came before their turn
        self._index = 0  # outcomes that have been given to _items
        self._length = None

    def __iter__(self):
        return self

    def next(self, timeout: Optional[float] = None) -> Any:
        """Return the next value, or raise what its task raised."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._cond:
            while not self._items:
                if self._index == self._length:
                    self._pool = None
                    raise StopIteration
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError("no result within {0} seconds".format(timeout))
                self._cond.wait(left)
            success, value = self._items.popleft()
        if success:
            return value
        raise value

    __next__ = next

    def _set(self, at, outcome):
        with self._cond:
            self._early[at] = outcome
            while self._index in self._early:
                self._items.append(self._early.pop(self._index))
                self._index += 1
            self._cond.notify_all()

    def _set_length(self, length):
        with self._cond:
            self._length = length
            self._cond.notify_all()


class IMapUnorderedIterator(IMapIterator):
    """The iterator of `Pool.imap_unordered`: values as their tasks end."""

    def _set(self, at, outcome):
        with self._cond:
            self._items.append(outcome)
            self._index += 1
            self._cond.notify_all()
