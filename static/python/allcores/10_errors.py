

# The errors of this module, and how a failure on the server becomes an exception here.
# A class that derives from one of a module that takes long to import, and that a worker
# does not need, is made when it is first asked for (see __getattr__).


class Error(Exception):
    """The base of this module's own errors."""


class SettingsError(Error):
    """No server or no token is set, or a setting is wrong."""


class Unreachable(Error, ConnectionError):
    """The server does not answer. The message names its address and the reason."""


class ApiError(Error):
    """The server refused a request.

    `status` is the HTTP status, `detail` a sentence, and `errors` a list of the
    violations of a bad request, each with location, message and value.
    """

    def __init__(self, message: str, status: int = 0, detail: str = "", errors: Sequence[Dict[str, Any]] = ()):
        super().__init__(message)
        self.status, self.detail, self.errors = status, detail, list(errors)


class TaskError(Error):
    """A task failed, and the worker could not send its exception, or it was a command.

    `type` is the name of the exception's class or "exit STATUS", `kind` the server's word for the
    failure, and `traceback` the text of the traceback, or empty.
    """

    def __init__(self, message: str, kind: str = "exception", type: str = "", traceback: str = ""):
        super().__init__(message)
        self.kind, self.type, self.traceback = kind, type, traceback


class TimeoutError(concurrent.futures.TimeoutError, multiprocessing.TimeoutError):
    """A result did not come in time, or a task ran longer than its policy allows.

    It is the TimeoutError of concurrent.futures and of multiprocessing.
    """


def _make_worker_died():
    from concurrent.futures.process import BrokenProcessPool

    class WorkerDied(BrokenProcessPool):
        """A process died while it ran the task, or what it sent cannot be read.

        It is a BrokenProcessPool, as of ProcessPoolExecutor. Other tasks are not
        affected, unless the initializer failed: that breaks the executor.
        """

    return WorkerDied


_lazy = {"WorkerDied": _make_worker_died}


_lazy_lock = threading.RLock()


def _lazy_class(name):
    """Return a class of this module that is made when it is first needed."""
    with _lazy_lock:
        made = globals().get(name)
        if made is None:
            made = _lazy[name]()
            made.__module__, made.__qualname__ = __name__, name
            globals()[name] = made
        return made


def __getattr__(name):
    if name in _lazy:
        return _lazy_class(name)
    raise AttributeError("module {0!r} has no attribute {1!r}".format(__name__, name))


def _remote_cause(text, pool=False):
    """Return the cause of an exception from a task: the worker's traceback as text."""
    if pool:
        from multiprocessing.pool import RemoteTraceback as made
    else:
        from concurrent.futures.process import _RemoteTraceback as made
    return made('\n"""\n{0}"""'.format(text))


def _failure(error, blobs):
    """Return the exception of a task from the error that the server has of it."""
    payload = error.get("payload")
    if payload:
        return _exception_of(payload, blobs)
    kind, message = error.get("kind", ""), error.get("message", "")
    if kind == "timeout":
        return TimeoutError(message or "the task took too long")
    if kind == "exception" or kind == "exit":
        e = TaskError(
            "{0}: {1}".format(error.get("type", ""), message), kind, error.get("type", ""), error.get("traceback", "")
        )
    elif kind == "memory" and error.get("type") == "MemoryError":
        e = MemoryError(message)
    else:
        e = _lazy_class("WorkerDied")(message or kind)
    if error.get("traceback"):
        e.__cause__ = _remote_cause(error["traceback"])
    return e
