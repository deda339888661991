"""Runs the process: loading, logs, flushing."""
import atexit, faulthandler, json, mmap, os, struct, sys, threading, time
from contextvars import Context
from fcntl import ioctl
from functools import partial
from types import CoroutineType

from .directory import Directory
from .frames import Frames
from .parallel import Async, Threads
from .printing import RECORD, Log, Stream, watch_dup2
from .program import CALLS, Program, await_coroutine, checking_kills, is_async
from .renewal import Baseline
from .serial import Serial
from .shared import DIRTY, RAW, ROOM, TRACE
from .usage import Usage
from .values import FILE, describe, encoded, failed_line

EXIT_GRACE = 0.5  # seconds
CLIENT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "client")
package = sys.modules[__package__]
FIONREAD = 0x541B if sys.platform == "linux" else 0x4004667F
zero = struct.pack("i", 0)

# After so many reads by the parent the pipe's old content is read. What is in it was
# written since, by something that will not end soon.
PIPE_READS = 5
FLUSHES = 500    # per second that are sent at once
MAX_NOTES = 10000  # lines of the runner itself in the logs of a job's tasks
STUCK = 1.0  # seconds to wait for a parent that reads nothing


class Runner:
    def __init__(self):
        for fd in (3, 4, 5, 6):
            os.set_inheritable(fd, False)
        self.usage = Usage()
        self.frames = Frames()
        self.lock = self.frames.lock
        self.shared = mmap.mmap(5, 0)
        self.words = memoryview(self.shared).cast("q")
        self.dump_crashes()
        self.forked = False
        self.memory_limit = ""   # in words; empty without one
        room = memoryview(self.shared)[len(self.shared) - TRACE - ROOM:len(self.shared) - TRACE]
        self.log = Log(self.words, room)
        self.flush = self.flush_logs

    def dump_crashes(self):
        """Makes a crash leave the stack where the parent finds it."""
        os.lseek(5, len(self.shared) - TRACE, os.SEEK_SET)
        faulthandler.enable(5, all_threads=False)

    # --- life ---

    def vital(self, run, *args):
        """Calls run, and ends the process when it raises."""
        try:
            return run(*args)
        except BaseException as e:
            self.broken(e)

    def broken(self, e):
        """Ends the process after an error of the runner, or of the program outside its
        function: a signal handler that raised between tasks, a descriptor that was closed."""
        if self.forked:
            os._exit(1)
        import traceback
        try:  # sys.stderr may be unusable by now
            os.write(2, "".join(traceback.format_exception(type(e), e, e.__traceback__)).encode("utf-8", "replace"))
        finally:
            os._exit(70)

    def main(self):
        with self.lock:
            self.frames.write("H", ("%d.%d.%d\n%s" % (sys.version_info[:3] + (sys.executable,))).encode("utf-8", "surrogateescape"))
        # These are needed later; now no task waits for them.
        import linecache, traceback
        from .check import check
        threading.Thread(target=self.vital, args=(self.serve,), daemon=True, name="allcores").start()
        while True:
            kind, body = self.frames.read()
            if kind is None:
                return
            if kind == "P":
                p = json.loads(body)
                if self.prepare(p):
                    # Each job has a context of its own.
                    while Context().run(self.job, p):
                        pass
                return
            if kind == "K":
                answer = json.dumps(check(**json.loads(body)))
                with self.lock:
                    self.frames.write("K", answer.encode())

    def prepare(self, p):
        """Prepares the process for its program, and returns whether that compiles."""
        os.environ.update(p["env"])
        self.memory_limit = p["limit"]
        if p["kills"]:
            self.usage.watch_kills(p["kills"])
        self.capture()
        os.register_at_fork(after_in_child=self.after_fork)
        sys.argv = [FILE]
        # First, so that import allcores gives the client that fits this server.
        sys.path.insert(0, CLIENT)
        home = os.getcwd()
        self.directory = Directory(os.path.join(home, "tasks"))
        try:
            self.program = Program(p["source"], p["function"], os.path.join(home, "program"))
        except BaseException as e:
            return self.unfit(e)
        self.baseline = Baseline()
        return True

    def job(self, p):
        """Loads the program and runs the tasks of one job. Returns whether another job
        follows, for which the process is as new."""
        if not self.load(p):
            return False
        self.directory.loaded()
        self.baseline.loaded()
        if not self.mode.run():
            return False
        if self.mode.left or not self.baseline.clean():
            self.replace()
        self.renewed = True
        for stream in self.streams:
            stream.commit()
            stream.renew()
        self.mode, self.flush, self.notes = None, self.flush_logs, 0
        package.running = None
        self.baseline.restore(self.environ)
        self.directory.fresh()
        faulthandler.cancel_dump_traceback_later()
        self.dump_crashes()
        return True

    def load(self, p):
        try:
            f = self.program.load()
            asynchronous = is_async(f)
        except BaseException as e:
            return self.unfit(e)
        loop, call = CALLS[p["call"]]
        if asynchronous:
            self.mode = Async(self, f, call, p["threads"])
        elif p["threads"] > 1:
            self.mode = Threads(self, f, call, p["threads"])
        else:
            self.mode = Serial(self, f if self.usage.kills < 0 else checking_kills(f, self.usage), loop, call)
        for stream in self.streams:
            stream.current, stream.several = self.mode.current, p["threads"] > 1
        self.flush = self.mode.flush
        package.running = self.mode.index
        with self.lock:
            self.flush_logs()
            self.frames.write("L")
        return True

    def unfit(self, e):
        """Sends why the program cannot be loaded. A process that loaded it before ends
        instead, as some modules can be loaded only once in a process."""
        if self.forked:
            os._exit(1)
        if self.renewed:
            self.replace()
        text = describe(e, self.memory_limit)
        with self.lock:
            self.flush_logs()
            self.frames.write("L", b"!" + text.encode())
        return False

    def replace(self):
        """Ends the process, as it cannot be as new for the next job. That job waits: a
        function that runs at exit may take EXIT_GRACE, as multiprocessing's waits for
        the children that a library keeps."""
        threading.Thread(target=lambda: (time.sleep(EXIT_GRACE), os._exit(71)), daemon=True).start()
        with self.lock:
            try:
                atexit._run_exitfuncs()
            finally:
                for stream in self.streams:
                    stream.commit()
                self.log.forget(len(self.log.take()[0]))
                os._exit(71)

    def one(self, call, *args):
        """Calls and encodes. Returns the line of the outcome, whether it is a failure, and
        the seconds that encoding took."""
        try:
            r = call(*args)
            if type(r) is CoroutineType:
                r = await_coroutine(r)
        except BaseException as e:
            if self.forked:
                os._exit(1)
            return failed_line(e, self.memory_limit), True, 0.0
        if self.forked:
            os._exit(0)
        t = time.perf_counter()
        line, failed = encoded(r, self.note)
        return line, failed, time.perf_counter() - t

    def session(self, body):
        """Begins a session, which may be of another lane than the one before. Returns
        whether its job must find the process as new."""
        t = json.loads(body)
        self.environ = t["env"]
        if not t["fresh"]:
            os.environ.update(self.environ)
        return t["fresh"]

    def serve(self):
        """Flushes when the parent asks, which it does when something was unsent for 50 ms."""
        while True:
            if not os.read(6, 64):
                return
            mode = self.mode
            if mode:
                mode.answer()
            with self.lock:
                self.words[DIRTY] = 0
                self.flush()

    def task(self):
        """Returns what current_task returns, or -1 where that is not known."""
        try:
            return package.current_task()
        except RuntimeError:
            return -1

    def after_fork(self):
        """In a process that a task forked: closes what belongs to the parent, and makes its
        output plain."""
        self.forked = True
        package.running = partial(int, self.task())
        self.words.release()  # so that it ends if it ever comes back into a loop here
        try:
            os.dup2(2, 5, inheritable=False)  # faulthandler prints its report of this process
        except OSError:
            faulthandler.disable()
        for fd in (3, 4, 6):
            try:
                os.close(fd)
            except OSError:
                pass
        for stream in self.streams:
            stream.fork()

    def end(self, base, done, began, in_tasks, moving):
        """Sends that a chunk has ended; the lock must be held."""
        for stream in self.streams:
            if stream.split and not stream.several:
                stream.change(-1)
        self.flush_logs()
        user, system, peak = self.usage.now()
        self.frames.write("E", struct.pack("<qqdddddq", base, done, began, in_tasks, moving, user, system, peak))

    # --- logs ---

    def capture(self):
        self.plain = sys.__stdout__, sys.__stderr__  # keeps them open for references to them
        self.streams = Stream(self, 0), Stream(self, 1)
        watch_dup2(self.streams)
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__ = self.streams

    def drain(self):
        """Waits until the parent has read what was written to descriptors 1 and 2,
        so that it still sees the mark of the task that wrote it."""
        pause, left, seen = 20e-6, STUCK, self.words[RAW]
        for fd in (1, 2):
            try:
                while ioctl(fd, FIONREAD, zero) != zero and left > 0 and self.words[RAW] - seen <= PIPE_READS:
                    time.sleep(pause)
                    left -= pause
                    pause = min(2 * pause, 1e-3)
            except OSError:
                pass  # the task closed or replaced it

    def send_logs(self):
        """Sends what was printed, unless a frame is being written: a signal handler may
        print in the middle of one."""
        if self.lock.acquire(blocking=False):
            try:
                if not self.frames.writing:
                    self.flush_logs()
            finally:
                self.lock.release()

    def hurry(self):
        """Sends what was printed, as the program flushes it. A program that flushes all the
        time waits for the parent's next request instead."""
        if not self.log.records:
            return
        now = time.perf_counter()
        self.flushes = min(self.flushes + (now - self.flushed) * FLUSHES, FLUSHES)
        self.flushed = now
        if self.flushes >= 1:
            self.flushes -= 1
            self.send_logs()

    def note(self, text, n=None):
        """Adds a line of the runner to the log of task n, or of the caller's task."""
        self.notes += 1
        if self.notes > MAX_NOTES:
            return
        if self.notes == MAX_NOTES:
            text = "[this process has added %d such lines; it adds no more]" % (MAX_NOTES - 1)
        self.streams[1].line(text, self.mode.current() if n is None else n)

    def flush_logs(self):
        """Sends what was printed; the lock must be held."""
        for stream in self.streams:
            stream.commit()
        if not self.log.records:
            return
        records, sent = self.log.take()
        n = len(records)
        parts = [struct.pack("<q", sent)]
        i = 0
        while i < n:
            number, stream, at, text = records[i]
            j = i + 1
            while j < n and records[j][0] == number and records[j][1] == stream:
                j += 1
            if j > i + 1:
                text = "".join([record[3] for record in records[i:j]])
            data = text.encode("utf-8", "backslashreplace")
            parts.append(RECORD.pack(number, stream, at, len(data)))
            parts.append(data)
            i = j
        self.frames.write("G", *parts)
        self.log.forget(n)

    mode = None
    renewed = False  # another job ran here before
    notes = 0
    flushes, flushed = 0.0, 0.0  # by the program: how many are sent at once, as of when
    streams = ()
