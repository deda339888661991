"""Runs the tasks of one Allcores program inside a worker process.

Standard library of Python 3.8 and newer only. The parent speaks through four
descriptors, which nothing that a task starts inherits:

  3  frames in: length of the body (u32), type (u8), body; little endian
  4  frames out: the same
  5  shared memory of 64-bit cells, see the constants below
  6  a byte here asks for a flush (see Runner.serve)

Tasks are known here by their number, which grows by one from task to task over
the life of the process. The parent knows which task of which job it is.

The cells let the parent see and steer without a message, even while a task or a
C extension holds the interpreter lock:

  HIGH    no task at or above this number has been, or will be, started unless
          this cell is raised first. Raised *before* the chunk's limit is read,
          so that a parent that lowers the limit, waits a moment and then reads
          HIGH knows for certain which tasks will never start.
  DIRTY   something waits to be flushed (log lines, outcomes of threads)
  RAW     grows when the parent sees something that was written to descriptor 1
          or 2 past sys.stdout and sys.stderr by a task
  LIMIT   eight cells, one of each chunk in flight: start nothing from there on
  MARK    one cell a thread, a cache line apart: the number in hand, or -1
"""
import sys, os, time, json, struct, mmap, threading
from array import array
from fcntl import ioctl
from itertools import islice
from json.encoder import c_make_encoder
from resource import getrusage, RUSAGE_SELF, RUSAGE_CHILDREN
from time import perf_counter
from types import CoroutineType, ModuleType

HIGH, DIRTY, RAW, MARK, MARK_STEP = 0, 1, 2, 16, 8  # LIMIT: the parent says which
FILE = "program.py"         # how the program's source is called in tracebacks
MODULE = "__allcores__"     # its module; not __main__, whose guarded block must not run
SCALARS = frozenset((int, float, str, bool, type(None)))

MAX_OUTPUT = 32 << 20       # bytes of one output; larger is a failure
MAX_CHUNK_OUTPUT = 8 << 20  # bytes of a chunk's outputs past which its tail goes back
FRAME = 256 << 10           # bytes of outcomes that are worth a frame
BULK = 16384                # scalars encoded at once
MAX_MESSAGE, MAX_TRACEBACK = 8000, 32000  # characters
MAX_LINE, MAX_TASK_LOG, MAX_LOG = 64 << 10, 256 << 10, 1 << 20  # characters of log

# Tasks that are short are run in batches of about this many seconds, between
# which the clock and the limit are read.
BATCH, MAX_BATCH = 200e-6, 4096

# After one wrote to descriptor 1 or 2 itself, so many tasks run one by one, and
# each waits until the parent has read what it wrote and seen whose it is.
CAREFUL = 4096

INTS = "%d\n" * BULK
encode_scalars = json.JSONEncoder(separators=("\n", ":"), allow_nan=False, check_circular=False).encode
FIONREAD = 0x541B if sys.platform == "linux" else 0x4004667F
zero = struct.pack("i", 0)


class Undecodable:
    """Stands for an input that Python could not read."""

    def __init__(self, error):
        self.error = error


class Truncated(Exception):
    pass


def numpy_value(o):
    """What json cannot encode by itself; numpy's scalars and arrays become numbers and lists."""
    if type(o).__module__ == "numpy" and hasattr(o, "tolist"):
        return o.tolist()
    raise TypeError("Object of type %s is not JSON serializable" % type(o).__name__)


if c_make_encoder is not None:
    def encode(o):
        encoder = c_make_encoder({}, numpy_value, json.encoder.encode_basestring_ascii, None, ":", ",", False, False, False)
        return "".join(encoder(o, 0))
else:
    encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=numpy_value).encode


# The innermost loops, one for each way of calling. They return early with an
# output whose type is not the expected one: number, output, True.

def by_value(f, inputs, n, cells, append, expected):
    for x in inputs:
        cells[16] = n
        r = f(x)
        if type(r) is not expected:
            return n, r, True
        append(r)
        n += 1
    return n, None, False


def by_args(f, inputs, n, cells, append, expected):
    for x in inputs:
        cells[16] = n
        r = f(*x)
        if type(r) is not expected:
            return n, r, True
        append(r)
        n += 1
    return n, None, False


