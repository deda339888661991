"""What takes the place of sys.stdout and sys.stderr."""
import struct, threading, time

from .cells import DIRTY, ROOM, SENT, UNSENT

MAX_TASK_LOG, MAX_LOG = 256 << 10, 1 << 20  # characters, of a task's stream and in all
MAX_PIECES = 1000  # of a line that does not end, and characters of one
RECORD = struct.Struct("<qBdI")             # number, stream, time, bytes of text


class Log:
    """What was printed and is not sent yet. As far as there is room a copy of it lies
    in the shared memory, for a process that dies."""

    def __init__(self, cells, room):
        self.cells, self.room = cells, room
        self.lock = threading.RLock()  # a signal handler may print, too
        self.records = []  # of (number, stream, time, text)
        self.copied = []   # bytes that the copy of each has
        self.size = 0      # characters in the records
        self.used = 0      # bytes of the room
        self.sent = 0      # records before those in the room

    def add(self, number, stream, at, text):
        with self.lock:
            self.records.append((number, stream, at, text))
            self.size += len(text)
            n, free = 0, ROOM - self.used - RECORD.size
            if free > 0:
                data = text[:free // 4 if 4 * len(text) > free else None].encode("utf-8", "replace")
                n = RECORD.size + len(data)
                self.room[self.used:self.used + n] = RECORD.pack(number, stream, at, len(data)) + data
                self.used += n
                self.cells[UNSENT] = self.used
            self.copied.append(n)

    def take(self):
        """The records to be sent, and how many there will have been then."""
        with self.lock:
            records, self.records, self.size = self.records, [], 0
            return records, self.sent + len(records)

    def forget(self, n):
        """Removes the copies of the first n, which were sent."""
        with self.lock:
            sent = sum(self.copied[:n])
            del self.copied[:n]
            left = self.used - sent
            self.cells[UNSENT] = 0
            if left:
                self.room[:left] = bytes(self.room[sent:self.used])
            self.sent += n
            self.used = left
            self.cells[SENT] = self.sent
            self.cells[UNSENT] = left


class Stream:
    """sys.stdout or sys.stderr of a program: text goes to the parent with the task's
    number. print writes what it prints in many pieces; they are put together first.
    Nothing at all is written as an end that is none, so that is an end of pieces, too."""

    encoding, errors, newlines, closed, mode = "utf-8", "replace", None, False, "w"
    current = staticmethod(lambda: -1)  # the number of the task that the caller runs in
    several = False                     # tasks run at once

    def __init__(self, runner, number):
        self.runner = runner
        self.number = number
        self.name = ("<stdout>", "<stderr>")[number]
        self.buffer = Bytes(self)
        self.pieces = []  # of a line of which the end has not come
        self.of = -1      # the task that wrote them
        self.busy = False
        self.used = {}    # characters printed by tasks in hand
        self.bar = -1, 0  # the task that wrote a line to be written over, and its characters

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError("write() argument must be str, not %s" % type(text).__name__)
        if self.several:
            with self.runner.log.lock:
                return self.collect(text)
        return self.collect(text)

    def collect(self, text):
        """Takes a piece. Another thread, or a signal handler, may do so at the same time."""
        pieces, task = self.pieces, self.current()
        if task != self.of:
            if pieces:
                self.commit()
            self.of = task
        pieces.append(text)
        if "\n" in text or not text or "\r" in text or len(text) > MAX_PIECES or len(pieces) > MAX_PIECES:
            self.commit()
        elif len(pieces) == 1:
            self.runner.cells[DIRTY] = 1
        return len(text)

    def commit(self):
        """Takes the pieces to be sent."""
        r, task = self.runner, self.of
        with r.log.lock:
            if self.busy or not self.pieces:
                return
            self.busy = True
            try:
                n = len(self.pieces)
                text = "".join(self.pieces[:n])
                del self.pieces[:n]
                self.keep(text, task)
            finally:
                self.busy = False
        if (r.log.size > MAX_LOG or r.log.used > ROOM // 2) and r.lock.acquire(blocking=False):
            try:
                r.flush_logs()
            finally:
                r.lock.release()
        r.cells[DIRTY] = 1

    def keep(self, text, task):
        """Takes text of a task as far as it is kept; the lock must be held."""
        used = self.used.get(task)
        if used is None:
            if len(self.used) > 1024:
                self.used.clear()
            used = 0
        if "\n" in text:
            self.bar = -1, 0
        elif "\r" in text:  # the parent keeps the last one only
            if self.bar[0] == task:
                used -= self.bar[1]
            self.bar = task, len(text)
        if used > MAX_TASK_LOG or not text:
            return
        self.used[task] = used + len(text)
        if used + len(text) > MAX_TASK_LOG:
            text = text[:MAX_TASK_LOG - used] + "\n[cut: a task keeps %d KiB of %s]\n" % (MAX_TASK_LOG >> 10, self.name[1:-1])
        self.runner.log.add(task, self.number, time.time(), text)

    def line(self, text):
        """Adds a line of ours."""
        self.flush()
        self.runner.log.add(self.current(), self.number, time.time(), text + "\n")
        self.runner.cells[DIRTY] = 1

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        if self.pieces:
            self.commit()

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
        self.stream.flush()

    def fileno(self):
        return self.stream.fileno()

    def isatty(self):
        return False

    def writable(self):
        return True
