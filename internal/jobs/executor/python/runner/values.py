"""Converts inputs, outputs and failures from and to JSON."""
import json
from array import array
from errno import ENOMEM
from json.encoder import c_make_encoder, encode_basestring_ascii as encode_string
from math import isfinite

from .unencodable import note as said, survey, text_keys

FILE = "program.py"         # the name of the program's source in tracebacks
MODULE = "__allcores__"     # its module; not __main__, whose guarded block must not run

MAX_OUTPUT = 32 << 20       # bytes of one output; larger is a failure
MAX_MESSAGE, MAX_TRACEBACK = 8000, 32000  # characters
MAX_PAYLOAD = 4 << 20       # bytes of UTF-8 of what an exception carries for the submitter

BULK = 16384                # scalars encoded at once
FEW = 64                    # fewer numbers are smaller as lines, unless others go before them
DIGITS = "%d\n" * BULK

# Forms of neighbouring outputs, as the parent's frames are called: lines of JSON,
# or numbers in 8 bytes each.
LINES, INTS, FLOATS = "O", "I", "F"
encode_scalars = json.JSONEncoder(separators=("\n", ":"), allow_nan=False, check_circular=False).encode


def integers(values):
    """Returns the lines of integers."""
    n = len(values)
    return DIGITS[:3 * n] % tuple(values) if n <= BULK else "%d\n" * n % tuple(values)


def packed(values, uniform, before):
    """Returns the form for outputs of the type uniform (None: several types), and their bytes
    unless it is LINES. before is the form of the outputs before them: after numbers, numbers stay
    numbers however few they are, so that the form of a chunk does not depend on when its outputs
    were sent."""
    enough = len(values) >= FEW
    try:
        if uniform is int and (enough or before == INTS):
            return INTS, array("q", values).tobytes()
        if uniform is float and (enough or before == FLOATS) and all(map(isfinite, values)):
            return FLOATS, array("d", values).tobytes()
    except OverflowError:
        pass
    return LINES, None


def unpacked(form, data):
    """Returns the lines of numbers that were packed."""
    values = array("q" if form == INTS else "d", data).tolist()
    return (integers(values) if form == INTS else encode_scalars(values)[1:-1] + "\n").encode()


class Undecodable:
    """Stands for an input that Python could not read."""

    def __init__(self, error):
        self.error = error


def numpy_value(o):
    """Converts what json cannot encode: numpy's scalars and arrays become numbers and lists."""
    if type(o).__module__ == "numpy" and hasattr(o, "tolist"):
        return o.tolist()
    raise TypeError("Object of type %s is not JSON serializable" % type(o).__name__)


def encoder():
    """Returns a function that encodes one value at a time. Only one thread may use it, and
    not again once it has raised."""
    if c_make_encoder is None:
        return json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=numpy_value).encode
    # What JSONEncoder.encode makes anew for each value takes as long as encoding a small one.
    make = c_make_encoder({}, numpy_value, encode_string, None, ":", ",", False, False, False)

    def encode(o):
        parts = make(o, 0)
        return parts[0] if len(parts) == 1 else "".join(parts)
    return encode


def parse(data, count):
    """Returns the inputs of count lines of JSON, and whether some may be Undecodable. It parses
    them at once, and one by one only when that fails."""
    try:
        values = json.loads("[" + data.decode("utf-8", "surrogatepass").rstrip("\n").replace("\n", ",") + "]")
        if len(values) == count:
            return values, False
    except Exception:
        pass
    values = []
    for line in data.rstrip(b"\n").split(b"\n"):
        try:
            values.append(json.loads(line))
        except Exception as e:
            values.append(Undecodable(e))
    return values, True


def checked(f):
    """Wraps f, to fail for inputs that could not be read."""

    def call(x):
        if type(x) is Undecodable:
            raise ValueError("the input cannot be read: %s" % x.error) from None
        return f(x)
    return call


hidden = []  # paths of the program's file


def hide(path):
    """Makes tracebacks name the file of that path FILE."""
    hidden.append(path)