def by_kwargs(f, inputs, n, cells, append, expected):
    for x in inputs:
        cells[16] = n
        r = f(**x)
        if type(r) is not expected:
            return n, r, True
        append(r)
        n += 1
    return n, None, False


def call_value(f, x):
    return f(x)


def call_args(f, x):
    return f(*x)


def call_kwargs(f, x):
    return f(**x)


CALLS = {"value": (by_value, call_value), "args": (by_args, call_args), "kwargs": (by_kwargs, call_kwargs)}


def parse(data, count):
    """The inputs of count lines of JSON, in one go; one by one when that fails."""
    try:
        values = json.loads("[" + data.decode("utf-8", "surrogatepass").rstrip("\n").replace("\n", ",") + "]")
        if len(values) == count:
            return values, False
    except Exception:
        pass
    values = []
    for line in data.rstrip(b"\n").split(b"\n"):
        try:
            values.append(json.loads(line))
        except Exception as e:
            values.append(Undecodable(e))
    return values, True


def checked(f):
    """f, failing for inputs that could not be read."""

    def call(x):
        if type(x) is Undecodable:
            raise ValueError("the input cannot be read: %s" % x.error) from None
        return f(x)
    return call


# --- failures ---

def cut(text, most):
    return text if len(text) <= most else text[:most] + "\u2026 [cut]"


def type_name(cls):
    name = getattr(cls, "__qualname__", "") or "Exception"
    module = getattr(cls, "__module__", None)
    return name if module in (None, "builtins", "__main__", MODULE) else "%s.%s" % (module, name)


def describe(e, memory_limit=0):
    """A TaskError of an exception, as the parent keeps it."""
    kind, message, trace = "exception", "", ""
    try:
        name = type_name(type(e))
    except Exception:
        name = "Exception"
    try:
        message = str(e)
    except BaseException as broken:
        message = "<str() of the exception raised %s>" % type(broken).__name__
    if isinstance(e, MemoryError) and memory_limit:
        kind = "memory"
        message = message or "it needed more than the memory limit of %d bytes" % memory_limit
    try:
        tb = e.__traceback__
        while tb is not None and tb.tb_frame.f_code.co_filename != FILE:
            tb = tb.tb_next
        if tb is not None or isinstance(e, SyntaxError):
            lines = traceback.TracebackException(type(e), e, tb, limit=-100).format()
            trace = "".join(lines).replace(MODULE + ".", "")
    except BaseException:
        pass
    return failure(kind, name, message, trace)


