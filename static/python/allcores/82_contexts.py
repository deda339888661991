# multiprocessing as a script sees it: contexts whose methods make shared objects and
# processes on the server.


def _code_type(type_or_code):
    """Returns the ctypes type that multiprocessing takes a type or a type code for."""
    import ctypes
    from multiprocessing import sharedctypes

    made = sharedctypes.typecode_to_type.get(type_or_code, type_or_code) if isinstance(type_or_code, str) else type_or_code
    if not (isinstance(made, type) and issubclass(made, ctypes._SimpleCData)) or made._type_ in "PzZOX":
        raise TypeError("a value that processes share has a simple ctypes type or its code, such as 'i', not %r" % (type_or_code,))
    return made


class _TypedValue(Value):
    """multiprocessing.Value: a value of a ctypes type."""

    def __init__(self, ctype, *args, name, scope, lock=True):
        self._type = ctype
        super().__init__(name, ctype(*args).value, scope=scope)
        if lock not in (True, False):
            self._lock = lock

    def __getstate__(self):
        return {"_object": self._object, "_type": self._type, "_lock": self.get_lock()}

    def set(self, value):
        Value.set(self, self._type(value).value)

    def get(self):
        value = Value.get(self)
        return float(value) if self._type._type_ in "fdg" else value

    value = property(get, set)

    def __repr__(self):
        return "<Synchronized wrapper for %s>" % self._type(self.value)


def _no_attribute(self):
    raise AttributeError("an object made with lock=False has no lock")


class _RawValue(_TypedValue):
    """multiprocessing.RawValue: a value without a lock."""

    get_lock = get_obj = acquire = release = property(_no_attribute)

    def __getstate__(self):
        return {"_object": self._object, "_type": self._type}

    def __repr__(self):
        return repr(self._type(self.value))


class _TypedItems:
    """What arrays of a ctypes type do to their items."""

    def __getstate__(self):
        return dict(self.__dict__) if isinstance(self, _RawArray) else dict(self.__dict__, _lock=self.get_lock())

    def _in(self, value):
        return _shared_text(self._type(value).value)

    def __repr__(self):
        return "<SynchronizedArray wrapper for %s of %d %s>" % (type(self).__mro__[1].__name__, len(self), self._type.__name__)

    __str__ = __repr__


class _TypedArray(_TypedItems, Array):
    """multiprocessing.Array: an array of numbers of a ctypes type."""

    def __init__(self, ctype, size_or_items, *, name, scope, lock=True):
        self._type = ctype
        items = size_or_items if isinstance(size_or_items, int) else [ctype(v).value for v in size_or_items]
        Array.__init__(self, name, ctype._type_, items, scope=scope)
        if lock not in (True, False):
            self._lock = lock


class _RawArray(_TypedArray):
    """multiprocessing.RawArray: an array without a lock."""

    get_lock = get_obj = acquire = release = property(_no_attribute)


class _TypedList(_TypedItems, List):
    """multiprocessing.Array of characters or truth values."""

    def __init__(self, ctype, size_or_items, *, name, scope, lock=True):
        self._type = ctype
        if isinstance(size_or_items, int):
            items = [ctype().value] * size_or_items
        else:
            whole = size_or_items if not isinstance(size_or_items, bytes) else [size_or_items[i:i + 1] for i in range(len(size_or_items))]
            items = [ctype(v).value for v in whole]
        List.__init__(self, name, items, scope=scope)
        if lock not in (True, False):
            self._lock = lock

    get_lock, get_obj, acquire, release = Value.get_lock, Value.get_obj, Value.acquire, Value.release
    __enter__, __exit__ = Value.__enter__, Value.__exit__

    def __getitem__(self, key):
        found = List.__getitem__(self, key)
        return self._type._type_ == "c" and isinstance(key, slice) and b"".join(found) or found

    def __setitem__(self, key, value):
        if isinstance(key, slice) and isinstance(value, bytes):
            value = [value[i:i + 1] for i in range(len(value))]
        List.__setitem__(self, key, value)

    @property
    def raw(self):
        """All bytes of an array of characters."""
        return b"".join(List.__getitem__(self, slice(None)))

    @property
    def value(self):
        """The bytes of an array of characters up to the first NUL."""
        return self.raw.split(b"\0", 1)[0] if self._type._type_ == "c" else "".join(List.__getitem__(self, slice(None))).split("\0", 1)[0]

    @value.setter
    def value(self, text):
        items = [text[i:i + 1] for i in range(len(text))]
        if len(items) > len(self):
            raise ValueError("%s too long" % ("bytes" if isinstance(text, bytes) else "string"))
        if len(items) < len(self):
            items.append(self._type().value)
        List.__setitem__(self, slice(0, len(items)), items)


