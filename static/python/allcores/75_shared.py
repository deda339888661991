def _shared_text(value):
    """Returns the JSON text of a value for a shared object."""
    kind = type(value)
    if kind is int or kind is str or kind is bool or value is None:
        return json.dumps(value)
    return _to_json(_encode(value, _shared_put))


def _shared_key(value):
    """Returns the JSON text of a dictionary's key. Equal keys of one type have equal
    texts, for the server compares texts."""
    hash(value)  # as a dict requires
    if type(value) in (int, str, bool, type(None)):
        return json.dumps(value)
    if type(value) is float and value == value and value not in (float("inf"), float("-inf")):
        return json.dumps(int(value) if value.is_integer() else value)
    file = io.BytesIO()
    pickler = pickle.Pickler(file, 4)
    pickler.fast = True  # without a memo, so that identity among the parts does not show
    pickler.dump(value)
    data = file.getvalue()
    return json.dumps({"$allcores": "pickle", "data": base64.b64encode(data).decode(),
                       "repr": _repr_of(value), "size": len(data)}, separators=(",", ":"))


def _shared_value(body):
    """Returns the value that an answer has."""
    value = json.loads(body.decode() if type(body) is bytes else body)
    if type(value) is dict and "$allcores" in value:
        return _decode(value, _shared_get)
    return value


def _shared_items(body):
    """Returns the list of values that an answer has."""
    values = json.loads(body.decode() if type(body) is bytes else body)
    return [_decode(v, _shared_get) if type(v) is dict and "$allcores" in v else v for v in values]


class _Shared:
    """What the classes of shared objects have in common. An object can be pickled: the
    copy is the same object, in any task and on the client."""

    def __init__(self, name, scope=None, job=None, **params):
        self._object = _Object(self._kind, name, scope, job, params or None)

    @classmethod
    def __class_getitem__(cls, item):
        return cls

    _kind = ""

    @property
    def name(self):
        """The name under which tasks share the object."""
        return self._object.name

    def __repr__(self):
        return "<allcores.%s %r>" % (type(self).__name__, self._object)

    def __getstate__(self):
        return {"_object": self._object}

    def __setstate__(self, state):
        self.__dict__.update(state)

    def __reduce_ex__(self, protocol):
        return _shared_copy, (type(self),), self.__getstate__()

    def _sibling(self, cls, suffix, **params):
        """Returns a helper object that belongs to this one, such as its lock."""
        o = self._object
        made = cls(o.name + suffix, scope=o.scope, job=o.job, **params)
        made._object.api, made._object.end = o.api, o.end
        return made


def _shared_copy(cls):
    return cls.__new__(cls)


def _wait_time(block, timeout):
    """Returns how long a call waits, from the arguments that queues and locks take."""
    if not block:
        return 0
    return timeout


class Queue(_Shared):
    """A queue of items, first in, first out, shared by tasks.

    maxsize is the most items it holds; put then waits. 0 means any number. The methods
    are those of multiprocessing.JoinableQueue; queue.Empty and queue.Full are raised
    where that raises them. A task that runs again gets the items that it got before,
    and what it put is there once."""

    _kind = "queue"

    def __init__(self, name: str, maxsize: int = 0, *, scope: Optional[str] = None, job: Optional[str] = None) -> None:
        super().__init__(name, scope, job, size=max(int(maxsize or 0), 0))

    def put(self, obj: Any, block: bool = True, timeout: Optional[float] = None) -> None:
        """Puts an item. Raises queue.Full if there is no room in time."""
        self._object.call("put", _shared_text(obj), _wait_time(block, timeout))

    def get(self, block: bool = True, timeout: Optional[float] = None) -> Any:
        """Removes and returns the oldest item. Raises queue.Empty if none comes in time."""
        return _shared_value(self._object.call("get", "", _wait_time(block, timeout)))

    def put_nowait(self, obj: Any) -> None:
        """Puts an item, or raises queue.Full."""
        self.put(obj, False)

    def get_nowait(self) -> Any:
        """Removes and returns the oldest item, or raises queue.Empty."""
        return self.get(False)

    def qsize(self) -> int:
        """Returns the number of items."""
        return int(self._object.call("size"))

    def empty(self) -> bool:
        """Returns whether the queue has no item."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Returns whether put would wait."""
        return self._object.call("full") == b"true"

    def task_done(self) -> None:
        """Reports that the work for an item that was got is done."""
        self._object.call("task_done")

    def join(self, timeout: Optional[float] = None) -> None:
        """Waits until task_done was called for every item that was put."""
        self._object.call("join", "", timeout)

    def close(self) -> None:
        """Does nothing: put returns when the server has the item."""

    join_thread = cancel_join_thread = close


class SimpleQueue(Queue):
    """A queue without bounds and timeouts, as multiprocessing.SimpleQueue."""

    def get(self) -> Any:
        """Removes and returns the oldest item; waits for one."""
        return Queue.get(self)

    def put(self, obj: Any) -> None:
        """Puts an item."""
        Queue.put(self, obj)


def Pipe(name: str, duplex: bool = True, *, scope: Optional[str] = None, job: Optional[str] = None) -> "Tuple[PipeEnd, PipeEnd]":
    """Returns both ends of a pipe. What is sent into one is received from the other.
    Without duplex, the first end only receives and the second one only sends."""
    o = _Object("pipe", name, scope, job)
    return PipeEnd(o, 0, True, duplex), PipeEnd(o, 1, duplex, True)


