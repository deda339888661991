"""Several tasks at once, on threads or in an event loop."""
import os, struct, threading, time
from time import perf_counter

from .cells import ANSWERS, DIRTY, HIGH, MARK, MARK_STEP
from .program import FORKED
from .serial import CHUNK, FRAME, MAX_CHUNK_OUTPUT
from .values import Undecodable, checked, describe, encoded, parse

OUTCOME = struct.Struct("<qdBI")  # number, seconds, 1 for a failure, bytes of the line


class Chunk:
    """A chunk of which several tasks are in hand at once."""

    def __init__(self, body):
        t = perf_counter()
        self.base, count, self.cell, self.failures, ranged, start, step = CHUNK.unpack_from(body)
        if ranged:
            self.inputs = range(start, start + count * step, step)
        else:
            self.inputs, _ = parse(body[CHUNK.size:], count)
        self.next, self.end = self.base, self.base + count
        self.open = 0     # tasks in hand
        self.failed = 0
        self.size = 0     # bytes of its outputs
        self.began = 0.0
        self.in_tasks = 0.0
        self.moving = perf_counter() - t


class Many:
    """What the two ways of running several tasks at once share: the chunks in
    flight, from which a task is taken at a time, and the outcomes to be sent.
    A chunk's tasks may start while the last ones of the chunk before go on."""

    def __init__(self, runner, f, call, threads):
        import contextvars
        self.runner, self.f, self.call, self.threads = runner, f, call, threads
        self.chunks = []   # that still have tasks to start, in their order
        self.done = []     # outcomes that are not sent, packed
        self.size = 0      # their bytes
        self.number = contextvars.ContextVar("allcores_task", default=-1)

    def current(self):
        n = self.number.get()
        if n >= 0:
            return n
        # A thread that a task started: the oldest in hand is the best guess.
        cells = self.runner.cells
        return min((m for m in (cells[MARK + i * MARK_STEP] for i in range(self.threads)) if m >= 0), default=-1)

    def take(self, slot):
        """The next task to start: its chunk, number and input; None when there is
        none now. The lock must be held."""
        cells = self.runner.cells
        while self.chunks:
            c = self.chunks[0]
            if c.next < c.end:
                n = c.next
                cells[HIGH] = n + 1
                if n < cells[c.cell] and c.size <= MAX_CHUNK_OUTPUT and not 0 <= c.failures < c.failed:
                    if n == c.base:
                        c.began = time.time()
                    c.next = n + 1
                    c.open += 1
                    cells[MARK + slot * MARK_STEP] = n
                    self.number.set(n)
                    return c, n, c.inputs[n - c.base]
            del self.chunks[0]
            c.end = c.next
            if not c.open:
                self.ended(c)
        return None

    def finished(self, c, n, slot, spent, line, failed, encoding):
        """Takes the outcome of a task in hand, which took spent without encoding."""
        r = self.runner
        if spent > FORKED:
            r.check_kills()
        if spent > 100e-6:
            r.drain()
        with r.lock:
            self.done.append(OUTCOME.pack(n, spent, failed, len(line)))
            self.done.append(line)
            self.size += len(line)
            c.size += len(line)
            c.failed += failed
            c.in_tasks += spent
            c.moving += encoding
            c.open -= 1
            r.cells[MARK + slot * MARK_STEP] = -1
            self.number.set(-1)
            r.cells[DIRTY] = 1
            if c.next == c.end and not c.open:
                if c in self.chunks:
                    self.chunks.remove(c)
                self.ended(c)
            elif self.size >= FRAME or len(self.done) >= 2048:
                self.send_of(c)

    def send_of(self, c):
        """Sends what was collected, at the expense of a chunk; the lock must be held."""
        t = perf_counter()
        self.send()
        c.moving += perf_counter() - t

    def ended(self, c):
        self.send_of(c)
        self.runner.end(c.base, c.next - c.base, c.began or time.time(), c.in_tasks, c.moving)

    def answer(self):
        self.runner.cells[ANSWERS] += 1

    def send(self):
        """Sends the outcomes collected; the lock must be held."""
        if self.done:
            done, self.done, self.size = self.done, [], 0
            self.runner.write("o", *done)

    def flush(self):
        self.runner.flush_logs()
        self.send()


class Threads(Many):
    """Runs tasks on several threads."""

    def run(self):
        r = self.runner
        self.free = threading.Condition(r.lock)
        for slot in range(self.threads):
            threading.Thread(target=r.vital, args=(self.work, slot), daemon=True, name="task_%d" % slot).start()
        while True:
            kind, body = r.read()
            if kind is None:
                return
            if kind == "C":
                c = Chunk(body)
                with r.lock:
                    self.chunks.append(c)
                    self.free.notify_all()
            elif kind == "T":
                r.turn(body)

    def work(self, slot):
        call, f, one = self.call, self.f, self.runner.one
        while True:
            with self.runner.lock:
                while True:
                    task = self.take(slot)
                    if task is not None:
                        break
                    self.free.wait()
            c, n, x = task
            t = perf_counter()
            line, failed, encoding = one(*((call, f, x) if type(x) is not Undecodable else (checked(f), x)))
            spent = perf_counter() - t - encoding
            self.finished(c, n, slot, spent, line, failed, encoding)
            task = x = None


class Async(Many):
    """Runs tasks of an async function, several at once, in one event loop."""

    def run(self):
        import asyncio
        asyncio.run(self.main())

    async def main(self):
        import asyncio
        r = self.runner
        self.loop = loop = asyncio.get_running_loop()
        self.more = asyncio.Event()
        self.stop = loop.create_future()
        # At the end nobody may wait for a thread that waits for frames.
        threading.Thread(target=r.vital, args=(self.feed, loop), daemon=True, name="allcores-frames").start()
        workers = [asyncio.ensure_future(self.work(slot)) for slot in range(self.threads)]
        for w in workers:
            w.add_done_callback(lambda w: w.cancelled() or w.exception() is None or r.broken(w.exception()))
        await self.stop
        for w in workers:
            w.cancel()

    def feed(self, loop):
        r = self.runner
        while True:
            kind, body = r.read()
            try:
                if kind is None:
                    loop.call_soon_threadsafe(lambda: self.stop.done() or self.stop.set_result(None))
                    return
                if kind == "C":
                    c = Chunk(body)
                    loop.call_soon_threadsafe(self.add, c)
                elif kind == "T":
                    r.turn(body)
            except RuntimeError:
                return  # the loop is closed

    def answer(self):
        try:
            self.loop.call_soon_threadsafe(super().answer)
        except RuntimeError:
            pass  # it is closed

    def add(self, c):
        with self.runner.lock:
            self.chunks.append(c)
        self.more.set()

    async def work(self, slot):
        call, f, r = self.call, self.f, self.runner
        while True:
            with r.lock:
                task = self.take(slot)
            if task is None:
                self.more.clear()
                await self.more.wait()
                continue
            c, n, x = task
            t, encoding = perf_counter(), 0.0
            try:
                if type(x) is Undecodable:
                    raise ValueError("the input cannot be read: %s" % x.error)
                value = await call(f, x)
            except BaseException as e:
                if self.stop.done():
                    raise
                if r.forked:
                    os._exit(1)
                line, failed = b"!" + describe(e, r.memory_limit).encode() + b"\n", True
                e = None
            else:
                if r.forked:
                    os._exit(0)
                ran = perf_counter()
                line, failed = encoded(value)
                encoding = perf_counter() - ran
            spent = perf_counter() - t - encoding
            self.finished(c, n, slot, spent, line, failed, encoding)
