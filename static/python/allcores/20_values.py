

# Values as JSON documents. A value that JSON represents exactly is itself; any other is
# {"$allcores": "pickle", "data": BASE64, "repr": …, "size": BYTES}, or, when its pickle is
# larger than _INLINE, {"$allcores": "blob", "sha256": …, "repr": …, "size": BYTES} beside
# a blob with the pickle. The server stores pickles and never opens them.

_MARK = "$allcores"
_INLINE = 256 << 10  # bytes of a pickle that stand in the document itself
_JSON_SIZE = 1 << 20  # bytes of JSON, about, past which a value is pickled
_JSON_DEPTH = 64  # levels of lists and dicts past which a value is pickled
_JSON_INT = 1 << 1023
_REPR = 200  # characters
_PROTOCOL = min(5, pickle.HIGHEST_PROTOCOL)

_to_json = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode
_ATOMS = frozenset((str, int, float, bool, type(None)))


def _is_atom(value, kind):
    """Return whether JSON represents a value of a type in _ATOMS exactly."""
    if kind is int:
        return -_JSON_INT < value < _JSON_INT
    if kind is str:
        return len(value) <= _JSON_SIZE and _is_text(value)
    return kind is not float or value - value == 0.0  # neither NaN nor infinite


def _atom_text(value):
    """Return the JSON of a value that is no container, or None if JSON would change it."""
    kind = type(value)
    if kind is int:
        return "%d" % value if -_JSON_INT < value < _JSON_INT else None
    if kind in _ATOMS and _is_atom(value, kind):
        return _to_json(value)
    return None


def _is_text(text):
    """Return whether a text has no lone surrogates."""
    if text.isascii():
        return True
    try:
        text.encode()
        return True
    except UnicodeEncodeError:
        return False


def _is_json(value):
    """Return whether JSON represents a value exactly, and is not too long for it.

    That a list or dict appears twice in the value is lost in JSON, so it must not.
    """
    kind = type(value)
    if kind in _ATOMS:
        return _is_atom(value, kind)
    if kind is not list and kind is not dict:
        return False
    left, seen = _JSON_SIZE, set()
    level = [value]
    for _ in range(_JSON_DEPTH):
        below = []
        for held in level:
            if id(held) in seen:
                return False
            seen.add(id(held))
            if type(held) is dict:
                if not held:
                    continue
                if set(map(type, held)) != {str} or _MARK in held or not _is_text("".join(held)):
                    return False
                left -= sum(map(len, held)) + 4 * len(held)
                held = held.values()
            left -= 4 * len(held)
            if left < 0:
                return False
            for kind in set(map(type, held)):
                if kind is list or kind is dict:
                    below.extend([v for v in held if type(v) is kind])
                elif kind not in _ATOMS:
                    return False
                else:
                    these = held if kind is bool or kind is type(None) else [v for v in held if type(v) is kind]
                    left -= _size_of_atoms(these, kind)
        if left < 0:
            return False
        if not below:
            return True
        level = below
    return False


def _size_of_atoms(values, kind):
    """Return about how many bytes of JSON the values take, or infinity if JSON would change one."""
    if kind is str:
        text = "".join(values)
        return len(text) if _is_text(text) else math.inf
    if kind is int:
        most = max(max(values), -min(values))
        return len(values) * most.bit_length() // 3 if most < _JSON_INT else math.inf
    if kind is float:
        return 12 * len(values) if all(map(math.isfinite, values)) else math.inf
    return 4 * len(values)


def _repr_of(value):
    """Return the repr of a value, cut. A large value costs no large repr."""
    try:
        text = _short.repr(value)
    except Exception as e:
        text = "<{0} whose repr raises {1}>".format(type(value).__qualname__, type(e).__name__)
    if len(text) > _REPR:
        text = text[: _REPR - 1] + "…"
    return text if _is_text(text) else text.encode("utf-8", "backslashreplace").decode()


_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = _REPR
_short.maxlist = _short.maxtuple = _short.maxdict = _short.maxset = _short.maxfrozenset = 20


def _encode(value, put):
    """Return the document of a value. put stores the bytes of a blob and returns their sha256."""
    if _is_json(value):
        return value
    return _pickled(pickle.dumps(value, _PROTOCOL), value, put)


def _pickled(data, value, put):
    """Return the document of a value that is pickled as data."""
    document = {_MARK: "pickle", "repr": _repr_of(value), "size": len(data)}
    if len(data) > _INLINE:
        document[_MARK] = "blob"
        document["sha256"] = put(data)
    else:
        document["data"] = base64.b64encode(data).decode()
    return document


def _decode(document, get):
    """Return the value of a document. get returns the bytes of a blob by its sha256."""
    if type(document) is dict and _MARK in document:
        return pickle.loads(_pickle_of(document, get))
    return document


def _pickle_of(document, get):
    """Return the pickle in a document."""
    if document[_MARK] == "pickle":
        return base64.b64decode(document["data"])
    if document[_MARK] == "blob":
        return get(document["sha256"])
    raise Error("a value in the form {0!r}, which this version ({1}) cannot read".format(document[_MARK], VERSION))


def _sha256(data):
    import hashlib

    return hashlib.sha256(data).hexdigest()


