"""Runs several tasks at once, on threads or in an event loop."""
import os, struct, threading, time
from contextvars import Context, ContextVar, copy_context
from functools import partial
from time import perf_counter

from .directory import said
from .outcomes import AGE, FRAME
from .program import FORKED
from .serial import CHUNK, MAX_CHUNK_OUTPUT
from .shared import ANSWERS, BEGUN, DIRTY, HIGH, MARK, MARK_STEP
from .values import Undecodable, checked, encoded, failed_line, parse

OUTCOME = struct.Struct("<qdBI")  # number, seconds, 1 for a failure, bytes of the line


class Chunk:
    """A chunk whose tasks run several at once."""

    def __init__(self, body):
        t = perf_counter()
        self.base, count, self.first, self.limit, self.failures, ranged, start, step = CHUNK.unpack_from(body)
        if ranged:
            self.inputs = range(start, start + count * step, step)
        else:
            self.inputs, _ = parse(body[CHUNK.size:], count)
        self.next, self.end = self.base, self.base + count
        self.open = 0     # tasks that run
        self.failed = 0
        self.size = 0     # bytes of its outputs
        self.began = 0.0
        self.in_tasks = 0.0
        self.moving = perf_counter() - t


class Parallel:
    """What threads and the event loop share: the chunks in flight, from which they
    take one task at a time, and the outcomes to be sent. A chunk's tasks may start
    while the last ones of the chunk before still run."""

    def __init__(self, runner, f, call, threads):
        self.runner, self.f, self.call, self.threads = runner, f, call, threads
        self.chunks = []   # that still have tasks to start, in their order
        self.begun = ()    # that still have tasks that run; replaced, never changed
        self.done = []     # outcomes that are not sent, packed
        self.size = 0      # their bytes
        self.sent = 0.0    # when the last ones were sent, or could have been
        self.left = ()     # asyncio tasks that go on after those of the job
        self.over = False  # no more tasks come
        self.fresh = False  # another job comes
        self.number = ContextVar("allcores_task", default=-1)

    def current(self):
        n = self.number.get()
        if n >= 0:
            return n
        # A thread that a task started: the oldest running task is the best guess.
        words = self.runner.words
        return min((m for m in (words[MARK + i * MARK_STEP] for i in range(self.threads)) if m >= 0), default=-1)

    def index(self):
        """Returns the index of the caller's task, or -1."""
        words, n = self.runner.words, self.number.get()
        if n < 0:
            marks = [m for m in (words[MARK + i * MARK_STEP] for i in range(self.threads)) if m >= 0]
            if not marks:
                return -1
            if len(marks) > 1:
                raise RuntimeError("several tasks run, and nothing shows to which this thread belongs; "
                                   "start it with contextvars.copy_context().run")
            n = marks[0]
        for c in self.begun:
            if c.base <= n < c.end:
                return c.first + n - c.base
        return -1

    def add_chunk(self, c):
        """Takes a chunk; the lock must be held."""
        if not self.done:
            self.sent = perf_counter()
        self.chunks.append(c)

    def take(self, slot):
        """Returns the next task to start, as its chunk, number and input, or None when
        none can start now. The lock must be held."""
        words = self.runner.words
        while self.chunks:
            c = self.chunks[0]
            if c.next < c.end:
                n = c.next
                words[HIGH] = words[c.limit + BEGUN] = n + 1
                if n < words[c.limit] and c.size <= MAX_CHUNK_OUTPUT and not 0 <= c.failures < c.failed:
                    if n == c.base:
                        c.began = time.time()
                        self.begun += c,
                    c.next = n + 1
                    c.open += 1
                    words[MARK + slot * MARK_STEP] = n
                    return c, n, c.inputs[n - c.base]
            del self.chunks[0]
            words[c.limit + BEGUN] = c.end = c.next
            if not c.open:
                self.ended(c)
        return None

    def finished(self, c, n, slot, spent, line, failed, encoding):
        """Takes the outcome of a task that ran for spent seconds without encoding."""
        r = self.runner
        if spent > FORKED:
            r.usage.check_kills()
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
            r.words[MARK + slot * MARK_STEP] = -1
            r.words[DIRTY] = 1
            if c.next == c.end and not c.open:
                if c in self.chunks:
                    self.chunks.remove(c)
                self.ended(c)
            elif self.size >= FRAME or len(self.done) >= 2048 or perf_counter() - self.sent > AGE:
                self.send_of(c)

    def send_of(self, c):
        """Sends what was collected, and counts the time for a chunk; the lock must be held."""
        t = perf_counter()
        self.send()
        self.sent = perf_counter()
        c.moving += self.sent - t

    def ended(self, c):
        self.send_of(c)
        self.begun = tuple([b for b in self.begun if b is not c])
        if self.runner.directory.changed():
            self.note_files(c.next - 1)
        self.runner.end(c.base, c.next - c.base, c.began or time.time(), c.in_tasks, c.moving)

    def note_files(self, n):
        """Names in the log of a task the files that were left in the shared directory. They
        stay until the process ends, as other tasks may need them."""
        directory = self.runner.directory
        names = directory.left()
        if names:
            directory.kept.update(names)
            self.runner.note(said(names, "left in the directory that tasks at once share and that is removed"), n)
        directory.mark()

    def answer(self):
        self.runner.words[ANSWERS] += 1

    def send(self):
        """Sends the outcomes collected, after what their tasks printed; the lock must be
        held."""
        if self.done:
            self.runner.flush_logs()
            done, self.done, self.size = self.done, [], 0
            self.runner.frames.write("o", *done)

    def flush(self):
        self.runner.flush_logs()
        self.send()


