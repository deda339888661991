"""One task after the other, millions a second when they are small."""
import os, struct, time
from array import array
from functools import partial
from itertools import islice
from time import perf_counter
from types import CoroutineType

from .shared import HIGH, MARK, RAW
from .directory import said
from .unencodable import text_keys
from .program import await_coroutine, by_value
from .values import (BULK, LINES, MAX_OUTPUT, checked, describe, encode_scalars, encoded, encoder, integers, packed,
                     parse, unpacked)

SCALARS = frozenset((int, float, str, bool, type(None)))
MANY = 4096                 # numbers that are worth a frame
FRAME = 256 << 10           # bytes of outcomes that are worth a frame
MAX_CHUNK_OUTPUT = 8 << 20  # bytes of a chunk's outputs past which its tail goes back
HEAVY = 1024                # characters of an output whose encoding is worth a look at the clock

# Tasks that are short are run in batches of about this many seconds, between
# which the clock and the limit are read.
BATCH, MAX_BATCH = 200e-6, 4096

# After one wrote to descriptor 1 or 2 itself, so many tasks run one by one, and
# each waits until the parent has read what it wrote and seen whose it is.
CAREFUL = 4096

MAKES_FILE = 10e-6  # seconds in which no task makes a file

NOTHING = 0, []

CHUNK = struct.Struct("<qqqqBqq")  # base, count, cell of the limit, failures, 1 for a range, start, step
OUTCOMES = struct.Struct("<qIII")  # first, tasks, failures, pairs of durations


class Truncated(Exception):
    """Bulk encoding gave more than one output may have."""


