"""The user's program: loading it, and the ways to call its function."""
import sys
from time import perf_counter
from types import ModuleType

from .values import FILE, MODULE

# The innermost loops, one for each way of calling. They return early with an
# output whose type is not the expected one: number, output, True. 16 is the
# cell MARK.


def by_value(f, inputs, n, cells, append, expected):
    for x in inputs:
        cells[16] = n
        r = f(x)
        if type(r) is not expected:
            return n, r, True
        append(r)
        n += 1
    return n, None, False


def by_args(f, inputs, n, cells, append, expected):
    for x in inputs:
        cells[16] = n
        r = f(*x)
        if type(r) is not expected:
            return n, r, True
        append(r)
        n += 1
    return n, None, False


def by_kwargs(f, inputs, n, cells, append, expected):
    for x in inputs:
        cells[16] = n
        r = f(**x)
        if type(r) is not expected:
            return n, r, True
        append(r)
        n += 1
    return n, None, False


def call_value(f, x):
    return f(x)


def call_args(f, x):
    return f(*x)


def call_kwargs(f, x):
    return f(**x)


CALLS = {"value": (by_value, call_value), "args": (by_args, call_args), "kwargs": (by_kwargs, call_kwargs)}


def without_mark(source):
    """Python takes files that begin with a byte order mark, but no text."""
    return source[1:] if source[:1] == "\ufeff" else source


def load_function(source, function):
    import linecache
    source = without_mark(source)
    # An entry without a time of change is never checked against a file.
    linecache.cache[FILE] = (len(source), None, source.splitlines(True), FILE)
    module = ModuleType(MODULE)
    module.__file__ = FILE
    sys.modules[MODULE] = module
    exec(compile(source, FILE, "exec", dont_inherit=True), module.__dict__)
    f = module.__dict__.get(function)
    if f is None:
        raise AttributeError("the source has no function %s" % function)
    if not callable(f):
        raise TypeError("%s is not a function but %s" % (function, type(f).__name__))
    return f


# Nobody starts a process, and has it fill the memory, in less time.
FORKED = 500e-6


def checking_kills(f, runner):
    """f, seeing to it that it does not survive a kill for lack of memory of what it started."""

    def call(*args, **kwargs):
        t = perf_counter()
        try:
            return f(*args, **kwargs)
        finally:
            if perf_counter() - t > FORKED:
                runner.check_kills()
    return call


def await_coroutine(coroutine):
    """The result of what a plain function returned in place of a value."""
    import asyncio
    return asyncio.run(coroutine)


def is_async(f):
    """Whether f is an async def, as inspect.iscoroutinefunction, whose module
    takes 10 ms to import."""
    while hasattr(f, "func"):  # functools.partial
        f = f.func
    for g in (f, getattr(type(f), "__call__", None)):
        g = getattr(g, "__func__", g)
        code = getattr(g, "__code__", None)
        if code is not None and code.co_flags & 0x80:  # CO_COROUTINE
            return True
    return False
