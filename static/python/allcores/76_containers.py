def _slice_text(key):
    """Returns the JSON texts of a slice's bounds."""
    def bound(value):
        return "null" if value is None else str(operator.index(value))
    return "%s,%s,%s" % (bound(key.start), bound(key.stop), bound(key.step))


def _texts(values):
    return "[" + ",".join([_shared_text(v) for v in values]) + "]"


class _Sequence(_Shared):
    """What arrays and lists have in common. Each method is one atomic call."""

    def _in(self, value):
        return _shared_text(value)

    def _out(self, body):
        return _shared_value(body)

    def _outs(self, body):
        return _shared_items(body)

    def __len__(self) -> int:
        return int(self._object.call("len"))

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return self._outs(self._object.call("slice", _slice_text(key)))
        return self._out(self._object.call("get", str(operator.index(key))))

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(key, slice):
            items = "[" + ",".join([self._in(v) for v in value]) + "]"
            self._object.call("set_slice", _slice_text(key) + "," + items)
        else:
            self._object.call("set", "%d,%s" % (operator.index(key), self._in(value)))

    def __iter__(self) -> Iterator[Any]:
        return iter(self[:])

    def __reversed__(self) -> Iterator[Any]:
        return reversed(self[:])

    def __contains__(self, value: Any) -> bool:
        return value in self[:]

    def __str__(self) -> str:
        return repr(self[:])

    def tolist(self) -> _ListOf[Any]:
        """Returns the items, as a list of this process."""
        return self[:]


class Array(_Sequence):
    """An array of numbers that tasks share, with the indexes and slices of
    multiprocessing.Array.

    typecode is one of module array, such as "i" and "d"; size is the number of items,
    which begin as 0, or an iterable of them."""

    _kind = "array"

    def __init__(self, name: str, typecode: str = "i", size: Any = 0, *, scope: Optional[str] = None, job: Optional[str] = None) -> None:
        if typecode not in tuple("bBhHiIlLqQfd"):
            raise ValueError("typecode is one of b, B, h, H, i, I, l, L, q, Q, f and d, not %r" % (typecode,))
        self._typecode = typecode
        if isinstance(size, int):
            if size < 0:
                raise ValueError("an array has 0 or more items, not %d" % size)
            super().__init__(name, scope, job, type=typecode, size=size)
        else:
            initial = [json.loads(self._in(v)) for v in size]
            super().__init__(name, scope, job, type=typecode, size=len(initial), initial=initial)

    def __getstate__(self):
        return {"_object": self._object, "_typecode": self._typecode}

    def __str__(self) -> str:
        import array

        return repr(array.array(self._typecode, self[:]))

    @property
    def typecode(self) -> str:
        """The type of the items, as in module array."""
        return self._typecode

    def _in(self, value):
        if self._typecode not in "fd":
            return str(operator.index(value))
        if self._typecode == "f":
            value = struct.unpack("f", struct.pack("f", value))[0]
        return _shared_text(float(value))

    def _out(self, body):
        return float(_shared_value(body)) if self._typecode in "fd" else int(body)

    def _outs(self, body):
        values = _shared_items(body)
        return [float(v) for v in values] if self._typecode in "fd" else values

    def add(self, index: int, amount: Any = 1) -> Any:
        """Adds a number to an item; returns its new value."""
        return self._out(self._object.call("add", "%d,%s" % (operator.index(index), self._in(amount))))

    def index(self, value: Any) -> int:
        """Returns the first index of a value."""
        return self[:].index(value)

    def count(self, value: Any) -> int:
        """Returns how many items equal a value."""
        return self[:].count(value)

    get_lock, get_obj, acquire, release = Value.get_lock, Value.get_obj, Value.acquire, Value.release
    __enter__, __exit__ = Value.__enter__, Value.__exit__


