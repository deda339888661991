

# HTTP: one request at a time on a kept connection, retried until the server answers.

_TOKEN_FILE = "admin-token"
_FIRST_CONTACT = 15.0  # seconds for a server that never answered,
_OUTAGE = 90.0  # and for one that did
_LONGEST_PAUSE = 1.0  # seconds between two attempts


def _settings(url, token):
    """Return the address of the server without a slash at its end, and the token."""
    url = url or os.environ.get("ALLCORES_URL")
    token = token or os.environ.get("ALLCORES_TOKEN")
    if _in_task() and not (url and token):
        raise SettingsError(
            "a task has no access to the server of its own: to submit from a task, give the executor url= and token=, or "
            'set ALLCORES_URL and ALLCORES_TOKEN for it, as in Executor(env={"ALLCORES_URL": …, "ALLCORES_TOKEN": …})'
        )
    url = (url or "http://127.0.0.1:8080").rstrip("/")
    import urllib.parse

    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError("ALLCORES_URL (or url=) is {0!r}; it must be like http://host:8080".format(url))
    if not token and (parts.hostname == "localhost" or parts.hostname.startswith("127.") or parts.hostname == "::1"):
        token = _local_token()  # sent to this machine only
    if not token:
        raise SettingsError("no token for {0}: set ALLCORES_TOKEN, or give token=".format(url))
    return parts, url, token


def _local_token():
    """Return the token that a server on this machine keeps for its administrator, or None."""
    data = os.environ.get("ALLCORES_DATA")
    if not data:
        home = os.environ.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local", "share")
        data = os.path.join(home, "allcores")
    try:
        with open(os.path.join(data, _TOKEN_FILE)) as file:
            return file.read().strip()
    except OSError:
        return None


class Api:
    """The API of one server, for one user.

        api = Api()
        api.json("GET", "/api/v1/me")      # {"name": "admin", ...}

    A request is repeated, with growing pauses, while the server cannot be reached or
    is overloaded: for 15 seconds before it has ever answered, for 90 seconds after, or
    for ALLCORES_RETRY seconds. POST requests carry an Idempotency-Key, so that one whose
    answer was lost counts once. Any thread may use an Api.
    """

    def __init__(self, url: Optional[str] = None, token: Optional[str] = None):
        self._unset = None
        try:
            self._parts, self.url, self.token = _settings(url, token)
        except SettingsError as e:
            if not _in_task():
                raise
            # A module of the user's may make an executor when a task imports it.
            self._parts, self.url, self.token, self._unset = None, "", "", str(e)
        self._lock = threading.Lock()
        self._idle = []
        weakref.finalize(self, _close_all, self._idle)  # earlier than the sockets complain
        self._pid = os.getpid()
        self._reached = False

    def __repr__(self):
        return "Api({0!r})".format(self.url)

    def json(self, method: str, path: str, value: Any = None, **options: Any) -> Any:
        """Send value and return the value that comes back. Options are those of request.

        value is sent as it is if it is bytes, else as JSON.
        """
        data = self.request(method, path, value, **options)[1]
        return json.loads(data) if data else None

    def request(
        self,
        method: str,
        path: str,
        value: Any = None,
        *,
        content_type: str = "application/json",
        key: Optional[str] = None,
        timeout: Optional[float] = None,
        patience: Optional[float] = None,
        accept: Sequence[int] = (),
    ) -> Tuple[int, bytes]:
        """Send a request, and return the status and the body of the answer.

        ApiError if the server refuses it with a status that is not in accept, Unreachable
        if it does not answer. key is the request's Idempotency-Key, timeout the seconds
        for an answer, and patience the seconds for which the request is repeated.
        """
        body = value if value is None or isinstance(value, (bytes, bytearray, memoryview)) else _to_json(value).encode()
        headers = self._headers()
        if body is not None:
            headers["Content-Type"] = content_type
        if method == "POST":
            headers["Idempotency-Key"] = key or os.urandom(16).hex()
        return self._patiently(lambda: self._once(method, path, body, headers, timeout or 90.0, accept), patience)

    def stream(self, method: str, path: str) -> "http.client.HTTPResponse":
        """Send a request and return the response, to be read as it comes and closed."""
        return self._patiently(lambda: self._open_stream(method, path), None)

    def _headers(self):
        return {"Authorization": "Bearer " + self.token, "User-Agent": "allcores-python/" + VERSION}

    def _patiently(self, attempt, patience):
        """Return what attempt returns, and repeat it while the server cannot be reached."""
        from http.client import HTTPException

        if self._unset is not None:
            raise SettingsError(self._unset)
        began, pause = time.monotonic(), 0.02
        while True:
            try:
                return attempt()
            except _Busy as e:
                reason, wait = e, e.wait
            except (OSError, HTTPException) as e:
                if isinstance(e, Unreachable):
                    raise
                reason, wait = e, 0.0
            if patience is None:
                patience = _patience(self._reached)
            left = began + patience - time.monotonic()
            if left <= 0 or _abandoned.is_set():
                raise Unreachable("{0} cannot be reached: {1}".format(self.url, _reason(reason))) from reason
            _abandoned.wait(min(max(pause * (0.5 + _fraction()), wait), left))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _once(self, method, path, body, headers, timeout, accept):
        connection, used = self._take(timeout)
        try:
            try:
                response = self._send(connection, method, path, body, headers)
            except OSError:
                # The server may have closed a connection that was idle.
                connection.close()
                if not used:
                    raise
                response = self._send(connection, method, path, body, headers)
            data = response.read()
        except BaseException:
            connection.close()
            raise
        self._reached = True
        if response.will_close:
            connection.close()
        else:
            self._give(connection)
        return _checked(response, data, accept)

    def _send(self, connection, method, path, body, headers):
        connection.request(method, self._parts.path + path, body, headers)
        return connection.getresponse()

    def _open_stream(self, method, path):
        connection = self._connection(30.0)
        try:
            # The server closes the connection after it, so that closing the response is enough.
            response = self._send(connection, method, path, None, dict(self._headers(), Connection="close"))
            if response.status >= 400:
                _checked(response, response.read(), ())
            self._reached = True
            _never_time_out(connection.sock or response.fp.raw._sock)
        except BaseException:
            connection.close()
            raise
        return response

    def _connection(self, timeout):
        import http.client

        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        return kind(self._parts.hostname, self._parts.port, timeout=timeout)

    def _take(self, timeout):
        """Return a connection, and whether it was used before."""
        with self._lock:
            if self._pid != os.getpid():
                self._idle, self._pid = [], os.getpid()  # the parent's, after a fork
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            return self._connection(timeout), False
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        connection.timeout = timeout
        return connection, True

    def _give(self, connection):
        with self._lock:
            if self._pid == os.getpid() and len(self._idle) < 4:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close the connections that are kept. The next request opens another."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            if self._pid == os.getpid():
                connection.close()


