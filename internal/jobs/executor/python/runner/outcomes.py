"""Outcomes of tasks that run one after the other, until they are sent."""
import struct
from array import array
from time import perf_counter

from .values import LINES, MAX_OUTPUT, encode_scalars, encoded, integers, packed, unpacked

SCALARS = frozenset((int, float, str, bool, type(None)))
MANY = 4096                 # numbers that are worth a frame
AGE = 0.075                 # seconds that outcomes wait for more of them
FRAME = 256 << 10           # bytes of outcomes that are worth a frame
OUTCOMES = struct.Struct("<qIII")  # first, tasks, failures, pairs of durations


class Truncated(Exception):
    """Bulk encoding gave more than one output may have."""


class Outcomes:
    """The outcomes of a chunk that are not sent, in the order of its tasks. Scalar
    outputs wait as they are, to be encoded many at once; what other outputs became
    waits in pieces."""

    def __init__(self, runner):
        self.runner = runner
        self.expected = int    # type of the last output, usually that of the next
        self.out = []          # scalar outputs that are not encoded yet
        self.uniform = int     # type of all of out, or None
        self.strings = False   # some of out may be of type str
        self.pieces = []       # encoded outputs,
        self.form = LINES      # and the form of all of them
        self.before = LINES    # the form of the chunk's last output
        self.first = 0         # number of the first task that is not sent
        self.count = 0         # tasks in pieces
        self.size = 0          # bytes in pieces
        self.sent = 0          # bytes of the chunk sent
        self.failed = array("i")  # offsets in pieces
        self.failures = 0      # of the chunk
        self.durations = array("d")  # pairs: tasks, seconds each
        self.since = 0.0       # the time from which on the outcomes wait that are not sent

    def begin(self, base, now):
        """Begins a chunk, whose first task has the number base."""
        self.since = now
        self.first, self.sent, self.failures, self.before = base, 0, 0, LINES

    def took(self, tasks, seconds):
        """Adds the durations of tasks that were timed together."""
        self.durations.append(tasks)
        self.durations.append(seconds / tasks)

    def scalar(self, r, t):
        """Adds a scalar output of another type, t, than the one before."""
        with self.runner.lock:
            self.uniform = t if t is self.uniform or not self.out else None
            self.expected = t
            self.strings = self.strings or t is str
            self.out.append(r)

    def piece(self, line, failed):
        """Adds the line of one task."""
        with self.runner.lock:
            if self.out:
                self.seal()
            if self.form != LINES:
                self.end_numbers()
            self.before = LINES
            if failed:
                self.failed.append(self.count)
                self.failures += 1
            self.pieces.append(line)
            self.count += 1
            self.size += len(line)

    def seal(self):
        """Encodes the scalars; the lock must be held."""
        n = len(self.out)
        if not n:
            return
        values = self.out[:n]
        form, data = packed(values, self.uniform, self.before)
        if self.count and form != self.form and self.form != LINES:
            self.end_numbers()
        if self.count and form != self.form:
            form = LINES
        if form == LINES:
            data = self.lines(values)
        self.form = self.before = form
        self.pieces.append(data)
        self.count += n
        self.size += len(data)
        del self.out[:n]
        if not self.out:
            self.uniform = self.expected
            self.strings = self.expected is str

    def lines(self, values):
        """Returns the lines of scalars."""
        try:
            if self.uniform is int:
                text = integers(values)
            else:
                text = encode_scalars(values)[1:-1] + "\n"
            if len(text) > MAX_OUTPUT:
                raise Truncated
            return text.encode()
        except Exception:
            lines = []
            for i, value in enumerate(values):
                line, failed = encoded(value, None)
                lines.append(line)
                if failed:
                    self.failed.append(self.count + i)
                    self.failures += 1
            return b"".join(lines)

    def end_numbers(self):
        """Sends the numbers collected, or makes lines of them, as other outputs follow;
        the lock must be held."""
        if self.count >= MANY:
            self.send()
            return
        self.pieces = [unpacked(self.form, data) for data in self.pieces]
        self.form = LINES
        self.size = sum(map(len, self.pieces))

    def seal_and_send(self, least):
        """Encodes the scalars, and sends what there is if that is so many bytes."""
        with self.runner.lock:
            self.seal()
            if self.size >= least:
                self.send()

    def send(self):
        """Sends the outcomes that are encoded, after what their tasks printed; the lock must
        be held."""
        if not self.count:
            return
        self.runner.flush_logs()
        failed, durations, pieces = self.failed, self.durations, self.pieces
        m = len(durations) & ~1  # the main thread may be adding a pair
        head = OUTCOMES.pack(self.first, self.count, len(failed), m // 2)
        self.first += self.count
        self.sent += self.size
        self.count = self.size = 0
        self.failed = array("i")
        self.pieces = []
        taken = durations[:m]
        del durations[:m]
        form, self.form = self.form, LINES
        self.since = perf_counter()
        self.runner.frames.write(form, head, failed.tobytes(), taken.tobytes(), *pieces)