def failure(kind, name, message, trace=""):
    error = {"kind": kind, "type": name, "message": cut(message, MAX_MESSAGE)}
    if trace:
        if len(trace) > MAX_TRACEBACK:
            trace = trace[:MAX_TRACEBACK // 2] + "\n  \u2026 [cut]\n" + trace[-MAX_TRACEBACK // 2:]
        error["traceback"] = trace
    return json.dumps(error, separators=(",", ":"))


def not_json(e):
    name = type_name(type(e))
    message = str(e)
    if isinstance(e, RecursionError):
        message = "it is nested too deeply"
    return failure("exception", name, "the output is not JSON: " + message)


def encoded(r):
    """The line of an output, and whether it is a failure."""
    try:
        text = encode(r)
    except BaseException as e:
        return b"!" + not_json(e).encode() + b"\n", True
    if len(text) > MAX_OUTPUT:
        return too_large(len(text)), True
    return text.encode() + b"\n", False


def too_large(size):
    text = failure("exception", "OverflowError", "the output of %d bytes is larger than %d MiB" % (size, MAX_OUTPUT >> 20))
    return b"!" + text.encode() + b"\n"


class Runner:
    def __init__(self):
        for fd in (3, 4, 5, 6):
            os.set_inheritable(fd, False)
        self.frames = open(3, "rb", buffering=1 << 16)
        self.shared = mmap.mmap(5, 0)
        self.cells = memoryview(self.shared).cast("q")
        self.lock = threading.RLock()  # of the outgoing frames and what is collected for them
        self.forked = False
        self.process = None  # runs the chunks, once the program is loaded
        self.memory_limit = 0
        self.logs = []       # of (number, stream, time, text)
        self.log_size = 0
        self.flush = self.flush_logs

    # --- frames ---

    def read(self):
        """The next frame's type and body; None at the end."""
        head = self.frames.read(5)
        if len(head) < 5:
            return None, None
        size, kind = struct.unpack("<IB", head)
        body = self.frames.read(size)
        if len(body) < size:
            return None, None
        return chr(kind), body

    def write(self, kind, *parts):
        """Writes one frame; the lock must be held."""
        size = sum(map(len, parts))
        data = memoryview(b"".join((struct.pack("<IB", size, ord(kind)),) + parts))
        while data:
            data = data[os.write(4, data):]

    # --- life ---

    def main(self):
        with self.lock:
            self.write("H", ("%d.%d.%d\n%s" % (sys.version_info[:3] + (sys.executable,))).encode("utf-8", "surrogateescape"))
        # These are needed sooner or later; now nobody waits for them.
        global linecache, traceback
        import linecache, traceback
        threading.Thread(target=self.serve, daemon=True, name="allcores").start()
        while True:
            kind, body = self.read()
            if kind is None:
                return
            if kind == "P":
                if not self.load(json.loads(body)):
                    return
                self.mode.run()
                return
            if kind == "K":
                answer = json.dumps(check(**json.loads(body)))
                with self.lock:
                    self.write("K", answer.encode())

    def load(self, p):
        os.environ.update(p["env"])
        self.memory_limit = p["memory"]
        self.capture()
        os.register_at_fork(after_in_child=self.after_fork)
        sys.argv = [FILE]
        try:
            f = load_function(p["source"], p["function"])
            asynchronous = is_async(f)
        except BaseException as e:
            if self.forked:
                os._exit(1)
            text = describe(e, self.memory_limit)
            with self.lock:
                self.flush_logs()
                self.write("L", b"!" + text.encode())
            return False
        loop, call = CALLS[p["call"]]
        if asynchronous:
            self.mode = Async(self, f, call, p["threads"])
        elif p["threads"] > 1:
            self.mode = Threads(self, f, call, p["threads"])
        else:
            self.mode = Serial(self, f, loop, call)
        self.flush = self.mode.flush
        with self.lock:
            self.flush_logs()
            self.write("L")
        return True

    def one(self, call, *args):
        """Calls and encodes; the line of the outcome, and whether it is a failure."""
        try:
            r = call(*args)
            if type(r) is CoroutineType:
                r = await_coroutine(r)
        except BaseException as e:
            if self.forked:
                os._exit(1)
            return b"!" + describe(e, self.memory_limit).encode() + b"\n", True
        if self.forked:
            os._exit(0)
        return encoded(r)

    def turn(self, body):
        """A turn begins: of which job and lane may differ from the one before."""
        for name, value in json.loads(body).items():
            os.environ[name] = value

    def serve(self):
        """Flushes when the parent asks, which it does when something has waited for 50 ms."""
        while True:
            if not os.read(6, 64):
                return
            with self.lock:
                self.cells[DIRTY] = 0
                self.flush()

    def after_fork(self):
        """A process that the task forked speaks to nobody and has plain output."""
        self.forked = True
        self.cells.release()  # so that it ends if it ever comes back into a loop here
        for fd in (3, 4, 5, 6):
            try:
                os.close(fd)
            except OSError:
                pass
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__ = self.plain

    def usage(self):
        own, below = getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN)
        unit = 1 if sys.platform == "darwin" else 1024
        return own.ru_utime + below.ru_utime, own.ru_stime + below.ru_stime, max(own.ru_maxrss, below.ru_maxrss) * unit

    def end(self, base, done, began, in_tasks, moving):
        """Says that a chunk has ended; the lock must be held."""
        self.flush_logs()
        user, system, peak = self.usage()
        self.write("E", struct.pack("<qqdddddq", base, done, began, in_tasks, moving, user, system, peak))

    # --- logs ---

    def capture(self):
        for name in ("__stdout__", "__stderr__"):
            stream = getattr(sys, name)
            if stream is not None:
                stream.reconfigure(errors="backslashreplace", write_through=True)
        self.plain = sys.__stdout__, sys.__stderr__
        sys.stdout = sys.__stdout__ = Stream(self, 0)
        sys.stderr = sys.__stderr__ = Stream(self, 1)

    def drain(self):
        """Waits until the parent has read what was written to descriptors 1 and 2,
        so that it still sees the mark of the task that wrote it."""
        pause = 20e-6
        for fd in (1, 2):
            try:
                while ioctl(fd, FIONREAD, zero) != zero and pause < 10e-3:
                    time.sleep(pause)
                    pause *= 2
            except OSError:
                pass  # the task closed or replaced it

    def flush_logs(self):
        """Sends what was printed; the lock must be held."""
        n = len(self.logs)
        if not n:
            return
        records = self.logs[:n]
        del self.logs[:n]
        self.log_size = 0
        parts = []
        i = 0
        while i < n:
            number, stream, at, text = records[i]
            j = i + 1
            while j < n and records[j][0] == number and records[j][1] == stream:
                j += 1
            if j > i + 1:
                text = "".join([record[3] for record in records[i:j]])
            data = text.encode("utf-8", "replace")
            parts.append(struct.pack("<qBdI", number, stream, at, len(data)))
            parts.append(data)
            i = j
        self.write("G", *parts)

    def current(self):
        """The number of the task that the caller runs in, or -1."""
        return self.mode.current() if self.mode else -1

    mode = None


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


