

def _verb_watch(settings):
    """Show a job until it has ended."""
    job = _cli_job(settings, settings.id)
    status = _told(job, functools.partial(job.wait, progress=None if not settings.json else False))
    return _summary(settings, status)


def _verb_results(settings):
    """Print a job's results."""
    job = _cli_job(settings, settings.id)
    job.status()  # an unknown job is an error before anything is printed
    follow = not settings.no_follow
    failed = _told(job, functools.partial(_print_outcomes, settings, job, settings.after, follow))
    status = job.status()
    if follow:
        return _summary(settings, status, quiet=True)
    return 1 if failed else 0


def _verb_logs(settings):
    """Print what a job's tasks printed: their standard output here, their standard error there."""
    job = _cli_job(settings, settings.id)
    follow = not settings.no_follow
    for line in _told(job, functools.partial(job.logs, settings.task, follow=follow)):
        if settings.json:
            _out(_json(line))
        elif "line" in line:
            stream = sys.stderr if line.get("stream") == "stderr" else sys.stdout
            print(line["line"], file=stream, flush=True)
        elif line.get("message"):
            print("allcores: {0}".format(line["message"]), file=sys.stderr)
    return 0


def _verb_cancel(settings):
    """Cancel a job."""
    return _print_status(settings, _cli_job(settings, settings.id).cancel())


def _verb_retry(settings):
    """Retry a job's failed and cancelled tasks."""
    return _print_status(settings, _cli_job(settings, settings.id).retry())


def _verb_jobs(settings):
    """List jobs."""
    query = {"state": settings.state, "tag": settings.tag}
    query = {name: value for name, value in query.items() if value}
    api, left, cursor, rows = _cli_api(settings), settings.limit, None, []
    while left > 0:
        page = dict(query, limit=min(left, 1000), **({"cursor": cursor} if cursor else {}))
        answer = api.json("GET", "/api/v1/jobs?" + _query(page))
        rows += answer["items"]
        left -= len(answer["items"])
        cursor = answer.get("next_cursor")
        if not cursor or not answer["items"]:
            break
    if settings.json:
        for job in rows:
            _out(_json(job))
        return 0
    table = [("ID", "STATE", "DONE", "FAILED", "NAME")]
    for job in rows:
        counts = job["counts"]
        ended = counts["succeeded"] + counts["failed"] + counts["cancelled"]
        table.append((job["id"], job["state"], "{0}/{1}".format(ended, counts["total"]), str(counts["failed"]), job["name"]))
    widths = [max(len(row[column]) for row in table) for column in range(4)]
    for row in table:
        _out("  ".join(cell.ljust(width) for cell, width in zip(row, widths)) + "  " + row[4])
    return 0


def _told(job, do):
    """Return do(). After Ctrl-C say how to come back to the job, which goes on."""
    try:
        return do()
    except KeyboardInterrupt:
        _print_left(job)
        raise


def _print_left(job):
    """Say on standard error how to reattach to a job that its client leaves."""
    import shlex

    me = os.environ.get("ALLCORES_COMMAND")  # of the server's program, which runs this file
    me = shlex.quote(me) if me else "python3 " + shlex.quote(sys.argv[0]) if sys.argv[0].endswith(".py") else "allcores"
    print(
        "\nallcores: job {0} goes on. Watch it: {1} watch {0}. Its results: {1} results {0}. End it: {1} cancel {0}".format(job.id, me),
        file=sys.stderr,
    )


def _print_status(settings, status):
    _out(_json(status) if settings.json else "{0}  {1}".format(status["id"], status["state"]))
    return 0


def _summary(settings, status, quiet=False):
    """Print how a job stands, or with quiet only if it did not succeed, and return the exit status."""
    if settings.json:
        if settings.verb == "watch":
            _out(_json(status))
    elif not quiet or status["state"] != "succeeded":
        counts = status["counts"]
        parts = ["{0:,} of {1:,} succeeded".format(counts["succeeded"], counts["total"])]
        parts += ["{0:,} {1}".format(counts[state], state) for state in ("failed", "cancelled") if counts[state]]
        text = "allcores: job {0} {1}: {2}".format(status["id"], status["state"], ", ".join(parts))
        if status.get("reason"):
            text += " ({0})".format(status["reason"])
        print(text, file=sys.stderr)
    return 0 if status["state"] == "succeeded" and status["counts"]["succeeded"] == status["counts"]["total"] else 1


def _print_outcomes(settings, job, after=-1, follow=True):
    """Print the outcomes of a job and return how many failed."""
    failed = 0
    bar = None if not settings.json else False
    for line in job._lines(after, True, follow, bar):
        failed += line["state"] != "succeeded"
        _print_outcome(settings, line, job._api)
    return failed


def _print_outcome(settings, line, api):
    """Print one line of the results: the output, or on standard error what failed."""
    if settings.json:
        if "output" in line:
            line["output"] = _jsonable(line["output"], api)
        _out(_json(line))
    elif line["state"] == "succeeded":
        output = line.get("output")
        _out(output if isinstance(output, str) else _json(_jsonable(output, api)))
    else:
        print("allcores: task {0}: {1}".format(line["index"], _failed_text(line)), file=sys.stderr, flush=True)


def _failed_text(line):
    """Return what became of a task that did not succeed, in one line."""
    error = line.get("error")
    if not error:
        return line["state"]
    message = (error.get("message") or "").strip().splitlines()
    return ": ".join(part for part in (error.get("type") or error.get("kind"), message[-1] if message else "") if part)


def _jsonable(output, api):
    """Return a task's output as JSON can express it: a pickled value decoded, else by its repr."""
    if not (isinstance(output, dict) and "$allcores" in output):
        return output
    try:
        value = _decode(output, functools.partial(_get_blob, api))
        json.dumps(value, allow_nan=False)
        return value
    except Exception:
        return {name: output[name] for name in ("$allcores", "repr", "size") if name in output}


def _json(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _out(text):
    """Print a line on standard output at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
