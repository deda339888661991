# Shared objects: how a call reaches the server. Inside a task it is a frame on the node's
# socket (see package internal/jobs/engine/tasksocket/frames), outside a request.

_ListOf, _DictOf = List, Dict  # of typing; List and Dict are classes of shared objects below


class SharedError(Error):
    """A call on a shared object was refused or failed."""


class SharedBoundsError(SharedError, ValueError):
    """A call would exceed a bound: the length of a name, the size of an item, or
    what the objects of a job may hold. It has changed nothing."""


class SharedOwnerError(SharedError, AssertionError, RuntimeError, ValueError):
    """A lock or condition is not held by its caller."""


class DeadlockError(SharedError, RuntimeError):
    """All tasks of the job wait for shared objects, and nothing could wake them. The
    message names who waits for what."""


_SHARED_ERRORS = {
    "argument": TypeError, "mismatch": ValueError, "bounds": SharedBoundsError, "empty": queue.Empty,
    "full": queue.Full, "timeout": TimeoutError, "eof": EOFError, "closed": OSError, "index": IndexError,
    "key": KeyError, "value": ValueError, "type": TypeError, "overflow": OverflowError,
    "owner": SharedOwnerError, "broken": threading.BrokenBarrierError, "deadlock": DeadlockError,
}


def _shared_error(kind, message):
    """Returns the exception for an error that the server answered."""
    return _SHARED_ERRORS.get(kind, SharedError)(message)


_printing = False  # this process is one of a script, which shows what it prints
_script = None  # the script that runs in this process


class _Object:
    """A shared object as the server knows it: where it lives, its kind and parameters.

    scope is the name of a scope of the owner, or None for the objects of a job. job is
    that job's id, or None for the job of the running task."""

    __slots__ = ("kind", "name", "scope", "job", "params", "made", "heads", "api", "local", "end")

    def __init__(self, kind, name, scope=None, job=None, params=None, api=None):
        if not isinstance(name, str) or not name:
            raise TypeError("the name of a shared object is a text that is not empty, not %r" % (name,))
        if scope is not None and (not isinstance(scope, str) or not scope):
            raise TypeError("scope is a text that is not empty, or None for the task's job, not %r" % (scope,))
        if scope is None and job is None:
            job = _task_job()
            if job is None:
                raise RuntimeError("outside a task, a shared object needs scope=, the name of a scope of yours, or job=, a job's id")
        self.kind, self.name, self.scope, self.job, self.params = kind, name, scope, job, params
        self.made = False  # the server has it, with these parameters
        self.heads = {}    # begins of frames, by operation
        self.end = None    # the finalizer of the manager that made it here, if one did
        self.local = None  # whether calls go to this task's node; None if that is not known
        self.api = api     # of the server, outside of tasks; None for that of the settings

    def __getstate__(self):
        params = self.params
        if params and "initial" in params:
            if not self.made:
                self.call("make")  # so that what it begins with need not travel with it
            params = {k: v for k, v in params.items() if k != "initial"}
        return self.kind, self.name, self.scope, self.job, params, self.made

    def __setstate__(self, state):
        self.kind, self.name, self.scope, self.job, self.params, self.made = state
        self.heads, self.api, self.local, self.end = {}, None, None, None

    def __repr__(self):
        return "%r in %s" % (self.name, "scope %r" % self.scope if self.scope else "job %s" % self.job)

    def where(self):
        """Returns what two objects share if they are the same on the server."""
        return self.scope, None if self.scope else self.job, self.name

    def call(self, op, args="", timeout=None):
        """Makes a call. args are the arguments' JSON texts with commas between, timeout
        is in seconds, None to wait as long as it takes. Returns the answer's JSON."""
        if _printing:
            _send_printed()
        local = self.local
        if local is None:
            local = self.local = _in_task() and (self.scope is not None or self.job == _task_job())
        if timeout is not None and timeout < 0:
            timeout = 0
        if self.end is not None and not self.end.alive:
            raise SharedError("the manager of %r was shut down" % self)
        if local:
            answer = _task_call(self, op, args, timeout)
        else:
            answer = _outside_call(self, op, args, timeout)
            if _script is not None and self.name != "output":
                _script.output.answered()
        self.made = True
        return answer


# Inside a task: frames over the node's socket, one connection for each thread.

_pack_frame = struct.Struct("<IIQBHH").pack  # length, id, task, lengths of operation, scope and name
_unpack_answer = struct.Struct("<IIB").unpack_from  # length, id, status
_connections = threading.local()
_WAITING = frozenset(("get", "put", "join", "recv", "poll", "acquire", "wait"))


