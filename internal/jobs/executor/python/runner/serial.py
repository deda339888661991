"""Runs one task after the other, millions per second when they are small."""
import os, struct, time
from functools import partial
from itertools import islice
from time import perf_counter
from types import CoroutineType

from .directory import said
from .outcomes import AGE, FRAME, SCALARS, Outcomes
from .program import await_coroutine, by_value
from .shared import HIGH, MARK, RAW
from .unencodable import text_keys
from .values import BULK, MAX_OUTPUT, checked, encoded, encoder, failed_line, parse

MAX_CHUNK_OUTPUT = 8 << 20  # bytes of a chunk's outputs past which its tail goes back
HEAVY = 1024                # characters of an output whose encoding is worth a look at the clock

# Short tasks are run in batches of about this many seconds, between which the clock
# and the limit are read.
BATCH, MAX_BATCH = 200e-6, 4096

# After a task wrote to descriptor 1 or 2 itself, so many tasks run one by one, and
# each waits until the parent has read what it wrote and seen which task wrote it.
CAREFUL = 4096

WAITS = 100e-6      # seconds after which a task may have written to a descriptor
MAKES_FILE = 10e-6  # seconds in which no task makes a file

NOTHING = 0, []

CHUNK = struct.Struct("<qqqqqBqq")  # base, count, first index, word of the limit, failures, 1 for a range, start, step


