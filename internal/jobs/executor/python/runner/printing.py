"""Replaces sys.stdout and sys.stderr."""
import io, os, struct, threading, time
from codecs import getincrementaldecoder
from functools import partial, wraps

from .shared import DIRTY, ROOM, SENT, UNSENT

MAX_TASK_LOG, MAX_LOG = 256 << 10, 1 << 20  # characters, of a task's stream and in all
MAX_PIECES = 1000  # of a line that does not end, and characters of one
utf_8_decoder = getincrementaldecoder("utf-8")
RECORD = struct.Struct("<qBdI")             # number, stream, time, bytes of text


class Log:
    """What was printed and is not sent yet. The shared memory has a copy of it, as far as
    there is room, in case the process dies."""

    def __init__(self, words, room):
        self.words, self.room = words, room
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
                data = text[:free // 4 if 4 * len(text) > free else None].encode("utf-8", "backslashreplace")
                n = RECORD.size + len(data)
                self.room[self.used:self.used + n] = RECORD.pack(number, stream, at, len(data)) + data
                self.used += n
                self.words[UNSENT] = self.used
            self.copied.append(n)

    def take(self):
        """Returns the records to be sent, and how many were ever made."""
        with self.lock:
            records, self.records, self.size = self.records, [], 0
            return records, self.sent + len(records)

    def forget(self, n):
        """Removes the copies of the first n records, which were sent."""
        with self.lock:
            sent = sum(self.copied[:n])
            del self.copied[:n]
            left = self.used - sent
            self.words[UNSENT] = 0
            if left:
                self.room[:left] = bytes(self.room[sent:self.used])
            self.sent += n
            self.used = left
            self.words[SENT] = self.sent
            self.words[UNSENT] = left


class Stream(io.TextIOWrapper):
    """sys.stdout or sys.stderr of a program: text goes to the parent with the task's
    number. print writes what it prints in many pieces; they are joined first. print
    writes end="" as empty text, so that ends the pieces too.

    It is a text file over descriptor 1 or 2, as programs expect. Once the descriptor
    is redirected, and in processes that a task forks, text is written to it."""

    # Slots are the fastest attributes for what each write reads.
    __slots__ = "runner", "number", "current", "several", "pieces", "of", "busy", "used", "bar", "split", "pipe", "real"

    def __init__(self, runner, number):
        raw = io.FileIO(number + 1, "w", closefd=False)
        raw.name = ("<stdout>", "<stderr>")[number]
        super().__init__(Bytes(raw), "utf-8", "backslashreplace", "\n")
        self.buffer.stream = self
        self.mode = "w"
        self.runner = runner
        self.number = number
        self.current = lambda: -1  # the number of the task that the caller runs in
        self.several = False  # tasks run at once
        self.pieces = []    # of a line whose end has not come
        self.of = -1        # the task that wrote them
        self.busy = False
        self.used = {}      # characters that running tasks printed
        self.bar = -1, 0    # the task that wrote a line that it may overwrite, and its characters
        self.split = False  # the buffer has a part of a character
        self.pipe = identity(number + 1)
        self.real = False

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
        if task != self.of or self.split:
            self.change(task)
        pieces.append(text)
        if "\n" in text or not text or "\r" in text or len(text) > MAX_PIECES or len(pieces) > MAX_PIECES:
            self.commit()
        elif len(pieces) == 1:
            self.runner.words[DIRTY] = 1
        return len(text)

    def change(self, task):
        """Ends what another task has begun, and an incomplete character."""
        if self.split:
            self.split = False
            self.pieces.append(self.buffer.decode(b"", True))
        if task != self.of:
            self.commit()
            self.of = task

    def commit(self):
        """Joins the pieces into a record to be sent."""
        if not self.pieces:
            return
        r = self.runner
        with r.log.lock:
            if self.busy or not self.pieces:
                return
            self.busy = True
            task = self.of  # that of the pieces until they are taken
            try:
                n = len(self.pieces)
                text = "".join(self.pieces[:n])
                del self.pieces[:n]
                self.keep(text, task)
            finally:
                self.busy = False
        if r.log.size > MAX_LOG or r.log.used > ROOM // 2:
            r.send_logs()
        r.words[DIRTY] = 1

    def keep(self, text, task):
        """Records text of a task, up to the bound of its log; the lock must be held."""
        used = self.used.get(task)
        if used is None:
            if len(self.used) > 1024:
                self.used.clear()
            used = 0
        if "\n" in text:
            self.bar = -1, 0
        elif "\r" in text:  # the parent keeps only the last state
            if self.bar[0] == task:
                used -= self.bar[1]
            self.bar = task, len(text)
        if used > MAX_TASK_LOG or not text:
            return
        self.used[task] = used + len(text)
        if used + len(text) > MAX_TASK_LOG:
            name = ("stdout", "stderr")[self.number]
            text = text[:MAX_TASK_LOG - used] + "\n[cut: a task keeps %d KiB of %s]\n" % (MAX_TASK_LOG >> 10, name)
        self.runner.log.add(task, self.number, time.time(), text)

    def renew(self):
        """Restores the stream for another job."""
        self.of, self.used, self.bar, self.split = -1, {}, (-1, 0), False
        self.current, self.several = lambda: -1, False
        self.buffer.decoder.reset()
        if self.__dict__.pop("write", None):
            io.TextIOWrapper.reconfigure(self, encoding="utf-8", errors="backslashreplace", line_buffering=False,
                                         write_through=False)

    def line(self, text, task):
        """Adds a line of the runner itself."""
        self.commit()
        self.runner.log.add(task, self.number, time.time(), text + "\n")
        self.runner.words[DIRTY] = 1

    def flush(self):
        """Sends what was printed, so that it comes before what the program, or a process that
        it starts, writes to the descriptor next."""
        self.commit()
        self.runner.hurry()

    def close(self):
        """Closes nothing, as other tasks print too."""
        self.flush()

    def detach(self):
        self.flush()
        return self.buffer

    def reconfigure(self, **options):
        super().reconfigure(**options)
        if options and not self.real:
            self.write = self.write_configured

    def write_configured(self, text):
        """Replaces write once the program reconfigured the stream."""
        Stream.write(self, text.encode(self.encoding, self.errors).decode(self.encoding, "replace"))
        if self.write_through or self.line_buffering and ("\n" in text or "\r" in text):
            self.flush()
        return len(text)

    def follow(self):
        """Checks whether the descriptor was redirected, or is itself again."""
        if (identity(self.number + 1) != self.pipe) != self.real:
            if self.real:
                io.TextIOWrapper.flush(self)
                self.real = False
                for o in (self, self.buffer):
                    for name in ("write", "flush"):
                        o.__dict__.pop(name, None)
            else:
                self.commit()
                self.become_real()

    def become_real(self):
        """Writes to the descriptor from now on."""
        self.real = True
        for o, cls in ((self, io.TextIOWrapper), (self.buffer, io.BufferedWriter)):
            o.write, o.flush = partial(cls.write, o), partial(cls.flush, o)

    def fork(self):
        """In a process that a task forked."""
        self.pieces = []
        if not self.real:
            self.become_real()
            io.TextIOWrapper.reconfigure(self, line_buffering=True)


class Bytes(io.BufferedWriter):
    """The buffer of a Stream."""

    def __init__(self, raw):
        super().__init__(raw)
        self.decoder = utf_8_decoder("replace")
        self.decode = self.decoder.decode

    def write(self, data):
        data = memoryview(data).tobytes()
        stream = self.stream
        with stream.runner.log.lock:
            task = stream.current()
            if task != stream.of:
                stream.change(task)
            stream.split = False
            text = self.decode(data)
            if text:
                stream.collect(text)
            stream.split = self.decoder.getstate()[0] != b""
        return len(data)

    def flush(self):
        self.stream.flush()

    def close(self):
        self.flush()

    def detach(self):
        self.flush()
        return self.raw


def identity(fd):
    """Returns which file a descriptor has open; None where it is closed."""
    try:
        s = os.fstat(fd)
    except OSError:
        return None
    return s.st_dev, s.st_ino


def watch_dup2(streams):
    """Wraps os.dup2, so that the streams follow when a program redirects a descriptor."""
    dup2 = os.dup2

    @wraps(dup2)
    def watched(fd, fd2, inheritable=True):
        result = dup2(fd, fd2, inheritable)
        if fd2 == 1 or fd2 == 2:
            streams[fd2 - 1].follow()
        return result

    os.dup2 = watched
