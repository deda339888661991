# What the processes of a script print appears on its own standard output and error. Their
# texts are items of a shared list, in the order in which processes print and call, so the
# script prints them before what it prints after an answer that came later. An executor
# prints what its calls print by itself.


class _ScriptOutput:
    """Prints what the processes of a script print."""

    def __init__(self, script):
        self.script = script
        self.lock = threading.RLock()
        self.stale = False  # an answer about a shared object came since the last look
        self.texts = None  # _PrintedTexts

    def install(self):
        """Takes the place of sys.stdout and sys.stderr."""
        for name in ("stdout", "stderr"):
            real = getattr(sys, name)
            if isinstance(real, io.TextIOWrapper):
                real.flush()
                stream = _ScriptStream(
                    real.buffer, real.encoding, real.errors, None, real.line_buffering, getattr(real, "write_through", False))
                stream.output = self
                setattr(sys, name, stream)

    def listen(self):
        """Begins to print what processes print."""
        self.texts = _PrintedTexts(self.script)
        threading.Thread(target=self.texts.listen, args=(self,), name="allcores-output", daemon=True).start()

    def answered(self):
        """Has the script's next text wait for what was printed before an answer."""
        self.stale = self.texts is not None

    def before_write(self):
        """Prints what belongs before what the script prints now."""
        with self.lock:
            self.stale = False
            self.texts.read()

    def ended(self, job, task, key):
        """Prints what is left of a process: its texts, and what it wrote past sys.stdout."""
        with self.lock:
            self.texts.read()
            try:
                lines = list(job.logs(task))
            except Error:
                return
            printed = self.texts.lines.pop(key, {})
            for line in lines:
                stream, text = line.get("stream"), line.get("line")
                if printed.get((stream, text)):
                    printed[stream, text] -= 1
                elif text is not None:
                    _print_text(stream, text + "\n")

    def finish(self):
        """Prints the rest."""
        with self.lock:
            if self.texts is not None:
                self.texts.read()
            self.stale = False


class _ScriptStream(io.TextIOWrapper):
    """sys.stdout or sys.stderr of a script."""

    output = None

    def write(self, text):
        if self.output is not None and self.output.stale:
            self.output.before_write()
        return super().write(text)


def _print_text(stream, text):
    """Prints the text of a task. It passes by the buffer of the script's own, as the text of
    a process does that has the same file."""
    file = sys.stderr if stream == "stderr" else sys.stdout
    with contextlib.suppress(OSError, ValueError, AttributeError):
        data = text.encode(file.encoding or "utf-8", "backslashreplace")
        if isinstance(file, _ScriptStream):
            number = file.fileno()
            while data:
                data = data[os.write(number, data):]
        else:
            file.write(text)


class _PrintedTexts:
    """The shared list of what processes print. An item is [stream, text, key of the process]."""

    def __init__(self, script):
        self.script = script
        self.list = List("output", scope=script.manager.scope)
        self.list._object.api = script.api
        self.at = 0  # items that were printed and are not removed
        self.lines = {}  # by key of a process: how often it printed a line, by stream and line

    def listen(self, output):
        pause = 0.02
        while not self.script.closed.wait(pause):
            with output.lock:
                came = self.read()
            pause = 0.02 if came else min(pause * 1.2, 0.1)

    def read(self):
        """Prints what came, and returns whether anything did."""
        try:
            items = self.list[self.at:]
            for stream, text, key in items:
                counts = self.lines.setdefault(key, {})
                for line in text.splitlines():
                    counts[stream, line] = counts.get((stream, line), 0) + 1
                _print_text(stream, text)
            self.at += len(items)
            if self.at >= 64:
                del self.list[:self.at]
                self.at = 0
        except Error:
            return False  # the script ends
        return bool(items)


# The side of a process.


class _ProcessStream(io.TextIOBase):
    """sys.stdout or sys.stderr of a process of a script. Its text goes to the script with the
    next call on a shared object, or soon, and into the log of the task."""

    def __init__(self, name, key, printed):
        self.real, self.stream, self.key = getattr(sys, name), name, key
        self.list = printed
        self.lock = threading.RLock()
        self.parts = []
        self.soon = threading.Event()  # something waits to be sent

    encoding, errors, newlines = "utf-8", "backslashreplace", None

    def writable(self):
        return True

    def isatty(self):
        return False

    def fileno(self):
        return self.real.fileno()

    @property
    def buffer(self):
        return self.real.buffer

    def write(self, text):
        with self.lock:
            self.parts.append(text)
            self.real.write(text)
        if "\n" in text:
            self.soon.set()
        return len(text)

    def flush(self):
        self.real.flush()
        self.send()

    def send(self):
        """Sends what was written."""
        with self.lock:
            text, self.parts = "".join(self.parts), []
            for at in range(0, len(text), 1 << 16):
                self.put([self.stream, text[at:at + (1 << 16)], self.key])

    def put(self, item):
        for _ in range(200):
            try:
                self.list.append(item)
                return
            except SharedBoundsError:
                time.sleep(0.05)  # the script reads slowly
            except (Error, OSError):
                return  # the log has it

    def send_soon(self):
        """Sends, on a thread of its own, what has waited for a moment."""
        while True:
            self.soon.wait()
            time.sleep(0.02)
            self.soon.clear()
            self.send()


def _send_printed():
    """Sends what this process has printed, before a call by which another one may know."""
    for stream in (sys.stdout, sys.stderr):
        if type(stream) is _ProcessStream and stream.parts:
            stream.send()
