class Lock(_Shared):
    """A lock that one task holds at a time. It is released when the task that holds it
    ends in any way."""

    _kind = "lock"
    _type = ""

    def __init__(self, name: str, *, scope: Optional[str] = None, job: Optional[str] = None) -> None:
        super().__init__(name, scope, job, **({"type": self._type} if self._type else {}))

    def acquire(self, block: bool = True, timeout: Optional[float] = None, *, blocking: bool = True) -> bool:
        """Acquires the lock; returns whether it did, in time. blocking is threading's word
        for block."""
        return self._object.call("acquire", "", _wait_time(block and blocking, _lock_time(timeout))) == b"true"

    def release(self) -> None:
        """Releases the lock."""
        self._object.call("release")

    def locked(self) -> bool:
        """Returns whether a task holds the lock."""
        return self._object.call("locked") == b"true"

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: Any) -> None:
        self.release()


class RLock(Lock):
    """A lock that the task which holds it can acquire again. It is free when released as
    often as acquired."""

    _type = "reentrant"

    def acquire(self, block: bool = True, timeout: Optional[float] = None, *, blocking: bool = True) -> bool:
        """Acquires the lock; returns whether it did, in time."""
        gate = _gate(self._object)
        if gate is None:
            return super().acquire(block, timeout, blocking=blocking)
        wait = _wait_time(block and blocking, _lock_time(timeout))
        if not (gate.acquire() if wait is None else gate.acquire(timeout=max(wait, 0))):
            return False
        acquired = False
        try:
            acquired = super().acquire(block, timeout, blocking=blocking)
        finally:
            if not acquired:
                gate.release()
        return acquired

    def release(self) -> None:
        """Releases the lock."""
        super().release()
        gate = _gate(self._object)
        if gate is not None:
            with contextlib.suppress(RuntimeError):
                gate.release()


def _lock_time(timeout):
    """Returns the time that acquire waits: threading's -1 means for ever, while
    multiprocessing takes a negative time for 0."""
    return None if timeout == -1 else timeout


class Event(_Shared):
    """A flag that tasks wait for."""

    _kind = "event"

    def __init__(self, name: str, *, scope: Optional[str] = None, job: Optional[str] = None) -> None:
        super().__init__(name, scope, job)

    def is_set(self) -> bool:
        """Returns whether the flag is set."""
        return self._object.call("is_set") == b"true"

    def set(self) -> None:
        """Sets the flag, which wakes all that wait."""
        self._object.call("set")

    def clear(self) -> None:
        """Clears the flag."""
        self._object.call("clear")

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Waits until the flag is set; returns whether it is."""
        return self._object.call("wait", "", timeout) == b"true"


class Semaphore(_Shared):
    """A number of permits, n at first. The permits of a task that fails come back."""

    _kind = "semaphore"
    _type = ""

    def __init__(self, name: str, n: int = 1, *, scope: Optional[str] = None, job: Optional[str] = None) -> None:
        if n < 0:
            raise ValueError("semaphore initial value must be >= 0")
        super().__init__(name, scope, job, size=n, **({"type": self._type} if self._type else {}))

    def acquire(self, block: bool = True, timeout: Optional[float] = None, *, blocking: bool = True) -> bool:
        """Takes a permit; returns whether it did, in time."""
        return self._object.call("acquire", "", _wait_time(block and blocking, _lock_time(timeout))) == b"true"

    def release(self, n: int = 1) -> None:
        """Gives permits back."""
        self._object.call("release", "" if n == 1 else str(n))

    def get_value(self) -> int:
        """Returns the number of permits that are free."""
        return int(self._object.call("value"))

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: Any) -> None:
        self.release()


class BoundedSemaphore(Semaphore):
    """A semaphore that never has more permits than at first: release raises ValueError."""

    _type = "bounded"


class Condition(_Shared):
    """A condition variable with a reentrant lock of its own, or with the lock given."""

    _kind = "condition"

    def __init__(self, name: str, *, scope: Optional[str] = None, job: Optional[str] = None) -> None:
        super().__init__(name, scope, job)

    def acquire(self, block: bool = True, timeout: Optional[float] = None) -> bool:
        """Acquires the condition's lock; returns whether it did, in time."""
        return self._object.call("acquire", "", _wait_time(block, _lock_time(timeout))) == b"true"

    def release(self) -> None:
        """Releases the condition's lock."""
        self._object.call("release")

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Releases the lock, waits to be notified, and acquires it again. Returns whether it
        was notified in time."""
        return self._object.call("wait", "", timeout) == b"true"

    def wait_for(self, predicate: Callable[[], Any], timeout: Optional[float] = None) -> Any:
        """Waits until the predicate gives a true value; returns its last value."""
        end = None if timeout is None else time.monotonic() + timeout
        result = predicate()
        while not result:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
            result = predicate()
        return result

    def notify(self, n: int = 1) -> None:
        """Wakes up to n of those that wait."""
        self._object.call("notify", str(n))

    def notify_all(self) -> None:
        """Wakes all that wait."""
        self._object.call("notify_all")

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: Any) -> None:
        self.release()


class Barrier(_Shared):
    """A point at which n tasks wait for each other. A task that dies while others wait
    for it breaks the barrier: they get threading.BrokenBarrierError."""

    _kind = "barrier"

    def __init__(self, name: str, n: int, action: Optional[Callable[[], Any]] = None, timeout: Optional[float] = None, *,
                 scope: Optional[str] = None, job: Optional[str] = None) -> None:
        if n < 1:
            raise ValueError("parties must be > 0")
        super().__init__(name, scope, job, size=n)
        self._action, self._timeout = action, timeout

    def __getstate__(self):
        return dict(self.__dict__)

    def wait(self, timeout: Optional[float] = None) -> int:
        """Waits for the others; returns a number that is another one for each of them."""
        timeout = self._timeout if timeout is None else timeout
        index = int(self._object.call("wait", "", timeout))
        if self._action is None:
            return index
        acted = self._sibling(Barrier, ".action", n=self._object.params["size"])
        if index == 0:
            try:
                self._action()
            except BaseException:
                acted.abort()
                self.abort()
                raise
        acted.wait(timeout)
        return index

    def reset(self) -> None:
        """Makes the barrier whole. Those that wait get BrokenBarrierError."""
        self._object.call("reset")

    def abort(self) -> None:
        """Breaks the barrier."""
        self._object.call("abort")

    def _state(self):
        return json.loads(self._object.call("state").decode())

    @property
    def parties(self) -> int:
        """How many tasks the barrier waits for."""
        return self._state()["parties"]

    @property
    def n_waiting(self) -> int:
        """How many tasks wait."""
        return self._state()["waiting"]

    @property
    def broken(self) -> bool:
        """Whether the barrier is broken."""
        return self._state()["broken"]


def progress(fraction: float, message: str = "") -> None:
    """Reports how far the running task is, from 0 to 1, with a message for its page."""
    fraction = float(fraction)
    if not 0 <= fraction <= 1:
        raise ValueError("a progress is from 0 to 1, not %r" % fraction)
    _task_progress(fraction, str(message))