# Set when nothing shall wait for the server any longer, as the user has interrupted
# the wait for the end of the program.
_abandoned = threading.Event()


def _close_all(connections):
    while connections:
        connections.pop().close()


class _Busy(Exception):
    """The server cannot take a request now. wait is how many seconds it asks for."""

    def __init__(self, message, wait):
        super().__init__(message)
        self.wait = wait


def _patience(reached):
    try:
        return float(os.environ["ALLCORES_RETRY"])
    except (KeyError, ValueError):
        return _OUTAGE if reached else _FIRST_CONTACT


def _fraction():
    return int.from_bytes(os.urandom(2), "little") / 65536


def _reason(e):
    text = str(e) or type(e).__name__
    return e.strerror if isinstance(e, OSError) and e.strerror else text


def _checked(response, data, accept):
    """Return the status and the body of an answer, or raise what it stands for."""
    status = response.status
    if status < 400 or status in accept:
        return status, data
    detail, errors = "", []
    try:
        problem = json.loads(data)
        detail = problem.get("detail") or problem.get("title") or ""
        errors = problem.get("errors") or []
    except (ValueError, AttributeError):
        detail = data[:200].decode("utf-8", "replace").strip()
    listed = "; ".join("{0} {1}".format(e.get("location", ""), e.get("message", "")).strip() for e in errors[:5])
    text = "{0} {1}{2}".format(status, detail or response.reason, " ({0})".format(listed) if listed else "")
    if status in (429, 500, 502, 503, 504):
        try:
            wait = min(float(response.headers.get("Retry-After", 0)), 30.0)
        except ValueError:
            wait = 0.0
        raise _Busy(text, wait)
    raise ApiError(text, status, detail, errors)


def _never_time_out(sock):
    """Let reads of a stream wait for as long as the server's machine lives."""
    import socket

    sock.settimeout(None)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