class Serial:
    """Runs tasks one after the other on the main thread."""

    def __init__(self, runner, f, loop, call):
        self.runner, self.f, self.loop, self.call = runner, f, loop, call
        self.current = partial(runner.words.__getitem__, MARK)
        self.encode = encoder()
        self.batch = 1         # tasks a batch
        self.expected = int    # type of the last output, usually that of the next one
        self.out = []          # scalar outputs that are not encoded yet
        self.uniform = int     # type of all of out, or None
        self.strings = False   # some of out may be of type str
        self.heavy = True      # the last output that is no scalar was, or there was none
        self.encoding = 0.0    # seconds for heavy ones in the batch in hand
        self.pieces = []       # encoded outputs,
        self.form = LINES      # and in which form all of them are
        self.before = LINES    # the form of the chunk's last output
        self.first = 0         # number of the first task that is not sent
        self.count = 0         # tasks in pieces
        self.size = 0          # bytes in pieces
        self.sent = 0          # bytes of the chunk sent
        self.failed = array("i")
        self.failures = 0      # of the chunk
        self.durations = array("d")  # pairs: tasks, seconds each
        self.part = NOTHING    # the batch in hand: its first number and its inputs,
        self.cell = 0          # and its chunk's limit
        self.raw = 0           # the RAW cell as last seen
        self.careful = 0       # tasks that are still run one by one
        self.trimmed = -1      # what was in hand when a batch was cut short

    left = ()  # asyncio tasks that go on after those of the job

    def answer(self):
        pass  # there is one task only that might hold up others

    def run(self):
        """Runs chunks until there are no more; reports whether another job follows."""
        r = self.runner
        while True:
            kind, body = r.read()
            if kind is None:
                return False
            if kind == "C":
                self.chunk(body)
            elif kind == "T" and r.turn(body):
                return True

    def chunk(self, body):
        words, drain, directory = self.runner.words, self.runner.drain, self.runner.directory
        began, t = time.time(), perf_counter()
        base, count, cell, failures, ranged, start, step = CHUNK.unpack_from(body)
        f, loop = self.f, self.loop
        if ranged:
            inputs = iter(range(start, start + count * step, step))
        else:
            values, bad = parse(body[CHUNK.size:], count)
            inputs = iter(values)
            if bad:
                f, loop = checked(lambda x, call=self.call, f=self.f: call(f, x)), by_value
        del body
        self.first, self.sent, self.failures, self.cell = base, 0, 0, cell
        self.before = LINES
        lock, out, durations = self.runner.lock, self.out, self.durations
        moving, in_tasks = perf_counter() - t, 0.0
        n, end = base, base + count
        batch, held = self.batch, 0
        raw, careful = self.raw, self.careful
        while n < end:
            if words[RAW] != raw:
                raw, careful = words[RAW], CAREFUL
            if careful:
                careful -= 1
                batch = 1
            stop = min(n + batch, end)
            part = list(islice(inputs, stop - n))
            self.part = n, part
            words[HIGH] = stop
            limit = words[cell]
            if limit < stop:
                if limit <= n:
                    break
                stop = words[HIGH] = limit
                del part[limit - n:]
            t = perf_counter()
            m = self.run_batch(f, loop, n, stop, failures) - n
            now = perf_counter()
            spent = now - t
            if spent > 100e-6 or careful or n + m >= end:
                drain()
            if spent > MAKES_FILE and directory.changed():
                self.tidy(n + m - 1, m)
                careful = CAREFUL
            self.part = NOTHING
            words[MARK] = -1
            encoding, self.encoding = self.encoding, 0.0
            moving += encoding
            in_tasks += spent - encoding
            n += m
            if m:
                durations.append(m)
                durations.append((spent - encoding) / m)
            if n < stop or 0 <= failures < self.failures:
                break
            if self.strings:
                held += sum([len(r) for r in out[-m:] if type(r) is str])
            if spent < BATCH / 2:
                if m == batch:
                    batch = min(4 * batch, MAX_BATCH)
            elif spent > 2 * BATCH and batch > 1:
                batch = max(1, int(batch * BATCH / spent))
            if len(out) >= BULK - MAX_BATCH or held + self.size >= FRAME or failures >= 0:
                held = 0
                t = perf_counter()
                with lock:
                    self.seal()
                    if self.size >= FRAME:
                        self.send()
                moving += perf_counter() - t
                if self.sent + self.size > MAX_CHUNK_OUTPUT or 0 <= failures < self.failures:
                    break
        self.batch, self.raw, self.careful = batch, raw, careful
        self.part = NOTHING
        t = perf_counter()
        with lock:
            self.seal()
            self.send()
            moving += perf_counter() - t
            self.runner.end(base, n - base, began, in_tasks, moving)

    def tidy(self, n, m):
        """Removes what task n, or one of the m up to it, left in their directory."""
        names = self.runner.directory.tidy()
        if names:
            self.runner.note(said(names, "removed from the directory of this task" + (
                ", or left by one shortly before" if m > 1 else "")), n)

    def run_batch(self, f, loop, n, stop, failures):
        """Runs the tasks of self.part and returns the number after the last one run."""
        inputs, words = iter(self.part[1]), self.runner.words
        while n < stop:
            append = self.out.append if self.expected in SCALARS else self.contain
            try:
                n, r, odd = loop(f, inputs, n, words, append, self.expected)
                if not odd:
                    break
            except BaseException as e:
                if self.runner.forked:
                    os._exit(1)
                n = words[MARK]
                text = describe(e, self.runner.memory_limit)
                e = None
                self.piece(b"!" + text.encode() + b"\n", True)
                n += 1
                if 0 <= failures < self.failures:
                    break
                continue
            if self.runner.forked:
                os._exit(0)
            self.odd(r)
            r = None
            n += 1
        return n

    def odd(self, r):
        """Takes an output of another type than the one before."""
        t = type(r)
        if t in SCALARS:
            with self.runner.lock:
                self.uniform = t if t is self.uniform or not self.out else None
                self.expected = t
                self.strings = self.strings or t is str
                self.out.append(r)
            return
        if t is CoroutineType:
            line, failed, _ = self.runner.one(await_coroutine, r)
            self.piece(line, failed)
            return
        self.expected = t
        self.contain(r)

    def contain(self, r):
        """Takes an output that is no scalar. It is encoded at once, as later tasks may change it."""
        heavy = self.heavy
        if heavy:
            t = perf_counter()
        try:
            text = self.encode(r)
            self.heavy = len(text) > HEAVY
        except BaseException:
            self.encode = encoder()  # it may hold what it was in the middle of
            text = None
        if text is None or len(text) > MAX_OUTPUT or not text_keys(r, text):
            self.piece(*encoded(r, self.runner.note))
        else:
            self.piece(text.encode() + b"\n", False)
        if heavy:
            self.encoding += perf_counter() - t

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
        """Encodes the scalars collected; the lock must be held."""
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
        """The lines of scalars."""
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
        """Sends the numbers collected, or makes lines of them, as others follow; the
        lock must be held."""
        if self.count >= MANY:
            self.send()
            return
        self.pieces = [unpacked(self.form, data) for data in self.pieces]
        self.form = LINES
        self.size = sum(map(len, self.pieces))

    def send(self):
        """Sends the outcomes collected; the lock must be held."""
        if not self.count:
            return
        failed, durations, pieces = self.failed, self.durations, self.pieces
        m = len(durations) & ~1  # the main thread may add a pair meanwhile, or be in the middle of it
        head = OUTCOMES.pack(self.first, self.count, len(failed), m // 2)
        self.first += self.count
        self.sent += self.size
        self.count = self.size = 0
        self.failed = array("i")
        self.pieces = []
        taken = durations[:m]
        del durations[:m]
        form, self.form = self.form, LINES
        self.runner.write(form, head, failed.tobytes(), taken.tobytes(), *pieces)

    def flush(self):
        """Sends what there is while a task runs, and gives up what the limit forbids."""
        self.runner.flush_logs()
        self.seal()
        self.send()
        words, (first, part) = self.runner.words, self.part
        if part and words[self.cell] < words[HIGH]:
            mark = max(words[MARK], first - 1)
            del part[max(words[self.cell], mark + 1) - first:]
            # The loop may have taken one more before its inputs were cut. If it
            # is where it was the last time, it has not.
            keep = max(words[self.cell], mark + (1 if mark == self.trimmed else 2))
            words[HIGH] = min(words[HIGH], keep)
            self.trimmed = mark