class Threads(Parallel):
    """Runs tasks on several threads."""

    def run(self):
        r = self.runner
        self.free = threading.Condition(r.lock)
        workers = []
        for slot in range(self.threads):
            thread = threading.Thread(target=r.vital, args=(self.work, slot), daemon=True, name="task_%d" % slot)
            workers.append(thread)
            thread.start()
        while True:
            kind, body = r.frames.read()
            if kind is None:
                return False
            if kind == "C":
                c = Chunk(body)
                with r.lock:
                    self.add_chunk(c)
                    self.free.notify_all()
            elif kind == "T" and r.session(body):
                with r.lock:
                    self.over = True
                    self.free.notify_all()
                for thread in workers:
                    thread.join()
                return True

    def work(self, slot):
        call, f, one = self.call, self.f, self.runner.one
        while True:
            with self.runner.lock:
                while True:
                    task = self.take(slot)
                    if task is not None:
                        break
                    if self.over:
                        return
                    self.free.wait()
            c, n, x = task
            context = Context()  # of the task alone
            context.run(self.number.set, n)
            t = perf_counter()
            line, failed, encoding = context.run(one, *((call, f, x) if type(x) is not Undecodable else (checked(f), x)))
            spent = perf_counter() - t - encoding
            self.finished(c, n, slot, spent, line, failed, encoding)
            task = context = x = None


