

class _Bar:
    """A line on the terminal that shows how far a job is.

    It draws on standard error from a thread of its own while it is shown, at most
    4 times a second, and only where standard error is a terminal.
    """

    GAP = 0.25  # seconds between looks at the job

    def __init__(self, job, enabled=None):
        self._job = job
        self._enabled = _terminal(sys.stderr) if enabled is None else bool(enabled)
        self._lock = threading.Lock()
        self._wanted = False  # the user waits
        self._drawn = False  # the line is on the terminal
        self._stop = threading.Event()
        self._thread = None

    def __enter__(self):
        if self._enabled:
            self._thread = threading.Thread(target=self._run, name="allcores-progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *ignored):
        self._stop.set()
        self.hide()

    def show(self):
        """Let the line appear: the user waits for the job."""
        self._wanted = True

    def hide(self):
        """Remove the line, so that others can write to the terminal."""
        self._wanted = False
        if self._drawn:
            with self._lock:
                self._write("")

    def _run(self):
        while not self._stop.wait(self.GAP):
            if not self._wanted:
                continue
            try:
                line = _bar_line(self._job.status(), _columns(), _draws_blocks(sys.stderr))
            except Exception:
                continue  # a waiter for the job gets the error
            with self._lock:
                if self._wanted and not self._stop.is_set():
                    self._write(line)

    def _write(self, line):
        try:
            sys.stderr.write("\r\x1b[K" + line)
            sys.stderr.flush()
        except (OSError, ValueError):
            self._stop.set()
        self._drawn = bool(line)


def _terminal(stream):
    """Report whether stream is a terminal on which a line can be drawn again."""
    try:
        return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:
        return False


def _columns():
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError, AttributeError):
        return 80


def _draws_blocks(stream):
    """Report whether stream's encoding has block characters."""
    return (getattr(stream, "encoding", "") or "").lower().replace("-", "") == "utf8"


def _bar_line(job, columns, blocks):
    """Return the progress line of a job's status, at most columns - 1 characters."""
    counts = job["counts"]
    total = counts["total"]
    done = counts["succeeded"] + counts["failed"] + counts["cancelled"]
    parts = ["{:,} of {:,}".format(done, total)]
    if total:
        parts[0] += " ({:.0f} %)".format(100.0 * done / total)
    if counts["failed"]:
        parts.append("{:,} failed".format(counts["failed"]))
    if counts["cancelled"]:
        parts.append("{:,} cancelled".format(counts["cancelled"]))
    if job.get("rate"):
        parts.append(_bar_rate(job["rate"]))
    if job.get("eta_seconds") is not None and job["state"] not in _ENDED:
        parts.append(_bar_duration(job["eta_seconds"]) + " left")
    if job["state"] in ("paused", "queued") or job.get("reason"):
        parts.append(job.get("reason") or job["state"])
    text = (job.get("name") or "job") + ": " + ", ".join(parts)
    width = min(30, columns - len(text) - 5)
    if width < 5:
        return text[: columns - 1]
    filled = int(width * done / total) if total else 0
    full, empty, left, right = ("\u2588", " ", "\u2595", "\u258f") if blocks else ("#", " ", "[", "]")
    return text + " " + left + full * filled + empty * (width - filled) + right


def _bar_rate(per_second):
    if per_second >= 1:
        return "{:,.0f}/s".format(per_second)
    return "{:,.1f}/min".format(per_second * 60)


def _bar_duration(seconds):
    """Return seconds as people write them: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 10:
        return "{:.1f} s".format(seconds)
    seconds = int(seconds + 0.5)
    if seconds < 60:
        return "{} s".format(seconds)
    if seconds < 3600:
        return "{} min {} s".format(seconds // 60, seconds % 60)
    return "{} h {} min".format(seconds // 3600, seconds % 3600 // 60)