_open_ends = weakref.WeakSet()  # ends of pipes that this process was passed


class PipeEnd(_Shared):
    """One end of a pipe, with the methods of multiprocessing's Connection."""

    _kind = "pipe"

    def __init__(self, o: "_Object", end: int, readable: bool, writable: bool) -> None:
        self._object, self._end = o, end
        self.readable, self.writable, self.closed = readable, writable, False
        self._shared = False  # other copies exist, whose number the server keeps

    def __getstate__(self):
        if self.closed:
            raise OSError("handle is closed")
        self._holders().add(1)
        self._shared = True
        return dict(self.__dict__)

    def __setstate__(self, state):
        self.__dict__.update(state)
        _open_ends.add(self)

    def _check(self, possible, what):
        if self.closed:
            raise OSError("handle is closed")
        if not possible:
            raise OSError("connection is " + what)

    def send(self, obj: Any) -> None:
        """Sends an object."""
        self._check(self.writable, "read-only")
        try:
            self._object.call("send", "%d,%s" % (self._end, _shared_text(obj)))
        except OSError as e:
            if type(e) is OSError:  # the other end
                raise BrokenPipeError(errno.EPIPE, "the other end is closed") from None
            raise

    def recv(self) -> Any:
        """Waits for an object and returns it. Raises EOFError when the other end is closed
        and nothing is left."""
        self._check(self.readable, "write-only")
        return _shared_value(self._object.call("recv", str(self._end)))

    def poll(self, timeout: Optional[float] = 0.0) -> bool:
        """Returns whether recv would not wait, after at most timeout seconds."""
        self._check(self.readable, "write-only")
        return self._object.call("poll", str(self._end), timeout) == b"true"

    def send_bytes(self, buf: Any, offset: int = 0, size: Optional[int] = None) -> None:
        """Sends bytes as one message."""
        view = memoryview(buf).cast("B")
        if offset < 0 or offset > len(view) or size is not None and (size < 0 or offset + size > len(view)):
            raise ValueError("offset and size are outside of the buffer")
        self.send(bytes(view[offset:None if size is None else offset + size]))

    def recv_bytes(self, maxlength: Optional[int] = None) -> bytes:
        """Waits for a message of bytes and returns it."""
        if maxlength is not None and maxlength < 0:
            raise ValueError("negative maxlength")
        data = self.recv()
        if not isinstance(data, bytes):
            raise OSError("the next message is an object; recv returns it")
        if maxlength is not None and len(data) > maxlength:
            raise OSError("message is too long")
        return data

    def recv_bytes_into(self, buf: Any, offset: int = 0) -> int:
        """Receives a message of bytes into a buffer; returns its length."""
        data, view = self.recv_bytes(), memoryview(buf).cast("B")
        if len(data) > len(view) - offset:
            raise multiprocessing.BufferTooShort(data)
        view[offset:offset + len(data)] = data
        return len(data)

    def close(self) -> None:
        """Closes the end. Copies that were passed to tasks stay open; when the last one
        is closed, the other end reads what is left and then gets EOFError."""
        if not self.closed:
            self.closed = True
            _open_ends.discard(self)
            if not self._shared or self._holders().add(-1) <= 0:
                self._object.call("close", str(self._end))

    def _holders(self):
        return self._sibling(Value, ".end%d" % self._end, initial=1)

    def fileno(self) -> int:
        """Is not supported: a pipe between tasks is no file."""
        raise OSError("a pipe between tasks has no file descriptor")

    def __enter__(self) -> "PipeEnd":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


class Value(_Shared):
    """A value that tasks share, any that can be pickled.

    initial is the value before the first set. add is atomic; value += 1 is a read and a
    write, so hold get_lock() for it."""

    _kind = "value"

    def __init__(self, name: str, initial: Any = 0, *, scope: Optional[str] = None, job: Optional[str] = None) -> None:
        super().__init__(name, scope, job, initial=json.loads(_shared_text(initial)))

    def get(self) -> Any:
        """Returns the value."""
        return _shared_value(self._object.call("get"))

    def set(self, value: Any) -> None:
        """Sets the value."""
        self._object.call("set", _shared_text(value))

    def add(self, amount: Any = 1) -> Any:
        """Adds a number; returns the new value."""
        body = self._object.call("add", "%d" % amount if type(amount) is int else _shared_text(amount))
        try:
            return int(body)
        except ValueError:
            return _shared_value(body)

    def compare_exchange(self, expected: Any, value: Any) -> bool:
        """Sets the value if it is what is expected; returns whether it was."""
        return self._object.call("compare_exchange", _shared_text(expected) + "," + _shared_text(value)) == b"true"

    value = property(get, set, doc="The value; setting it sets it for all tasks.")

    def get_lock(self) -> "RLock":
        """Returns the lock that belongs to the value."""
        lock = self.__dict__.get("_lock")
        if lock is None:
            lock = self._lock = self._sibling(RLock, ".lock")
        return lock

    def get_obj(self) -> "Value":
        """Returns the object itself, as multiprocessing's synchronized objects do."""
        return self

    def acquire(self, block: bool = True, timeout: Optional[float] = None) -> bool:
        """Acquires the lock that belongs to the object."""
        return self.get_lock().acquire(block, timeout)

    def release(self) -> None:
        """Releases the lock that belongs to the object."""
        self.get_lock().release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: Any) -> None:
        self.release()