# Exceptions. A failed task carries {"kind": …, "pickle": BASE64, "traceback": TEXT} as an
# opaque text. kind is "raised"; "result": the result cannot be pickled, "value" being its
# repr; "arguments": the arguments cannot be unpickled; "initializer": the initializer failed.

_MAX_PAYLOAD = 4 << 20  # bytes
_MAX_TRACE = 512 << 10  # characters


class _ExceptionPickler(pickle.Pickler):
    """Pickles exceptions so that one whose __init__ takes other arguments than its args comes back."""

    def reducer_override(self, value):
        kind = type(value)
        if isinstance(value, BaseException) and kind.__reduce__ is BaseException.__reduce__:
            own = _names_of(kind)
            if "__init__" in own and not own & {"__reduce_ex__", "__setstate__", "__getstate__"}:
                return _make_exception, (kind, value.args, dict(value.__dict__))
        return NotImplemented


def _names_of(kind):
    """Return the names that the classes of an exception define, other than the built-in ones."""
    return {name for c in kind.__mro__ if c.__module__ != "builtins" for name in c.__dict__}


def _make_exception(kind, args, state):
    """Make an exception as its built-in class does, without its own __init__."""
    base = next(c for c in kind.__mro__ if c.__module__ == "builtins")
    e = base.__new__(kind, *args)
    with contextlib.suppress(TypeError):
        base.__init__(e, *args)
    e.args = args
    e.__dict__.update(state)
    return e


def _dump_exception(e):
    """Return the pickle of an exception, made by cloudpickle if its class came here by that."""
    import io

    file = io.BytesIO()
    try:
        _ExceptionPickler(file, _PROTOCOL).dump(e)
    except Exception:
        pickler = _by_value_pickler(type(e))
        if pickler is None:
            raise
        file = io.BytesIO()
        pickler(file, _PROTOCOL).dump(e)
    return file.getvalue()


def _by_value_pickler(kind):
    """Return a pickler of the cloudpickle that made a class in this process, or None."""
    for name in ("cloudpickle", "joblib.externals.cloudpickle"):
        module = sys.modules.get(name + ".cloudpickle")
        if kind in getattr(module, "_DYNAMIC_CLASS_TRACKER_BY_CLASS", ()):

            class Pickler(sys.modules[name].CloudPickler):
                def reducer_override(self, value):
                    made = _ExceptionPickler.reducer_override(self, value)
                    return made if made is not NotImplemented else super().reducer_override(value)

            return Pickler
    return None


def _trace_of(e):
    """Return the traceback of an exception as text, without the frames of this file at its start."""
    import traceback

    tb = e.__traceback__
    while tb is not None and tb.tb_frame.f_code.co_filename == __file__:
        tb = tb.tb_next
    text = "".join(traceback.format_exception(type(e), e, tb))
    if len(text) > _MAX_TRACE:
        text = text[: _MAX_TRACE // 2] + "\n  … [cut]\n" + text[-_MAX_TRACE // 2 :]
    return text


def _payload_of(e, kind, value=None):
    """Return the payload for an exception, and whether the exception itself can be in it."""
    payload = {"kind": kind}
    try:
        payload["traceback"] = _trace_of(e)
    except Exception:
        payload["traceback"] = "{0}\n".format(type(e).__qualname__)
    if value is not None:
        payload["value"] = value
    try:
        payload["pickle"] = base64.b64encode(_compressed(_dump_exception(e))).decode()
    except Exception as broken:
        payload["unpicklable"] = "{0}: {1}".format(type(broken).__name__, broken)[:2000]
        payload["type"] = type(e).__qualname__
    text = _to_json(payload)
    if len(text) > _MAX_PAYLOAD:
        payload["traceback"] = payload["traceback"][:2000] + "\n  … [cut]\n"
        text = _to_json(payload)
    return text


def _compressed(data):
    import zlib

    return zlib.compress(data, 1)


def _exception_of(text, get):
    """Return the exception of a payload."""
    import zlib

    payload = json.loads(text)
    kind, trace = payload.get("kind"), payload.get("traceback", "")
    if kind == "arguments" or kind == "initializer":
        what = "the arguments cannot be unpickled" if kind == "arguments" else "the initializer failed"
        e = _lazy_class("WorkerDied")("{0} on the worker: {1}".format(what, trace.strip().rpartition("\n")[2]))
        e._allcores_kind = kind
    elif "pickle" not in payload:
        e = TaskError(
            "{0} was raised, which cannot be pickled ({1})".format(payload.get("type"), payload.get("unpicklable")),
            type=payload.get("type") or "",
            traceback=trace,
        )
    else:
        try:
            e = pickle.loads(zlib.decompress(base64.b64decode(payload["pickle"])))
            if not isinstance(e, BaseException):
                raise TypeError("{0} is not an exception".format(type(e).__name__))
        except Exception as broken:
            e = _lazy_class("WorkerDied")(
                "the exception of the task cannot be unpickled here: {0}: {1}".format(type(broken).__name__, broken)
            )
    if kind == "result":
        e._allcores_value = payload.get("value", "")
    e.__cause__ = _remote_cause(trace)
    return e
