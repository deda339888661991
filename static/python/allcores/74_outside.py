# Outside of tasks a call on a shared object is a request to the server. It is repeated
# with its key until it is answered, so it counts once.

_OUTSIDE_ERRORS = (404, 409, 410, 422)  # statuses of errors that have a kind
_SIGN_OF_LIFE = 10.0  # seconds; the locks of a client that is silent for 30 s fall


class _Outside:
    """This process as the server knows it."""

    def __init__(self):
        self.pid = os.getpid()
        self.name = "%s-%d-%s" % (_host_name(), self.pid, os.urandom(4).hex())
        self.api = None  # of the settings
        self.held = {}  # by API and address of a scope: how many locks this process holds
        self.gates = {}  # by object: the lock among the threads of this process
        self.lock = threading.Lock()
        self.keeper = None


def _host_name():
    """Returns a name of this machine, or of the container in which process ids count."""
    import socket

    try:
        ids = "%x" % os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        ids = "0"
    return (re.sub("[^A-Za-z0-9.]", "", socket.gethostname())[:40] or "host") + "-" + ids


_outside_state = None
_outside_lock = threading.Lock()


def _outside():
    """Returns the state of this process."""
    global _outside_state
    with _outside_lock:
        if _outside_state is None or _outside_state.pid != os.getpid():
            _outside_state = _Outside()
        return _outside_state


def _outside_api():
    """Returns the API of the settings."""
    me = _outside()
    if me.api is None:
        me.api = Api()
    return me.api


def _address(shared):
    """Returns the path of the scope of an object."""
    if shared.scope is not None:
        return "/api/v1/shared/" + _quoted(shared.scope)
    return "/api/v1/jobs/" + _quoted(shared.job) + "/shared"


def _outside_call(shared, op, args, timeout):
    me, api = _outside(), shared.api or _outside_api()
    body = '{"op":"%s","name":%s,"kind":"%s","client":"%s","args":[%s]' % (op, json.dumps(shared.name), shared.kind, me.name, args)
    if timeout is not None:
        body += ',"timeout":%r' % float(timeout)
    if not shared.made and shared.params is not None:
        body += ',"params":' + json.dumps(shared.params)
    body = (body + "}").encode()
    key, path = os.urandom(16).hex(), _address(shared)
    status = 202
    while status == 202:  # it waits
        status, data = api.request("POST", path, body, key=key, accept=_OUTSIDE_ERRORS)
    if status >= 400:
        problem = json.loads(data.decode())
        if "kind" not in problem:
            raise SharedError(problem.get("detail") or "the server refused the call with status %d" % status)
        raise _shared_error(problem["kind"], problem.get("detail", ""))
    answer = data[data.index(b":") + 1:data.rindex(b"}")].strip() if data.startswith(b'{"value":') else None
    if answer is None:
        answer = json.dumps(json.loads(data.decode()).get("value")).encode()
    if op in ("acquire", "release") and shared.kind in ("lock", "condition"):
        _count_held(me, api, path, 1 if op == "acquire" and answer == b"true" else -1 if op == "release" else 0)
    return answer


def _count_held(me, api, path, change):
    """Counts the locks that this process holds; while there are any, it gives signs of life."""
    if not change:
        return
    with me.lock:
        me.held[api, path] = max(0, me.held.get((api, path), 0) + change)
        if me.keeper is None:
            me.keeper = threading.Thread(target=_keep_locks, args=(me,), name="allcores-locks", daemon=True)
            me.keeper.start()
            import atexit

            atexit.register(_release_locks, me)


def _held_scopes(me):
    with me.lock:
        return [where for where, count in me.held.items() if count]


def _keep_locks(me):
    while me is _outside_state and me.pid == os.getpid():
        time.sleep(_SIGN_OF_LIFE)
        for api, path in _held_scopes(me):
            _tell(me, api, path, "ping")


def _release_locks(me):
    """Releases, as the program ends, the locks that it holds."""
    if me.pid == os.getpid():
        for api, path in _held_scopes(me):
            _tell(me, api, path, "end")


def _tell(me, api, path, op):
    with contextlib.suppress(Error):
        api.json("POST", path, {"op": op, "client": me.name}, timeout=10, patience=2.0)


def _gate(shared):
    """Returns the lock among this program's threads that goes before a reentrant lock, whose
    holder is the whole program. Inside a task there is none."""
    if shared.local or _in_task():
        return None
    me = _outside()
    with me.lock:
        return me.gates.setdefault(shared.where(), threading.RLock())
