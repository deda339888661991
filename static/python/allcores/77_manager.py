class Namespace:
    """A shared object whose attributes are the tasks' to set, as Manager().Namespace."""

    def __init__(self, name: str, *, scope: Optional[str] = None, job: Optional[str] = None, **attributes: Any) -> None:
        self.__dict__["_items"] = Dict(name, attributes, scope=scope, job=job)
        self.__dict__["_object"] = self._items._object

    def __reduce__(self):
        return _shared_copy, (Namespace,), {"_items": self._items, "_object": self._object}

    def __setstate__(self, state):
        self.__dict__.update(state)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._items[name]
        except KeyError:
            raise AttributeError("'Namespace' object has no attribute %r" % name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            self.__dict__[name] = value
        else:
            self._items[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self._items[name]
        except KeyError:
            raise AttributeError("'Namespace' object has no attribute %r" % name) from None

    def __str__(self) -> str:
        return "Namespace(%s)" % ", ".join(["%s=%r" % item for item in sorted(self._items.items())])


class _LockCondition(Condition):
    """A condition with a lock that others use too. Those that wait count themselves in
    semaphores, as a condition of the server has a lock of its own."""

    def __init__(self, name, lock, scope=None, job=None):
        super().__init__(name, scope=scope, job=job)
        self._lock = lock

    def __getstate__(self):
        return {"_object": self._object, "_lock": self._lock}

    def _counter(self, what):
        return self._sibling(Semaphore, what, n=0)

    def acquire(self, block=True, timeout=None):
        return self._lock.acquire(block, timeout)

    def release(self):
        self._lock.release()

    def wait(self, timeout=None):
        self._counter(".sleeping").release()
        self._lock.release()
        try:
            return self._counter(".wake").acquire(True, timeout)
        finally:
            self._counter(".woken").release()
            self._lock.acquire()

    def notify(self, n=1):
        sleeping, woken, wake = self._counter(".sleeping"), self._counter(".woken"), self._counter(".wake")
        while woken.acquire(False):  # they gave up in time
            sleeping.acquire(False)
        told = 0
        while told < n and sleeping.acquire(False):
            wake.release()
            told += 1
        for _ in range(told):
            woken.acquire()
        while told and wake.acquire(False):  # of one that gave up meanwhile
            pass

    def notify_all(self):
        self.notify(sys.maxsize)


class Manager:
    """Makes shared objects under the names that multiprocessing's managers have. They work
    here and in every task that they are passed to:

        with Manager() as m, Executor() as ex:
            counts = m.dict()
            for future in [ex.submit(count, counts, word) for word in words]:
                future.result()
            print(counts)

    The objects live on the server, in a scope of yours with a random name, until the end
    of the with block, shutdown(), or the end of the program. url and token are those of
    Executor."""

    def __init__(self, *, url: Optional[str] = None, token: Optional[str] = None, name: Optional[str] = None) -> None:
        self._api = None
        if not _in_task():
            self._api = Api(url, token) if url or token else _outside_api()
            if name is None:
                threading.Thread(target=_drop_scopes_of_dead, args=(self._api,), name="allcores-scopes", daemon=True).start()
        self._scope = _random_scope("manager") if name is None else name
        self._count = itertools.count(1)
        self._settings = {"url": url, "token": token}
        self._end = weakref.finalize(self, _drop_scope, self._scope, self._api)

    @property
    def scope(self) -> str:
        """The name of the scope that has the objects."""
        return self._scope

    address = scope

    def __repr__(self) -> str:
        return "<allcores.Manager %r>" % self._scope

    def _make(self, cls, *args, **more):
        if not self._end.alive:
            raise RuntimeError("the manager was shut down")
        made = cls("%s-%d" % (cls.__name__.strip("_"), next(self._count)), *args, scope=self._scope, **more)
        made._object.api, made._object.end = self._api, self._end
        made.__dict__["_manager"] = self  # which stays as long as its objects here
        made._object.call("make")
        return made

    def dict(self, *args: Any, **kwargs: Any) -> "Dict":
        """Makes a dictionary, from the arguments of dict."""
        return self._make(Dict, dict(*args, **kwargs))

    def list(self, iterable: Iterable[Any] = ()) -> "List":
        """Makes a list of the items of an iterable."""
        return self._make(List, iterable)

    def Namespace(self, **attributes: Any) -> "Namespace":
        """Makes an object with attributes."""
        return self._make(Namespace, **attributes)

    def Value(self, typecode: str, value: Any, lock: bool = True) -> "Value":
        """Makes a value. The typecode is not enforced, as in multiprocessing's managers."""
        return self._make(Value, value)

    def Array(self, typecode: str, sequence: Any, lock: bool = True) -> "Array":
        """Makes an array of numbers."""
        return self._make(Array, typecode, [v for v in sequence])

    def Queue(self, maxsize: int = 0) -> "Queue":
        """Makes a queue."""
        return self._make(Queue, maxsize)

    JoinableQueue = Queue

    def Lock(self) -> "Lock":
        """Makes a lock."""
        return self._make(Lock)

    def RLock(self) -> "RLock":
        """Makes a reentrant lock."""
        return self._make(RLock)

    def Event(self) -> "Event":
        """Makes an event."""
        return self._make(Event)

    def Semaphore(self, value: int = 1) -> "Semaphore":
        """Makes a semaphore."""
        return self._make(Semaphore, value)

    def BoundedSemaphore(self, value: int = 1) -> "BoundedSemaphore":
        """Makes a bounded semaphore."""
        return self._make(BoundedSemaphore, value)

    def Condition(self, lock: Any = None) -> "Condition":
        """Makes a condition, with the lock given or one of its own."""
        return self._make(Condition) if lock is None else self._make(_LockCondition, lock)

    def Barrier(self, parties: int, action: Any = None, timeout: Optional[float] = None) -> "Barrier":
        """Makes a barrier."""
        return self._make(Barrier, parties, action, timeout)

    def Pool(self, *args: Any, **kwargs: Any) -> "Pool":
        """Makes an allcores.Pool."""
        return Pool(*args, **kwargs)

    def register(self, *_: Any, **__: Any) -> None:
        """Is not supported: objects of your own classes would need a process that has them."""
        raise NotImplementedError("an allcores.Manager has no classes but multiprocessing's; keep a pickled object in a Value")

    def start(self, initializer: Any = None, initargs: Any = ()) -> None:
        """Does nothing: the server runs already."""

    connect = start

    def shutdown(self) -> None:
        """Removes the objects."""
        self._end()

    def __enter__(self) -> "Manager":
        return self

    def __exit__(self, *_: Any) -> None:
        self.shutdown()


def _random_scope(kind):
    """Returns a name for a scope that ends with this process. It says which process that is."""
    me = _outside()
    return "%s-%s-%s" % (kind, me.name, os.urandom(4).hex())


def _drop_scopes_of_dead(api):
    """Removes the scopes of processes of this machine that were killed."""
    here = re.compile("(?:script|manager)-%s-([0-9]+)-[0-9a-f]{8}-[0-9a-f]{8}$" % re.escape(_host_name()))
    try:
        for item in api.json("GET", "/api/v1/shared", timeout=10, patience=0)["items"]:
            found = here.match(item["scope"])
            if found and not _is_alive(int(found.group(1))):
                _drop_scope(item["scope"], api)
    except Error:
        pass  # the next one tries again


def _is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # another user's
    return True


def _drop_scope(scope, api):
    """Removes a scope of the owner with its objects."""
    if api is None:
        return  # a task has no right to
    try:
        api.request("DELETE", "/api/v1/shared/" + _quoted(scope), accept=(404,), patience=5.0)
    except Error:
        pass  # another process of this machine removes it later