class List(_Sequence):
    """A list that tasks share, with the methods of list. Items are any values that can
    be pickled; what is read is a copy. An operation after another is not atomic with
    it: hold a lock."""

    _kind = "list"

    def __init__(self, name: str, initial: Iterable[Any] = (), *, scope: Optional[str] = None, job: Optional[str] = None) -> None:
        items = [json.loads(_shared_text(v)) for v in initial]
        super().__init__(name, scope, job, **({"initial": items} if items else {}))

    def append(self, value: Any) -> None:
        """Appends an item."""
        self._object.call("append", _shared_text(value))

    def extend(self, values: Iterable[Any]) -> None:
        """Appends the items of an iterable."""
        self._object.call("extend", _texts(values))

    def insert(self, index: int, value: Any) -> None:
        """Inserts an item before an index."""
        self._object.call("insert", "%d,%s" % (operator.index(index), _shared_text(value)))

    def pop(self, index: int = -1) -> Any:
        """Removes and returns an item, the last one by default."""
        return _shared_value(self._object.call("pop", str(operator.index(index))))

    def __delitem__(self, key: Any) -> None:
        if isinstance(key, slice):
            self._object.call("del_slice", _slice_text(key))
        else:
            self._object.call("delete", str(operator.index(key)))

    def remove(self, value: Any) -> None:
        """Removes the first item that equals a value."""
        items = self[:]
        self._object.call("remove", _shared_text(items[items.index(value)]))

    def index(self, value: Any, start: int = 0, stop: int = sys.maxsize) -> int:
        """Returns the first index of a value."""
        return self[:].index(value, start, stop)

    def count(self, value: Any) -> int:
        """Returns how many items equal a value."""
        return self[:].count(value)

    def reverse(self) -> None:
        """Reverses the list."""
        self._object.call("reverse")

    def clear(self) -> None:
        """Removes all items."""
        self._object.call("clear")

    def sort(self, *, key: Optional[Callable[[Any], Any]] = None, reverse: bool = False) -> None:
        """Sorts the list: reads it, and sets it sorted. Hold a lock while others change it."""
        self._assign(sorted(self[:], key=key, reverse=reverse))

    def copy(self) -> _ListOf[Any]:
        """Returns the items, as a list of this process."""
        return self[:]

    def _assign(self, values):
        self._object.call("assign", _texts(values))

    def __add__(self, other: Iterable[Any]) -> _ListOf[Any]:
        return self[:] + list(other)

    def __mul__(self, times: int) -> _ListOf[Any]:
        return self[:] * times

    __rmul__ = __mul__

    def __iadd__(self, values: Iterable[Any]) -> "List":
        self.extend(values)
        return self

    def __imul__(self, times: int) -> "List":
        self._assign(self[:] * times)
        return self


class Dict(_Shared):
    """A dictionary that tasks share, with the methods of dict; keys, values and items
    return lists. Keys and values are any values that can be pickled; what is read is a
    copy, so a changed value must be set again."""

    _kind = "dict"

    def __init__(self, name: str, initial: Any = (), *, scope: Optional[str] = None, job: Optional[str] = None) -> None:
        pairs = [[json.loads(_shared_key(k)), json.loads(_shared_text(v))] for k, v in dict(initial).items()]
        super().__init__(name, scope, job, **({"initial": pairs} if pairs else {}))

    def __str__(self) -> str:
        return repr(self.copy())

    def __getitem__(self, key: Any) -> Any:
        found = _shared_items(self._object.call("get", _shared_key(key)))
        if not found:
            raise KeyError(key)
        return found[0]

    def get(self, key: Any, default: Any = None) -> Any:
        """Returns the value of a key, or the default."""
        found = _shared_items(self._object.call("get", _shared_key(key)))
        return found[0] if found else default

    def __setitem__(self, key: Any, value: Any) -> None:
        self._object.call("set", _shared_key(key) + "," + _shared_text(value))

    def __delitem__(self, key: Any) -> None:
        try:
            self._object.call("delete", _shared_key(key))
        except KeyError:
            raise KeyError(key) from None

    def pop(self, key: Any, *default: Any) -> Any:
        """Removes a key and returns its value, or the default."""
        if len(default) > 1:
            raise TypeError("pop expected at most 2 arguments, got %d" % (1 + len(default)))
        found = _shared_items(self._object.call("pop", _shared_key(key)))
        if found:
            return found[0]
        if default:
            return default[0]
        raise KeyError(key)

    def popitem(self) -> Tuple[Any, Any]:
        """Removes and returns the newest key with its value."""
        key, value = _shared_items(self._object.call("popitem"))
        return key, value

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """Returns the value of a key, which is set to the default if it is missing."""
        return _shared_value(self._object.call("setdefault", _shared_key(key) + "," + _shared_text(default)))

    def add(self, key: Any, amount: Any = 1) -> Any:
        """Adds a number to the value of a key, 0 if it is missing; returns the new value."""
        text = _shared_key(key)
        while True:
            try:
                return _shared_value(self._object.call("add", text + "," + _shared_text(amount)))
            except KeyError:
                self._object.call("setdefault", text + ",0")

    def update(self, *others: Any, **more: Any) -> None:
        """Sets the keys of a mapping, or of pairs, in one call."""
        pairs = dict(*others, **more)
        texts = ["[%s,%s]" % (_shared_key(k), _shared_text(v)) for k, v in pairs.items()]
        self._object.call("update", "[" + ",".join(texts) + "]")

    def keys(self) -> _ListOf[Any]:
        """Returns the keys, as a list."""
        return _shared_items(self._object.call("keys"))

    def values(self) -> _ListOf[Any]:
        """Returns the values, as a list."""
        return _shared_items(self._object.call("values"))

    def items(self) -> _ListOf[Tuple[Any, Any]]:
        """Returns the keys with their values, as a list of pairs."""
        pairs = json.loads(self._object.call("items").decode())
        return [tuple([_decode(v, _shared_get) if type(v) is dict and "$allcores" in v else v for v in pair]) for pair in pairs]

    def copy(self) -> _DictOf[Any, Any]:
        """Returns a dict of this process."""
        return dict(self.items())

    def clear(self) -> None:
        """Removes all keys."""
        self._object.call("clear")

    def __contains__(self, key: Any) -> bool:
        return self._object.call("contains", _shared_key(key)) == b"true"

    def __iter__(self) -> Iterator[Any]:
        return iter(self.keys())

    def __len__(self) -> int:
        return int(self._object.call("len"))