class Serial:
    """Runs tasks one after the other on the main thread."""

    def __init__(self, runner, f, loop, call):
        self.runner, self.f, self.loop, self.call = runner, f, loop, call
        self.current = partial(runner.words.__getitem__, MARK)
        self.outcomes = Outcomes(runner)
        self.encode = encoder()
        self.heavy = True      # the last output that is not a scalar was, or there was none
        self.encoding = 0.0    # seconds for heavy outputs in the batch that runs
        self.batch = 1         # tasks per batch
        self.part = NOTHING    # the batch that runs: its first number and its inputs,
        self.limit = 0         # and the word of its chunk's limit
        self.offset = 0        # from numbers to indexes in its chunk
        self.raw = 0           # the RAW word as last seen
        self.careful = 0       # tasks that are still run one by one
        self.trimmed = -1      # the mark when a batch was cut short

    left = ()  # asyncio tasks that go on after those of the job

    def index(self):
        """Returns the index of the running task, or -1."""
        n = self.current()
        return n + self.offset if n >= 0 else -1

    def answer(self):
        pass  # the only running task blocks no other

    def run(self):
        """Runs chunks until no more come; returns whether another job follows."""
        r = self.runner
        while True:
            kind, body = r.frames.read()
            if kind is None:
                return False
            if kind == "C":
                self.chunk(body)
            elif kind == "T" and r.session(body):
                return True

    def chunk(self, body):
        """Runs the tasks of a chunk in batches, until one must not start."""
        words, drain, directory, outcomes = self.runner.words, self.runner.drain, self.runner.directory, self.outcomes
        began, t = time.time(), perf_counter()
        base, count, first, self.limit, failures, ranged, start, step = CHUNK.unpack_from(body)
        self.offset = first - base
        f, loop = self.f, self.loop
        if ranged:
            inputs = iter(range(start, start + count * step, step))
        else:
            values, bad = parse(body[CHUNK.size:], count)
            inputs = iter(values)
            if bad:
                f, loop = checked(lambda x, call=self.call, f=self.f: call(f, x)), by_value
        del body
        outcomes.begin(base, t)
        out = outcomes.out
        moving, in_tasks = perf_counter() - t, 0.0
        n, end = base, base + count
        held = 0  # characters of strings in out
        while n < end:
            batch = self.next_batch()
            stop = min(n + batch, end)
            part = list(islice(inputs, stop - n))
            self.part = n, part
            words[HIGH] = stop
            limit = words[self.limit]
            if limit < stop:
                if limit <= n:
                    break
                stop = words[HIGH] = limit
                del part[limit - n:]
            t = perf_counter()
            m = self.run_batch(f, loop, n, stop, failures) - n
            spent = perf_counter() - t
            if spent > WAITS or self.careful or n + m >= end:
                drain()
            if spent > MAKES_FILE and directory.changed():
                self.tidy(n + m - 1, m)
                self.careful = CAREFUL
            self.part = NOTHING
            words[MARK] = -1
            encoding, self.encoding = self.encoding, 0.0
            moving += encoding
            in_tasks += spent - encoding
            n += m
            if m:
                outcomes.took(m, spent - encoding)
            if n < stop or 0 <= failures < outcomes.failures:
                break
            if outcomes.strings:
                held += sum([len(r) for r in out[-m:] if type(r) is str])
            self.pace(m, batch, spent)
            aged = t + spent - outcomes.since > AGE and n < end
            if aged or len(out) >= BULK - MAX_BATCH or held + outcomes.size >= FRAME or failures >= 0:
                held = 0
                t = perf_counter()
                outcomes.seal_and_send(1 if aged else FRAME)
                moving += perf_counter() - t
                if outcomes.sent + outcomes.size > MAX_CHUNK_OUTPUT or 0 <= failures < outcomes.failures:
                    break
        self.part = NOTHING
        t = perf_counter()
        with self.runner.lock:
            outcomes.seal()
            outcomes.send()
            moving += perf_counter() - t
            self.runner.end(base, n - base, began, in_tasks, moving)

    def next_batch(self):
        """Returns how many tasks the next batch may have."""
        raw = self.runner.words[RAW]
        if raw != self.raw:
            self.raw, self.careful = raw, CAREFUL
        if self.careful:
            self.careful -= 1
            self.batch = 1
        return self.batch

    def pace(self, m, batch, spent):
        """Chooses the size of batches after one of m tasks, of at most batch, that took so
        many seconds."""
        if spent < BATCH / 2:
            if m == batch:
                self.batch = min(4 * batch, MAX_BATCH)
        elif spent > 2 * BATCH and batch > 1:
            self.batch = max(1, int(batch * BATCH / spent))

    def tidy(self, n, m):
        """Removes what task n, or one of the m up to it, left in their directory."""
        names = self.runner.directory.tidy()
        if names:
            self.runner.note(said(names, "removed from the directory of this task" + (
                ", or left by one shortly before" if m > 1 else "")), n)

    def run_batch(self, f, loop, n, stop, failures):
        """Runs the tasks of self.part and returns the number after the last one run."""
        inputs, words, outcomes = iter(self.part[1]), self.runner.words, self.outcomes
        while n < stop:
            append = outcomes.out.append if outcomes.expected in SCALARS else self.contain
            try:
                n, r, odd = loop(f, inputs, n, words, append, outcomes.expected)
                if not odd:
                    break
            except BaseException as e:
                if self.runner.forked:
                    os._exit(1)
                n = words[MARK]
                line = failed_line(e, self.runner.memory_limit)
                e = None
                outcomes.piece(line, True)
                n += 1
                if outcomes.size >= FRAME:
                    outcomes.seal_and_send(FRAME)
                if 0 <= failures < outcomes.failures or outcomes.sent > MAX_CHUNK_OUTPUT:
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
            self.outcomes.scalar(r, t)
            return
        if t is CoroutineType:
            line, failed, _ = self.runner.one(await_coroutine, r)
            self.outcomes.piece(line, failed)
            return
        self.outcomes.expected = t
        self.contain(r)

    def contain(self, r):
        """Takes an output that is not a scalar. It is encoded at once, as later tasks may
        change it."""
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
            self.outcomes.piece(*encoded(r, self.runner.note))
        else:
            self.outcomes.piece(text.encode() + b"\n", False)
        if heavy:
            self.encoding += perf_counter() - t

    def flush(self):
        """Sends what there is while a task runs, and gives up what the limit forbids."""
        self.runner.flush_logs()
        self.outcomes.seal()
        self.outcomes.send()
        words, (first, part) = self.runner.words, self.part
        if part and words[self.limit] < words[HIGH]:
            mark = max(words[MARK], first - 1)
            del part[max(words[self.limit], mark + 1) - first:]
            # The loop may have taken one more before its inputs were cut. If it
            # is where it was the last time, it has not.
            keep = max(words[self.limit], mark + (1 if mark == self.trimmed else 2))
            words[HIGH] = min(words[HIGH], keep)
            self.trimmed = mark