def load_function(source, function):
    # An entry without a time of change is never checked against a file.
    linecache.cache[FILE] = (len(source), None, source.splitlines(True), FILE)
    module = ModuleType(MODULE)
    module.__file__ = FILE
    sys.modules[MODULE] = module
    exec(compile(source, FILE, "exec", dont_inherit=True), module.__dict__)
    f = module.__dict__.get(function)
    if f is None:
        raise AttributeError("the source has no function %s" % function)
    if not callable(f):
        raise TypeError("%s is not a function but %s" % (function, type(f).__name__))
    return f


def await_coroutine(coroutine):
    """The result of what a plain function returned in place of a value."""
    import asyncio
    return asyncio.run(coroutine)


def is_async(f):
    """Whether f is an async def, as inspect.iscoroutinefunction, whose module
    takes 10 ms to import."""
    while hasattr(f, "func"):  # functools.partial
        f = f.func
    for g in (f, getattr(type(f), "__call__", None)):
        g = getattr(g, "__func__", g)
        code = getattr(g, "__code__", None)
        if code is not None and code.co_flags & 0x80:  # CO_COROUTINE
            return True
    return False


CHUNK = struct.Struct("<qqqqBqq")  # base, count, cell of the limit, failures, 1 for a range, start, step
OUTCOMES = struct.Struct("<qIII")  # first, tasks, failures, pairs of durations


