

_EPILOG = """examples:
  allcores map script.py:function inputs.ndjson
  allcores run -j 8 -- convert {} {.}.png ::: *.jpg
  allcores run script.py
  allcores watch ID; allcores results ID --json

settings: --url and --token, else ALLCORES_URL and ALLCORES_TOKEN, else
http://127.0.0.1:8080 and the token of a server on this machine.

exit status: 0 if all tasks succeeded, 1 if not, 2 for wrong usage, 130 after
Ctrl-C, which leaves the job running."""


class _UsageError(Exception):
    """Wrong arguments of the command line."""


def _cli_parser_class():
    """Return a parser whose errors are one line and exit status 2."""
    import argparse

    class Parser(argparse.ArgumentParser):
        def __init__(self, **options):
            super().__init__(allow_abbrev=False, **options)

        def error(self, message):
            raise _UsageError("{0}: {1} (see {0} --help)".format(self.prog, message))

    return Parser


def _cli_common_options(make):
    import argparse

    common = make(add_help=False)
    group = common.add_argument_group("server")
    group.add_argument("--url", default=argparse.SUPPRESS, help="address of the server")
    group.add_argument("--token", default=argparse.SUPPRESS, help="access token")
    group.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON, one document per line")
    return common


def _cli_job_options(parser, retries):
    """Add the options of the verbs that submit a job."""
    group = parser.add_argument_group("job")
    group.add_argument("-j", "--jobs", metavar="N", help="tasks at once, over all nodes (default: as many as the queue allows)")
    group.add_argument("--timeout", metavar="TIME", help="end a task after this time, such as 30 (seconds) or 5m")
    group.add_argument("--retries", metavar="N", type=_positive, help=retries)
    group.add_argument("--halt", metavar="WHEN", help="never (default), soon,fail=N or now,fail=N: stop after N failed tasks, or N%%; now ends running tasks too")
    group.add_argument("--memory", metavar="SIZE", help="memory limit of a process, such as 512MiB")
    group.add_argument("--queue", metavar="NAME", help="the queue (default: cpu)")
    group.add_argument("--priority", type=int, metavar="1..4", help="1 runs first (default: 2)")
    group.add_argument("--name", help="the job's name")
    group.add_argument("--tags", metavar="A,B", default="", help="the job's tags")
    group.add_argument("--detach", action="store_true", help="submit, print the job's id and leave")


