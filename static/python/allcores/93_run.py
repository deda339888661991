

_SOURCES = (":::", "::::", ":::+", "::::+")
_PLACEHOLDERS = ("{}", "{.}", "{/}", "{//}", "{/.}", "{#}")
_INLINE_INPUTS = 10000  # inputs of one submission


def _run_parser(verb):
    sub = verb(
        "run", _verb_run, "run a command on each input, or a Python script",
        usage="allcores run [OPTIONS] [--] COMMAND [ARGUMENT ...] [::: INPUT ...]\n       allcores run [OPTIONS] script.py [ARGUMENT ...]",
        description="Run COMMAND once for each input, as GNU parallel does. {} is the input, {.} without its extension,\n"
        "{/} its base name, {//} its directory, {/.} its base name without extension, {#} its number from 0;\n"
        "without any of them the input is the last argument. A command of one word with spaces is a line of\n"
        "the shell. Without a command the inputs are such lines. Inputs come after :::, from -a FILE, or from\n"
        "standard input, one a line. Commands run in this directory where the worker has it.\n\n"
        "With a script.py, run that script with its pools, executors and processes on the server.",
        epilog="examples:\n  allcores run -- convert {} {.}.png ::: *.jpg\n  allcores run -j 8 --tag 'wc -l < {}' ::: *.txt\n"
        "  find . -name '*.gz' | allcores run --halt soon,fail=1 gzip -t",
    )
    sub.add_argument("-a", "--arg-file", metavar="FILE", help="read inputs from FILE, one a line; - is standard input")
    sub.add_argument("-0", "--null", action="store_true", help="inputs end with a NUL byte instead of a line's end")
    sub.add_argument("-k", "--keep-order", action="store_true", help="print outputs in the order of the inputs, not as commands end")
    sub.add_argument("--tag", action="store_true", help="begin each line of output with its input and a tab")
    sub.add_argument("--workdir", metavar="DIR", help='run in DIR (default: this directory); "" is a new empty one per task')
    _cli_job_options(sub, "run a command that fails up to N times")


def _split_command(parser, words):
    """Return the words that are options of run, and the rest, which begins with the command."""
    takes_value = {name for action in parser._actions if action.nargs != 0 for name in action.option_strings}
    at = 0
    while at < len(words) and words[at].startswith("-") and words[at] not in ("-", "--"):
        at += 2 if words[at] in takes_value else 1
    return words[:at], words[at:]


def _verb_run(settings):
    """Run a command over inputs."""
    command, inputs = _command_inputs(settings)
    spec = _cli_spec(settings, os.path.basename(command[0].split(" ")[0]) if command else "commands")
    spec["program"] = {"command": {"argv": _argv(command, settings.workdir), "output": "text"}}
    api = _cli_api(settings)
    job, shown = _submit_command(api, spec, inputs, settings.tag)
    if settings.detach:
        _out(_json({"id": job.id}) if settings.json else job.id)
        return 0
    _told(job, functools.partial(_print_commands, settings, job, shown))
    return _summary(settings, job.status(), quiet=not _terminal(sys.stderr))


def _command_inputs(settings):
    """Return the command's words and an iterable of inputs."""
    words = settings.command
    at = next((at for at, word in enumerate(words) if word in _SOURCES), len(words))
    command, sources = words[:at], words[at:]
    marks = [word for word in sources if word in _SOURCES]
    if len(marks) > 1 or marks and settings.arg_file or marks and marks[0].endswith("+"):
        raise _UsageError(
            "allcores run: give one source of inputs: combinations of several (:::, ::::, -a) are not supported; "
            "write them as lines, one a command, and give those as the only source"
        )
    numbered = [found for word in command for found in re.findall(r"\{\d+\}|\{%\}", word)]
    if numbered:
        raise _UsageError("allcores run: {0} is not supported; there are {1}".format(numbered[0], " ".join(_PLACEHOLDERS)))
    if not marks or marks[0] == "::::":
        name = sources[1] if len(sources) > 1 else settings.arg_file or "-"
        if marks and len(sources) != 2:
            raise _UsageError("allcores run: :::: takes one file")
        if name == "-" and not settings.arg_file and sys.stdin.isatty():
            raise _UsageError("allcores run: there are no inputs: give them after :::, with -a FILE, or on standard input")
        return command, _text_lines(name, b"\0" if settings.null else b"\n")
    return command, [_input_text(word.encode("utf-8", "surrogateescape"), "an argument") for word in sources[1:]]