def _make_context(script):
    """Returns the class of the contexts of a script; multiprocessing is imported by now."""
    from multiprocessing import context as contexts

    class ScriptContext(contexts.BaseContext):
        """A context whose processes run on the server."""

        def __init__(self, name):
            self._name = name
            self.Process = _process_class(script, name)

        # Objects.

        def _named(self, cls, *args, **more):
            m = script.manager
            name = "%s-%d" % (cls.__name__.strip("_"), next(m._count))
            made = cls(*args, name=name, scope=m.scope, **more)
            made._object.api = m._api
            made._object.call("make")
            return made

        def Manager(self):
            return _ScriptManager()

        def Pipe(self, duplex=True):
            m = script.manager
            first, second = Pipe("Pipe-%d" % next(m._count), duplex, scope=m.scope)
            first._object.api = m._api
            first._object.call("make")
            return first, second

        def Lock(self):
            return self._named(Lock)

        def RLock(self):
            return self._named(RLock)

        def Condition(self, lock=None):
            return self._named(Condition) if lock is None else self._named(_LockCondition, lock=lock)

        def Semaphore(self, value=1):
            return self._named(Semaphore, n=value)

        def BoundedSemaphore(self, value=1):
            return self._named(BoundedSemaphore, n=value)

        def Event(self):
            return self._named(Event)

        def Barrier(self, parties, action=None, timeout=None):
            return self._named(Barrier, n=parties, action=action, timeout=timeout)

        def Queue(self, maxsize=0):
            return self._named(Queue, maxsize=maxsize)

        def JoinableQueue(self, maxsize=0):
            return self._named(Queue, maxsize=maxsize)

        def SimpleQueue(self):
            return self._named(SimpleQueue)

        def Value(self, typecode_or_type, *args, lock=True):
            return self._named(_TypedValue if lock else _RawValue, _code_type(typecode_or_type), *args, lock=lock)

        def Array(self, typecode_or_type, size_or_initializer, *, lock=True):
            ctype = _code_type(typecode_or_type)
            if ctype._type_ in "cu?":
                return self._named(_TypedList, ctype, size_or_initializer, lock=lock)
            return self._named(_TypedArray if lock else _RawArray, ctype, size_or_initializer, lock=lock)

        def RawValue(self, typecode_or_type, *args):
            return self.Value(typecode_or_type, *args, lock=False)

        def RawArray(self, typecode_or_type, size_or_initializer):
            return self.Array(typecode_or_type, size_or_initializer, lock=False)

        # Processes.

        def Pool(self, processes=None, initializer=None, initargs=(), maxtasksperchild=None):
            return _ScriptPool(processes, initializer, initargs, maxtasksperchild)

        def get_context(self, method=None):
            return self if method is None else _context_of(script, method)

        def get_start_method(self, allow_none=False):
            return self._name

        def set_start_method(self, method, force=False):
            raise ValueError("cannot set start method of concrete context")

        def _check_available(self):
            pass

    class DefaultContext(ScriptContext):
        """The context that module multiprocessing itself is."""

        def __init__(self):
            super().__init__(None)

        def get_start_method(self, allow_none=False):
            if script.chosen is None and allow_none:
                return None
            script.chosen = script.method()
            return script.chosen

        def set_start_method(self, method, force=False):
            if script.chosen is not None and not force:
                raise RuntimeError("context has already been set")
            if method is None and force:
                script.chosen = None
            else:
                script.chosen = _context_of(script, method)._name

        def get_context(self, method=None):
            if method is None:
                script.chosen = script.method()
            return _context_of(script, method or script.chosen)

        def get_all_start_methods(self):
            return script.methods

    return ScriptContext, DefaultContext


def _context_of(script, method):
    """Returns the context of a start method. The methods differ in what a process has of
    its parent's global variables: fork's gets those that can be pickled."""
    if method not in script.methods:
        raise ValueError("cannot find context for %r" % (method,))
    if method not in script.contexts:
        script.contexts[method] = script.context_class(method)
    return script.contexts[method]


def _process_class(script, method):
    """Returns the class Process of a context, named as multiprocessing's."""
    from multiprocessing import process as processes

    name = {None: "Process", "fork": "ForkProcess", "spawn": "SpawnProcess", "forkserver": "ForkServerProcess"}[method]

    class Process(processes.BaseProcess):
        """A process that is a task of the script's job."""

        _start_method = None

        @staticmethod
        def _Popen(process):
            return script.processes.start(process)

        def __reduce__(self):
            if type(self) is not Process:
                return super().__reduce__()
            return _process_copy, (name,), self.__dict__

    Process.__name__ = Process.__qualname__ = name
    return Process


def _process_copy(name):
    """Makes the copy of a process in its task, where multiprocessing is the real one."""
    from multiprocessing import context as contexts

    cls = getattr(contexts, name, contexts.Process)
    return cls.__new__(cls)