class _Connection:
    """The frames of one thread. A call that is interrupted leaves an answer behind, so
    it closes the connection."""

    __slots__ = ("socket", "send", "receive", "task", "number")

    def __init__(self):
        self.socket = _task_upgrade("allcores-shared")
        self.send, self.receive = self.socket.sendall, self.socket.recv
        self.task = -1  # of the last call,
        self.number = 0  # and the thread's number there

    def rest(self, data):
        """Returns the whole of an answer that begins with data."""
        while len(data) < 9:
            data += self.more(4096)
        parts, missing = [data], _unpack_answer(data)[0] + 4 - len(data)
        while missing:
            parts.append(self.more(min(missing, 1 << 20)))
            missing -= len(parts[-1])
        return b"".join(parts)

    def more(self, most):
        data = self.receive(most)
        if not data:
            raise ConnectionError("the node has closed the connection for shared objects")
        return data


def _task_call(shared, op, args, timeout):
    own = getattr(_connections, "own", None)
    if own is None:
        _hook_forks()
        own = _connections.own = _Connection()
    task = _task_index()
    if task != own.task:
        own.task, own.number = task, _thread_number(task)
    head = shared.heads.get(op) or _frame_head(shared, op)
    if shared.made and not own.number and op not in _WAITING:
        end = args.encode() + b"]}"
    else:
        end = _frame_end(shared, op, args, timeout, own.number)
    frame = _pack_frame(head[0] + len(end), 1, task, head[1], head[2], head[3]) + head[4] + end
    try:
        try:
            own.send(frame)
        except (BrokenPipeError, ConnectionResetError):
            # The node has closed it with the turn in which this process ran another task.
            own.socket.close()
            own = _connections.own = _Connection()
            own.task, own.number = task, _thread_number(task)
            own.send(frame)
        data = own.receive(4096)
        if len(data) < 9 or _unpack_answer(data)[0] + 4 != len(data):
            data = own.rest(data)
    except BaseException:
        own.socket.close()
        _connections.own = None
        raise
    if data[8]:
        problem = json.loads(data[9:].decode())
        raise _shared_error(problem.get("kind"), problem.get("message", ""))
    return data[9:]


def _frame_head(shared, op):
    """Returns what the frames of an operation have in common: a length, the lengths of
    texts, and the texts."""
    scope, name = (shared.scope or "").encode(), shared.name.encode()
    texts = op.encode() + scope + name + b'{"kind":"' + shared.kind.encode() + b'","args":['
    head = shared.heads[op] = 17 + len(texts), len(op), len(scope), len(name), texts
    return head


def _frame_end(shared, op, args, timeout, thread):
    """Returns the end of a frame, from the arguments on."""
    end = args + "]"
    if op in _WAITING:
        if timeout is not None:
            end += ',"timeout":%r' % float(timeout)
        if _has_company():
            end += ',"company":true'
    if not shared.made and shared.params is not None:
        end += ',"params":' + json.dumps(shared.params)
    if thread:
        end += ',"thread":%d' % thread
    return (end + "}").encode()


# The journal of a task has the calls of each of its threads and processes in their order,
# so those have numbers, which are the same when the task runs again: the threads of a
# task by their first calls, and forked processes by the order of the forks.


class _Threads:
    """The numbers of the threads of one process of a task."""

    def __init__(self, first):
        self.first, self.forks = first, 0
        self.numbers = {}  # by task and thread
        self.lock = threading.Lock()


_threads = _Threads(0)
_forks_hooked = False


def _thread_number(task):
    """Returns the number of the calling thread among those of a task."""
    with _threads.lock:
        numbers = _threads.numbers
        if len(numbers) > 4096:
            numbers.clear()
        key = task, threading.get_ident()
        if key not in numbers:
            numbers[key] = _threads.first + sum(1 for other, _ in numbers if other == task)
        return numbers[key]


def _hook_forks():
    global _forks_hooked
    if not _forks_hooked and hasattr(os, "register_at_fork"):
        _forks_hooked = True
        os.register_at_fork(before=_threads_before_fork, after_in_child=_threads_after_fork)


def _threads_before_fork():
    _threads.forks += 1


def _threads_after_fork():
    global _threads, _connections
    _connections = threading.local()  # the parent has its connections
    _threads = _Threads((_threads.first * 8191 + _threads.forks * 256) & 0xFFFFFFFF)


def _has_company():
    """Returns whether other threads or processes of the task go on while this one waits."""
    if _threads.first or _threads.forks:
        return True  # processes
    if threading.active_count() == 1:
        return False
    me = threading.current_thread()
    return any(t is not me and not t.name.startswith(("task_", "allcores")) for t in threading.enumerate())


def _shared_put(data):
    """Stores a pickle that is too large for a shared object's value; returns its name."""
    if _in_task():
        return _task_put(data)
    sha, api = _sha256(data), _outside_api()
    api.request("PUT", "/api/v1/blobs/" + sha, data, content_type="application/octet-stream")
    return sha


def _shared_get(sha):
    """Returns the bytes of a pickle that was stored."""
    if _in_task():
        return _task_get(sha)
    return _outside_api().request("GET", "/api/v1/blobs/" + sha)[1]