def _text_lines(name, end):
    """Yield the inputs of a file or of standard input."""
    with _input_file(name) as file:
        pieces = file if end == b"\n" else _split_bytes(file, end)
        for number, line in enumerate(pieces, 1):
            line = line[:-1] if line.endswith(end) else line
            yield _input_text(line, "{0} line {1}".format("standard input" if name == "-" else name, number))


def _split_bytes(file, end):
    rest = b""
    for block in iter(lambda: file.read(1 << 16), b""):
        parts = (rest + block).split(end)
        rest = parts.pop()
        yield from parts
    if rest:
        yield rest


def _input_text(text, where):
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise _UsageError("allcores run: {0} is not UTF-8: {1!r}".format(where, text[:80]))


def _argv(command, workdir):
    """Return the argv of the job's program: the command, run in workdir where the worker has it."""
    enter = 'cd -- "$0" 2>/dev/null; '
    directory = os.getcwd() if workdir is None else workdir
    if not command:
        return ["sh", "-c", (enter if directory else "") + 'exec sh -c "$1"', directory or "sh", "{}"]
    if len(command) == 1 and re.search(r"[\s|&;<>$`*?'\"()]", command[0]):
        line, used = _shell_line(command[0])
        return ["sh", "-c", (enter if directory else "") + line, directory or "sh"] + used
    if not directory:
        return list(command)
    return ["sh", "-c", enter + 'exec "$@"', directory] + list(command)


def _shell_line(command):
    """Return a shell line and its arguments: each placeholder becomes a parameter, so no input is read as shell code."""
    used, out, quote, at = [], [], "", 0
    while at < len(command):
        found = next((p for p in _PLACEHOLDERS if command.startswith(p, at)), None)
        if found:
            if found not in used:
                used.append(found)
            parameter = "${{{0}}}".format(used.index(found) + 1)
            out.append({"": '"{0}"', '"': "{0}", "'": "'\"{0}\"'"}[quote].format(parameter))
            at += len(found)
            continue
        letter = command[at]
        if letter == "\\" and quote != "'":
            out.append(command[at : at + 2])
            at += 2
            continue
        if letter in "'\"" and quote in ("", letter):
            quote = "" if quote else letter
        out.append(letter)
        at += 1
    if not used:
        used.append("{}")
        out.append(' "$1"')
    return "".join(out), used


def _submit_command(api, spec, inputs, keep):
    """Submit the job, and return it with the inputs where their texts are needed."""
    inputs = iter(inputs)
    head = list(itertools.islice(inputs, _INLINE_INPUTS))
    more = list(itertools.islice(inputs, 1))
    shown = list(head) if keep else None
    if not more:
        spec["inputs"] = {"items": head}
        return Job(api.json("POST", "/api/v1/jobs", spec)["id"], _api=api), shown
    spec["inputs"] = {"open": True}
    job = Job(api.json("POST", "/api/v1/jobs", spec)["id"], _api=api)

    def lines():
        for text in itertools.chain(head, more, inputs):
            if keep:
                shown.append(text)
            yield _json(text).encode()

    if keep:
        shown.clear()
    _append(job, _batches(lines()))
    return job, shown


def _print_commands(settings, job, shown):
    """Print the outputs of a job of commands, and its standard error as it comes."""
    ends = _Halt(settings.halt)
    printing = threading.Lock()
    errors = threading.Thread(target=_print_stderr, args=(job, printing, shown), name="allcores-stderr", daemon=True)
    if not settings.json:
        errors.start()
    for line in job._lines(-1, settings.keep_order, True, None if not settings.json else False):
        with printing:
            if settings.json:
                _print_outcome(settings, line, job._api)
            else:
                _print_command(line, shown)
        ends.note(job, line)
    if not settings.json:
        errors.join(10)


def _print_command(line, shown):
    """Print what a command wrote; for one that failed, on standard error, also how it ended."""
    error = line.get("error") or {}
    output = line.get("output") if line["state"] == "succeeded" else error.get("output", "").rstrip("\n")
    tag = shown[line["index"]] + "\t" if shown else ""
    if output:
        _out("\n".join(tag + text for text in output.split("\n")))
    if line["state"] != "succeeded":
        what = error.get("type") or error.get("kind") or line["state"]
        if error.get("kind") != "exit" and error.get("message"):
            what += ": " + error["message"].strip()
        print("allcores: task {0}: {1}".format(line["index"], what), file=sys.stderr, flush=True)


def _print_stderr(job, printing, shown):
    with contextlib.suppress(Error):
        for line in job._log_lines({"stream": "stderr"}, True):
            if "line" not in line:
                continue
            tag = shown[line["task"]] + "\t" if shown else ""
            with printing:
                print(tag + line["line"], file=sys.stderr, flush=True)