def cut(text, most):
    return text if len(text) <= most else text[:most] + "\u2026 [cut]"


def type_name(cls):
    name = getattr(cls, "__qualname__", "") or "Exception"
    module = getattr(cls, "__module__", None)
    return name if module in (None, "builtins", "__main__", MODULE) else "%s.%s" % (module, name)


def lacks_memory(e):
    try:
        return isinstance(e, MemoryError) or isinstance(e, OSError) and e.errno == ENOMEM
    except BaseException:
        return False


def failed_line(e, memory_limit):
    """Returns the line of a task that raised e: its TaskError with the text that e carries for
    the submitter, which nobody else reads."""
    text, carried = describe(e, memory_limit), payload(e)
    if carried:
        text = text[:-1] + "," + carried + "}"
    return b"!" + text.encode() + b"\n"


def payload(e):
    """Returns the members for e.__allcores_payload__, a str, in a TaskError; empty without one.
    They go last, so that a reader may cut them off."""
    try:
        text = getattr(e, "__allcores_payload__", None)
        if not isinstance(text, str):
            return ""
        if len(text) > MAX_PAYLOAD or not text.isascii() and len(text.encode("utf-8", "surrogatepass")) > MAX_PAYLOAD:
            return '"payload_dropped":true'
        return '"payload":' + encode_string(text)
    except BaseException:
        return '"payload_dropped":true'


def describe(e, memory_limit=""):
    """Returns the TaskError of an exception as JSON. memory_limit is a phrase."""
    kind, message, trace = "exception", "", ""
    try:
        name = type_name(type(e))
    except Exception:
        name = "Exception"
    try:
        message = str(e)
    except BaseException as broken:
        message = "<str() of the exception raised %s>" % type(broken).__name__
    if memory_limit and lacks_memory(e):
        kind = "memory"
        message = ("%s: " % message if message else "") + "it needed more than " + memory_limit
    try:
        import traceback
        tb = e.__traceback__
        while tb is not None and tb.tb_frame.f_code.co_filename != FILE:
            tb = tb.tb_next
        if tb is not None or isinstance(e, SyntaxError):
            lines = traceback.TracebackException(type(e), e, tb, limit=-100).format()
            trace = "".join(lines)
            for path in hidden:
                trace = trace.replace(path, FILE)
            trace = trace.replace(MODULE + ".", "")
    except BaseException:
        pass
    return failure(kind, name, message, trace)


def failure(kind, name, message, trace=""):
    error = {"kind": kind, "type": name, "message": cut(message, MAX_MESSAGE)}
    if trace:
        if len(trace) > MAX_TRACEBACK:
            trace = trace[:MAX_TRACEBACK // 2] + "\n  \u2026 [cut]\n" + trace[-MAX_TRACEBACK // 2:]
        error["traceback"] = trace
    return json.dumps(error, separators=(",", ":"))


def not_json(e, why):
    if not why:
        why = "it is nested too deeply" if isinstance(e, RecursionError) else str(e)
    return b"!" + failure("exception", type_name(type(e)), "the output is not JSON: " + why).encode() + b"\n"


def encoded(r, note):
    """Returns the line of an output, and whether it is a failure. note is called with a
    line for the task's log."""
    try:
        text = encoder()(r)
    except BaseException as e:
        why = None
        try:
            if "Circular" in str(e):
                why = "it contains itself"
            elif not isinstance(e, RecursionError):
                why = survey(r)[1]
        except BaseException:
            pass  # it changes, or has methods that raise
        return not_json(e, why), True
    if len(text) > MAX_OUTPUT:
        return too_large(len(text)), True
    if not text_keys(r, text):
        renamed, why = survey(r)
        if why:
            return not_json(ValueError(), why), True
        note(said(renamed))
    return text.encode() + b"\n", False


def too_large(size):
    text = failure("exception", "OverflowError", "the output of %d bytes is larger than %d MiB" % (size, MAX_OUTPUT >> 20))
    return b"!" + text.encode() + b"\n"
