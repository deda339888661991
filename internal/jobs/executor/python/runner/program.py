"""Loads the user's program, and calls its function."""
import io, os, sys
from _frozen_importlib import ModuleSpec, module_from_spec
from _frozen_importlib_external import SourceFileLoader
from time import perf_counter

from .values import FILE, MODULE, hide

# The innermost loops, one for each way of calling. They return early with an
# output whose type is not the expected one: number, output, True. 16 is the
# word MARK.


def by_value(f, inputs, n, words, append, expected):
    for x in inputs:
        words[16] = n
        r = f(x)
        if type(r) is not expected:
            return n, r, True
        append(r)
        n += 1
    return n, None, False


def by_args(f, inputs, n, words, append, expected):
    for x in inputs:
        words[16] = n
        r = f(*x)
        if type(r) is not expected:
            return n, r, True
        append(r)
        n += 1
    return n, None, False


def by_kwargs(f, inputs, n, words, append, expected):
    for x in inputs:
        words[16] = n
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
    """Removes a byte order mark: Python accepts it in files, but not in text."""
    return source[1:] if source[:1] == "\ufeff" else source


class Program:
    """The source of a job, compiled once, and its module.

    The module is a file too, so that processes which a task starts by spawn or
    forkserver import it by its name. Tracebacks name it FILE all the same."""

    def __init__(self, source, function, directory):
        import linecache
        self.function = function
        self.path = os.path.join(directory, MODULE + ".py")
        source = without_mark(source)
        lines = list(io.StringIO(source, newline=None))  # as Python's tokenizer ends them
        os.mkdir(directory)
        with open(self.path, "wb") as file:
            file.write("".join(undeclared(lines[:2]) + lines[2:]).encode())
        sys.path.append(directory)
        hide(self.path)
        # An entry without a time of change is never checked against a file.
        linecache.cache[FILE] = (len(source), None, lines, FILE)
        self.code = compile(source, FILE, "exec", dont_inherit=True)

    def load(self):
        """Runs the source in a new module and returns the function."""
        spec = ModuleSpec(MODULE, SourceFileLoader(MODULE, self.path), origin=self.path)
        spec.has_location = True
        module = sys.modules[MODULE] = module_from_spec(spec)
        exec(self.code, module.__dict__)
        f = module.__dict__.get(self.function)
        if f is None:
            raise AttributeError("the source has no function %s" % self.function)
        if not callable(f):
            raise TypeError("%s is not a function but %s" % (self.function, type(f).__name__))
        return f


def undeclared(lines):
    """Disables the declaration of an encoding in lines. Importing the file would apply
    it; compile takes text and ignores it."""
    return [line.replace("coding", "c0ding") if line.lstrip(" \t\f").startswith("#") else line for line in lines]


# Starting a process and filling the memory takes longer than this, in seconds.
FORKED = 500e-6


def checking_kills(f, usage):
    """Wraps f, to end this process when the kernel killed one that f started for lack of
    memory."""

    def call(*args, **kwargs):
        t = perf_counter()
        try:
            return f(*args, **kwargs)
        finally:
            if perf_counter() - t > FORKED:
                usage.check_kills()
    return call


def await_coroutine(coroutine):
    """Returns the result of a coroutine that a plain function returned as its value."""
    import asyncio
    return asyncio.run(coroutine)


def is_async(f):
    """Returns whether f is an async def, as inspect.iscoroutinefunction does, whose
    module takes 10 ms to import."""
    while hasattr(f, "func"):  # functools.partial
        f = f.func
    for g in (f, getattr(type(f), "__call__", None)):
        g = getattr(g, "__func__", g)
        code = getattr(g, "__code__", None)
        if code is not None and code.co_flags & 0x80:  # CO_COROUTINE
            return True
    return False