class Serial:
    """Runs tasks one after the other on the main thread."""

    def __init__(self, runner, f, loop, call):
        self.runner, self.f, self.loop, self.call = runner, f, loop, call
        self.batch = 1         # tasks a batch
        self.expected = None   # type of the last scalar output, usually that of the next one
        self.out = []          # scalar outputs that are not encoded yet
        self.ints = False      # all of out are of type int
        self.strings = False   # some of out may be of type str
        self.pieces = []       # encoded outputs
        self.first = 0         # number of the first task that is not sent
        self.count = 0         # tasks in pieces
        self.size = 0          # bytes in pieces
        self.sent = 0          # bytes of the chunk sent
        self.failed = array("i")
        self.failures = 0      # of the chunk
        self.durations = array("d")  # pairs: tasks, seconds each
        self.part = ()         # the batch in hand: its inputs,
        self.part_first = 0    # its first number,
        self.cell = 0          # and its chunk's limit
        self.raw = 0           # the RAW cell as last seen
        self.careful = 0       # tasks that are still run one by one
        self.trimmed = -1      # what was in hand when a batch was cut short

    def current(self):
        return self.runner.cells[MARK]

    def run(self):
        r = self.runner
        while True:
            kind, body = r.read()
            if kind is None:
                return
            if kind == "C":
                self.chunk(body)
            elif kind == "T":
                r.turn(body)

    def chunk(self, body):
        cells, drain = self.runner.cells, self.runner.drain
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
        lock, out, durations = self.runner.lock, self.out, self.durations
        moving, in_tasks = perf_counter() - t, 0.0
        n, end = base, base + count
        batch, held = self.batch, 0
        raw, careful = self.raw, self.careful
        while n < end:
            if cells[RAW] != raw:
                raw, careful = cells[RAW], CAREFUL
            if careful:
                careful -= 1
                batch = 1
            stop = min(n + batch, end)
            cells[HIGH] = stop
            limit = cells[cell]
            if limit < stop:
                if limit <= n:
                    break
                stop = cells[HIGH] = limit
            self.part_first, self.part = n, list(islice(inputs, stop - n))
            t = perf_counter()
            m = self.run_batch(f, loop, n, stop, failures) - n
            now = perf_counter()
            spent = now - t
            if spent > 100e-6 or careful or n + m >= end:
                drain()
            cells[MARK] = -1
            in_tasks += spent
            n += m
            if m:
                durations.append(m)
                durations.append(spent / m)
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
        self.part = ()
        t = perf_counter()
        with lock:
            self.seal()
            self.send()
            moving += perf_counter() - t
            self.runner.end(base, n - base, began, in_tasks, moving)

    def run_batch(self, f, loop, n, stop, failures):
        """Runs the tasks of self.part and returns the number after the last one run."""
        inputs, cells, append = iter(self.part), self.runner.cells, self.out.append
        while n < stop:
            try:
                n, r, odd = loop(f, inputs, n, cells, append, self.expected)
                if not odd:
                    break
            except BaseException as e:
                if self.runner.forked:
                    os._exit(1)
                n = cells[MARK]
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
                self.ints = t is int and (self.ints or not self.out)
                self.expected = t
                self.strings = self.strings or t is str
                self.out.append(r)
            return
        if t is CoroutineType:
            line, failed = self.runner.one(await_coroutine, r)
        else:
            line, failed = encoded(r)
        self.piece(line, failed)

    def piece(self, line, failed):
        """Adds the line of one task."""
        with self.runner.lock:
            self.seal()
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
        try:
            if self.ints and n <= BULK:
                text = INTS[:3 * n] % tuple(values)
            else:
                text = encode_scalars(values)[1:-1] + "\n"
            if len(text) > MAX_OUTPUT:
                raise Truncated
            data = text.encode()
        except Exception:
            lines = []
            for i, value in enumerate(values):
                line, failed = encoded(value)
                lines.append(line)
                if failed:
                    self.failed.append(self.count + i)
                    self.failures += 1
            data = b"".join(lines)
        self.pieces.append(data)
        self.count += n
        self.size += len(data)
        del self.out[:n]
        if not self.out:
            self.ints = self.expected is int
            self.strings = self.expected is str

    def send(self):
        """Sends the outcomes collected; the lock must be held."""
        if not self.count:
            return
        head = OUTCOMES.pack(self.first, self.count, len(self.failed), len(self.durations) // 2)
        failed, durations, pieces = self.failed, self.durations, self.pieces
        self.first += self.count
        self.sent += self.size
        self.count = self.size = 0
        self.failed = array("i")
        self.pieces = []
        m = len(durations)
        taken = durations[:m]
        del durations[:m]
        self.runner.write("O", head, failed.tobytes(), taken.tobytes(), *pieces)

    def flush(self):
        """Sends what there is while a task runs, and gives up what the limit forbids."""
        self.runner.flush_logs()
        self.seal()
        self.send()
        cells, part, first = self.runner.cells, self.part, self.part_first
        if part and cells[self.cell] < cells[HIGH]:
            mark = cells[MARK]
            del part[max(cells[self.cell], mark + 1, first) - first:]
            # The loop may have taken one more before its inputs were cut. If it
            # is where it was the last time, it has not.
            keep = max(cells[self.cell], mark + (1 if mark == self.trimmed else 2), first)
            cells[HIGH] = min(cells[HIGH], keep)
            self.trimmed = mark


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


OUTCOME = struct.Struct("<qdBI")  # number, seconds, 1 for a failure, bytes of the line


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

    def finished(self, c, n, slot, spent, line, failed):
        """Takes the outcome of a task in hand."""
        r = self.runner
        if spent > 100e-6:
            r.drain()
        with r.lock:
            self.done.append(OUTCOME.pack(n, spent, failed, len(line)))
            self.done.append(line)
            self.size += len(line)
            c.size += len(line)
            c.failed += failed
            c.in_tasks += spent
            c.open -= 1
            r.cells[MARK + slot * MARK_STEP] = -1
            self.number.set(-1)
            r.cells[DIRTY] = 1
            if c.next == c.end and not c.open:
                if c in self.chunks:
                    self.chunks.remove(c)
                self.ended(c)
            elif self.size >= FRAME or len(self.done) >= 2048:
                self.send()

    def ended(self, c):
        self.send()
        self.runner.end(c.base, c.next - c.base, c.began or time.time(), c.in_tasks, c.moving)

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
            threading.Thread(target=self.work, args=(slot,), daemon=True, name="task_%d" % slot).start()
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
            line, failed = one(*((call, f, x) if type(x) is not Undecodable else (checked(f), x)))
            spent = perf_counter() - t
            self.finished(c, n, slot, spent, line, failed)
            task = x = None


class Async(Many):
    """Runs tasks of an async function, several at once, in one event loop."""

    def run(self):
        import asyncio
        asyncio.run(self.main())

    async def main(self):
        import asyncio
        r = self.runner
        loop = asyncio.get_running_loop()
        self.more = asyncio.Event()
        self.stop = loop.create_future()
        # At the end nobody may wait for a thread that waits for frames.
        threading.Thread(target=self.feed, args=(loop,), daemon=True, name="allcores-frames").start()
        workers = [asyncio.ensure_future(self.work(slot)) for slot in range(self.threads)]
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
            t = perf_counter()
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
                line, failed = encoded(value)
            spent = perf_counter() - t
            self.finished(c, n, slot, spent, line, failed)


# --- check, without running anything ---

def check(source, function):
    """What is wrong with a source: a list of [what, message]."""
    import ast
    import warnings
    warnings.simplefilter("ignore")
    try:
        tree = ast.parse(source, FILE)
        compile(source, FILE, "exec", dont_inherit=True)
    except SyntaxError as e:
        text = (e.text or "").strip()
        where = "line %d: " % e.lineno if e.lineno else ""
        return [["source", where + str(e.msg) + (": " + cut(text, 200) if text else "")]]
    except RecursionError:
        return [["source", "is nested too deeply for Python"]]
    except MemoryError:
        return [["source", "is too complex for Python"]]
    except Exception as e:
        return [["source", "cannot be compiled: %s" % e]]
    try:
        names = bound(tree)
    except RecursionError:
        return []
    if names is None or function in names:
        return []
    functions = [s.name for s in tree.body if isinstance(s, (ast.FunctionDef, ast.AsyncFunctionDef))]
    known = "; it has " + cut(", ".join(functions), 200) if functions else ""
    return [["function", "the source has no function %s%s" % (function, known)]]


def bound(tree):
    """The names that a module binds at its top level; None when that cannot be known."""
    import ast
    names = set()
    nodes = list(tree.body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
            nodes.extend(node.decorator_list)
            continue
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                if alias.name == "*":
                    return None
                names.add(alias.asname or alias.name.split(".")[0])
        elif isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif node.id in ("globals", "exec", "eval", "vars", "locals", "setattr", "__dict__"):
                return None
        elif node.__class__.__name__ in ("MatchAs", "MatchStar", "MatchMapping"):
            name = getattr(node, "name", None) or getattr(node, "rest", None)
            if name:
                names.add(name)
        nodes.extend(ast.iter_child_nodes(node))
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            names.update(node.names)
        elif isinstance(node, ast.Name) and node.id == "globals":
            return None
    return names


def main():
    r = Runner()
    try:
        r.main()
    except BaseException:
        if r.forked:
            os._exit(1)
        # A mistake of ours, or a signal handler of the program that raised
        # between tasks. sys.stderr may lead nowhere by now.
        os.write(2, traceback.format_exc().encode("utf-8", "replace"))
        os._exit(70)
