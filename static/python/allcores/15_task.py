

# Inside a task: which task runs, and requests to its node over a Unix socket.
#
# ALLCORES_SOCKET has the path of the socket. ALLCORES_TASK_URL has the address there:
# http://allcores/KEY of a Python process, whose tasks change, or
# http://allcores/KEY/tasks/INDEX of a command, and of what it starts. The process that
# runs Python tasks has the module allcores_runner, whose current_task returns the
# index of the caller's task. Both variables change between the jobs of a process.


def _in_task():
    """Return whether this process belongs to a task that can reach its node."""
    return "ALLCORES_SOCKET" in os.environ and "ALLCORES_TASK_URL" in os.environ


def _task_job():
    """Return the id of the job whose task this process runs, or None."""
    return os.environ.get("ALLCORES_JOB") if _in_task() else None


def _task_index():
    """Return the index of the task in which the caller runs, or raise RuntimeError."""
    runner = sys.modules.get("allcores_runner")
    if runner is not None:
        index = runner.current_task()
    else:
        _, found, index = os.environ.get("ALLCORES_TASK_URL", "").partition("/tasks/")
        index = int(index) if found else multiprocessing.current_process()._config.get(_TASK, -1)
    if index < 0:
        raise RuntimeError(
            "no task runs here: this needs the function of a task, or a process that it started by multiprocessing"
            if _in_task()
            else "this needs the task of a job, and this program is none"
        )
    return index


_TASK = "allcores_task"


class _Config(dict):
    """The configuration that multiprocessing keeps of this process.

    Each process that is made gets a copy, with the index of the task that makes it: a
    process that is spawned does not have the module allcores_runner.
    """

    def copy(self):
        made = dict(self)
        try:
            index = sys.modules["allcores_runner"].current_task()
        except RuntimeError:  # several tasks run, and it is unknown which of them makes it
            index = -1
        if index >= 0:
            made[_TASK] = index
        return made


if "allcores_runner" in sys.modules and not multiprocessing.parent_process():
    multiprocessing.current_process()._config = _Config(multiprocessing.current_process()._config)


def _session_path():
    """Return the path of this process's session at the socket."""
    return "/" + os.environ["ALLCORES_TASK_URL"].split("/", 4)[3]


def _task_path():
    """Return the path of the caller's task at the socket."""
    return "{0}/tasks/{1}".format(_session_path(), _task_index())


_task_sockets = weakref.WeakSet()


def _leave():
    """Close what this module opened in its process, which another job takes over.

    The runner calls it before it drops this module.
    """
    process = multiprocessing.current_process()
    process._config = dict(process._config)
    for connected in list(_task_sockets):
        connected.close()


def _task_connect():
    """Return a new socket, connected to the node."""
    import socket

    path = os.environ.get("ALLCORES_SOCKET")
    if path is None:
        raise RuntimeError("this needs the task of a job, and this program is none")
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.connect(path)
    except BaseException:
        connected.close()
        raise
    _task_sockets.add(connected)
    return connected


def _task_upgrade(protocol):
    """Return a new socket on which the node speaks a protocol other than HTTP."""
    connected = _task_connect()
    try:
        head = "GET {0}/shared HTTP/1.1\r\nHost: allcores\r\nConnection: Upgrade\r\nUpgrade: {1}\r\n\r\n"
        connected.sendall(head.format(_session_path(), protocol).encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            more = connected.recv(4096)
            if not more:
                raise ConnectionError("the node has closed the connection")
            answer += more
        head, _, rest = answer.partition(b"\r\n\r\n")
        if head.split(b" ", 2)[1:2] != [b"101"] or rest:
            raise ConnectionError("the node refuses {0}: {1}".format(protocol, answer.decode("utf-8", "replace")))
    except BaseException:
        connected.close()
        raise
    return connected


_task_connections = threading.local()  # one to each thread, kept open


def _task_connection():
    """Return the thread's connection for requests, and whether it was used before."""
    kept = getattr(_task_connections, "kept", None)
    here = os.getpid(), os.environ.get("ALLCORES_SOCKET")
    if kept is not None and kept[0] == here:
        return kept[1], True
    import http.client

    connection = http.client.HTTPConnection("allcores")
    connection.sock = _task_connect()
    connection.auto_open = 0  # it would open a connection over the network
    _task_connections.kept = here, connection
    return connection, False


def _task_request(method, path, body=None, accept=()):
    """Send a request to the node; return the status and the bytes of the answer.

    path begins with _session_path() or _task_path(). ApiError if the node refuses it with
    a status that is not in accept.
    """
    from http.client import HTTPException

    while True:
        connection, used = _task_connection()
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            data = response.read()
            break
        except BaseException as e:
            connection.close()
            _task_connections.kept = None
            # The node closes a connection that was idle for long.
            if not used or not isinstance(e, (OSError, HTTPException)):
                raise
    if response.will_close:
        _task_connections.kept = None
    if response.status >= 400 and response.status not in accept:
        try:
            detail = json.loads(data.decode())["detail"]
        except (ValueError, KeyError, TypeError):
            detail = data[:200].decode("utf-8", "replace")
        raise ApiError("{0} {1}".format(response.status, detail), response.status, detail)
    return response.status, data


def _task_get(sha):
    """Return the bytes of a blob."""
    return _task_request("GET", _session_path() + "/blobs/" + sha)[1]


def _task_put(data):
    """Keep bytes as a blob of the running job; return its name."""
    import hashlib

    sha = hashlib.sha256(data).hexdigest()
    _task_request("PUT", _session_path() + "/blobs/" + sha, data)
    return sha


def _task_progress(fraction, message):
    """Report how far the running task is."""
    body = json.dumps({"fraction": fraction, "message": message}).encode()
    _task_request("POST", _task_path() + "/progress", body)