def _cli_parser():
    """Return the parser and its sub-parsers by verb."""
    import argparse

    make = _cli_parser_class()
    common = _cli_common_options(make)
    parser = make(prog="allcores", description="Run functions and commands as durable tasks on an Allcores server.",
                     epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, parents=[common])
    parser.add_argument("--version", action="version", version="allcores " + VERSION)
    verbs = parser.add_subparsers(metavar="VERB", dest="verb", parser_class=make)

    def verb(name, run, text, **more):
        sub = verbs.add_parser(name, help=text, description=more.pop("description", text[0].upper() + text[1:] + "."),
                               formatter_class=argparse.RawDescriptionHelpFormatter, parents=[common], **more)
        sub.set_defaults(run=run)
        return sub

    _map_parser(verb)
    _run_parser(verb)
    for name, run, text in (
        ("watch", _verb_watch, "show how far a job is until it has ended"),
        ("results", _verb_results, "print a job's results in the order of its inputs, as they come"),
        ("logs", _verb_logs, "print what a job's tasks printed"),
        ("cancel", _verb_cancel, "end a job"),
        ("retry", _verb_retry, "run the failed and cancelled tasks of a job again"),
    ):
        sub = verb(name, run, text)
        sub.add_argument("id", metavar="ID", help="the job's id")
        if name in ("results", "logs"):
            sub.add_argument("--no-follow", action="store_true", help="stop at what there is now")
        if name == "results":
            sub.add_argument("--after", type=int, default=-1, metavar="INDEX", help="only tasks after this index")
        if name == "logs":
            sub.add_argument("--task", type=int, metavar="INDEX", help="only this task")
    sub = verb("jobs", _verb_jobs, "list jobs, newest first")
    sub.add_argument("--state", help="only jobs in this state, such as running")
    sub.add_argument("--tag", help="only jobs with this tag")
    sub.add_argument("--limit", type=_positive, default=20, metavar="N", help="at most N jobs (default: 20)")
    return parser, verbs.choices


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command line and return its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _cli_main(arguments)
    except _UsageError as wrong:
        print(wrong, file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of standard output has gone, as in "| head".
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except Error as failed:
        print("allcores: {0}".format(failed), file=sys.stderr)
        return 1


def _cli_main(arguments):
    parser, verbs = _cli_parser()
    if not arguments:
        raise _UsageError("allcores: a verb is missing: " + ", ".join(verbs) + " (see allcores --help)")
    command = None
    for at, word in enumerate(arguments):
        if word == "run":
            arguments, command = arguments[: at + 1], arguments[at + 1 :]
        if word in verbs:
            break
    if command is not None:
        options, command = _split_command(verbs["run"], command)
        if command and command[0] == "--":
            command = command[1:]
        elif command and command[0].endswith(".py"):
            return _run_script(parser.parse_args(arguments + options), command, options)
        settings = parser.parse_args(arguments + options)
        settings.command = command
    else:
        settings = parser.parse_args(arguments)
    if not settings.verb:
        raise _UsageError("allcores: a verb is missing: " + ", ".join(verbs) + " (see allcores --help)")
    settings.json = getattr(settings, "json", False)
    return settings.run(settings)


def _cli_api(settings):
    return Api(getattr(settings, "url", None), getattr(settings, "token", None))


def _cli_job(settings, id):
    return Job(id, _api=_cli_api(settings))


def _run_script(settings, command, options):
    """Run a script with its pools and executors on the server."""
    wrong = [word for word in options if word.startswith("-") and word.partition("=")[0] not in ("--url", "--token", "--json")]
    if wrong:
        raise _UsageError("allcores run: {0} is for commands; {1} is a script, which sets what its pools do".format(wrong[0], command[0]))
    for name in ("url", "token"):
        if getattr(settings, name, None):
            os.environ["ALLCORES_" + name.upper()] = getattr(settings, name)
    return run_script(command[0], command[1:]) or 0


def _positive(text):
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        import argparse

        raise argparse.ArgumentTypeError("must be a whole number of at least 1, not {0!r}".format(text))
    return number


def _cli_policy(settings):
    """Return the policy that the options of a job ask for."""
    policy = {}
    if settings.jobs not in (None, "0"):
        if not settings.jobs.isdigit():
            raise _UsageError("allcores: -j must be a whole number, not {0!r}; 0 takes as many as the queue allows".format(settings.jobs))
        policy["processes"] = int(settings.jobs)
    if settings.timeout:
        policy["timeout"] = settings.timeout + "s" if settings.timeout.replace(".", "", 1).isdigit() else settings.timeout
    if settings.retries:
        policy["max_attempts"] = settings.retries
    if settings.memory:
        policy["memory_limit"] = settings.memory
    _, fails = _halt(settings.halt)
    if fails is not None:
        policy["max_failures"] = fails
    return policy


def _halt(text):
    """Return (when, max_failures) of GNU parallel's --halt: when is "never", "soon" or "now"."""
    if text in (None, "", "never", "0"):
        return "never", None
    text = {"1": "soon,fail=1", "2": "now,fail=1"}.get(text, text)
    match = re.match(r"(soon|now),fail=(\d+)(%?)$", text)
    if not match or match.group(2).strip("0") == "":
        raise _UsageError("allcores: --halt must be never, soon,fail=N or now,fail=N with N of at least 1, a count or a percentage, not {0!r}".format(text))
    when, number, percent = match.groups()
    return when, number + "%" if percent else int(number) - 1


def _cli_spec(settings, name):
    """Return the members of a submission that the options of a job give."""
    spec = {"name": settings.name or name, "policy": _cli_policy(settings)}
    if settings.queue:
        spec["queue"] = settings.queue
    if settings.priority is not None:
        spec["priority"] = settings.priority
    tags = [tag for tag in settings.tags.split(",") if tag]
    if tags:
        spec["tags"] = tags
    return spec
