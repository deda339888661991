"""What takes the place of sys.stdout and sys.stderr."""
import time

from .cells import DIRTY

MAX_TASK_LOG, MAX_LOG = 256 << 10, 1 << 20  # characters, of a task's stream and in all


class Stream:
    """sys.stdout or sys.stderr of a program: text goes to the parent with the task's number."""

    encoding, errors, newlines, closed, mode = "utf-8", "replace", None, False, "w"

    def __init__(self, runner, number):
        self.runner = runner
        self.number = number
        self.name = ("<stdout>", "<stderr>")[number]
        self.buffer = Bytes(self)
        self.used = {}  # characters printed by tasks in hand

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError("write() argument must be str, not %s" % type(text).__name__)
        if not text:
            return 0
        r = self.runner
        task = r.current()
        used = self.used.get(task)
        if used is None:
            if len(self.used) > 1024:
                self.used.clear()
            used = 0
        if used > MAX_TASK_LOG:
            return len(text)
        self.used[task] = used + len(text)
        kept = text
        if used + len(text) > MAX_TASK_LOG:
            kept = text[:MAX_TASK_LOG - used] + "\n[cut: a task keeps %d KiB of %s]\n" % (MAX_TASK_LOG >> 10, self.name[1:-1])
        r.logs.append((task, self.number, time.time(), kept))
        r.log_size += len(kept)
        if r.log_size > MAX_LOG and r.lock.acquire(blocking=False):
            try:
                r.flush_logs()
            finally:
                r.lock.release()
        r.cells[DIRTY] = 1
        return len(text)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        pass

    def close(self):
        pass

    def fileno(self):
        return self.number + 1

    def isatty(self):
        return False

    def readable(self):
        return False

    def writable(self):
        return True

    def seekable(self):
        return False

    def reconfigure(self, **options):
        pass

    @property
    def line_buffering(self):
        return False

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        return None


class Bytes:
    """The .buffer of a Stream."""

    mode, closed = "wb", False

    def __init__(self, stream):
        self.stream = stream

    def write(self, data):
        data = bytes(data)
        self.stream.write(data.decode("utf-8", "replace"))
        return len(data)

    def flush(self):
        pass

    def fileno(self):
        return self.stream.fileno()

    def isatty(self):
        return False

    def writable(self):
        return True