class Async(Parallel):
    """Runs tasks of an async function, several at once, in one event loop.

    Each task is an asyncio task of its own, in a context of its own, so that nothing
    that outlives it (a timer, a late cancel, a variable) reaches another. Callbacks
    start the tasks: the loop has no other asyncio task of ours, which a program
    could find and cancel. The loop goes on when a program stops it."""

    def run(self):
        import asyncio
        self.cancelled = asyncio.CancelledError
        self.own = own_task(asyncio, self.number)
        self.context = copy_context()  # as the module left it
        self.free = list(range(self.threads))[::-1]  # slots
        self.tasks = [None] * self.threads  # by slot; the loop has only a weak reference to a waiting one
        self.loop = loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        # A daemon, as the end of the process must not wait for a thread that reads frames.
        feed = threading.Thread(target=self.runner.vital, args=(self.feed, loop), daemon=True, name="allcores-frames")
        feed.start()
        while not self.over:
            try:
                loop.run_forever()
            except (KeyboardInterrupt, SystemExit):
                pass  # of a child of a task, which gets it too
            if loop.is_closed():
                raise RuntimeError("the program closed the event loop")
        self.left = left = asyncio.all_tasks(loop)
        if self.fresh:
            feed.join()
            if left:
                return True
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        asyncio.set_event_loop(None)
        return self.fresh

    def feed(self, loop):
        r = self.runner
        while True:
            kind, body = r.frames.read()
            try:
                if kind is None:
                    loop.call_soon_threadsafe(self.end)
                    return
                if kind == "C":
                    c = Chunk(body)
                    loop.call_soon_threadsafe(r.vital, self.add, c)
                elif kind == "T" and r.session(body):
                    self.fresh = True
                    loop.call_soon_threadsafe(self.end)
                    return
            except RuntimeError:
                return  # the loop is closed

    def end(self):
        self.over = True
        self.loop.stop()

    def answer(self):
        try:
            self.loop.call_soon_threadsafe(super().answer)
        except RuntimeError:
            pass  # the loop is closed

    def add(self, c):
        with self.runner.lock:
            self.add_chunk(c)
        self.fill()

    def fill(self):
        """Starts a task on each free slot."""
        while self.free:
            slot = self.free[-1]
            with self.runner.lock:
                task = self.take(slot)
            if task is None:
                return
            self.free.pop()
            c, n, x = task
            context = self.context.copy()
            context.run(self.number.set, n)
            self.tasks[slot] = task = context.run(self.own, self.perform(slot, c, n, x), loop=self.loop)
            task.of = n
            task.add_done_callback(partial(self.runner.vital, self.settle, slot, c), context=self.context)

    async def perform(self, slot, c, n, x):
        r = self.runner
        t, encoding = perf_counter(), 0.0
        try:
            if type(x) is Undecodable:
                raise ValueError("the input cannot be read: %s" % x.error)
            value = await self.call(self.f, x)
        except BaseException as e:
            if self.over:
                raise
            if r.forked:
                os._exit(1)
            line, failed = failed_line(e, r.memory_limit), True
            e = None
        else:
            if r.forked:
                os._exit(0)
            ran = perf_counter()
            line, failed = encoded(value, r.note)
            encoding = perf_counter() - ran
            value = None
        spent = perf_counter() - t - encoding
        r.vital(self.leave, c, n, slot, spent, line, failed, encoding)

    def leave(self, c, n, slot, *outcome):
        """Takes the outcome of a task and gives its slot to the next one."""
        self.tasks[slot].of = -1
        self.finished(c, n, slot, *outcome)
        self.tasks[slot] = None
        self.free.append(slot)
        self.fill()

    def settle(self, slot, c, task):
        """Takes the outcome of a task that was cancelled before it began."""
        if task.of >= 0 and not self.over:
            e = self.cancelled() if task.cancelled() else task.exception()
            self.leave(c, task.of, slot, 0.0, failed_line(e, self.runner.memory_limit), True, 0.0)


def own_task(asyncio, number):
    """Returns the class of the asyncio tasks in which tasks run. None of them sees, or
    cancels, another that runs at the same time."""

    class Task(asyncio.Task):
        of = -1  # its number until it has an outcome

        def cancel(self, *args, **kwargs):
            by = number.get()
            if by >= 0 and by != self.of:
                return False
            return super().cancel(*args, **kwargs)

    every = getattr(asyncio.all_tasks, "of_all", asyncio.all_tasks)

    def all_tasks(loop=None):
        n = number.get()
        return {task for task in every(loop) if n < 0 or type(task) is not Task or task.of == n}

    all_tasks.of_all = every
    asyncio.all_tasks = asyncio.tasks.all_tasks = all_tasks
    return Task
