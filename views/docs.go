package views

import "fmt"

var chapters = []struct{ id, title string }{
	{"words", "The words"},
	{"curl", "A job with curl"},
	{"python", "A job from Python"},
	{"programs", "Programs"},
	{"inputs", "Inputs"},
	{"results", "Results"},
	{"speed-up", "Speed-up"},
	{"waiting", "Why a job waits"},
	{"errors", "When something is wrong"},
	{"searching", "Search, and many jobs at once"},
	{"keys", "Keys"},
}

func chapterTitle(id string) string {
	for _, c := range chapters {
		if c.id == id {
			return c.title
		}
	}
	return ""
}

// wordRows are the first table of docs/glossary.md.
var wordRows = [][2]string{
	{"chunk", "Neighbouring tasks that a process claims together. Their number follows the measured task time."},
	{"claimed", "Leased to a lane. Not every claimed task runs yet: a process claims ahead."},
	{"input", "One value of a job. The program runs once for it."},
	{"job", "What you submit: a program, its inputs and a policy. It is durable and has an address."},
	{"lane", "The work of one process for one job. A job has as many lanes as it may have processes."},
	{"node", "One running server that executes tasks. Start more nodes on the same database for more cores."},
	{"outcome", "How a task ended: succeeded with an output, failed with an error, or cancelled. It is recorded once."},
	{"policy", "How tasks run: processes, threads, timeout, memory, attempts, failures allowed."},
	{"process", "An operating-system process that runs tasks of one job, one after the other. It stays warm between them."},
	{"program", "What runs for each input: a Python function or a command."},
	{"queue", "A class of work with a limit per core: cpu runs one process per core, io several."},
	{"run", "One execution of a job: from its submission, or from a retry, to its end."},
	{"running", "Executing now: at most processes × threads tasks of a job."},
	{"slot", "The right of one process to run on a core. A queue has a number of slots per core."},
	{"speed-up report", "How well a job was spread over cores: a verdict and its figures."},
	{"task", "One input of a job with its outcome, numbered from 0."},
	{"timeline", "What ran where and when: one row per core, one block per chunk."},
}

// pythonRows say what a Python program meets that its author may not expect.
var pythonRows = [][2]string{
	{"async def", "Each task is an asyncio task of its own, in a context of its own. With several threads that many run at once in one event loop. A task sees and cancels its own asyncio tasks only. What it leaves in the loop goes on until its process ends."},
	{"the module", "Each job runs the source anew in each of its processes, also where an idle process of the same program takes it over. That process keeps modules of installed packages loaded, as the program left them; variables of the environment, signals, logging, warnings, sys and the like are as new, and where they cannot be, the job gets a new process. Within a job the module, and what tasks change in it, stays from task to task."},
	{"files", "A task starts in an empty directory. What it leaves there is removed after it, and its log names it: a file that is to stay has an absolute path. Tasks that run at once, on threads or as async def, share the directory of their process, which goes with the process."},
	{"multiprocessing", "The program's module has a name and a file, so that Pool, Process, Manager and ProcessPoolExecutor find it by every start method. Its __name__ is not __main__: a guarded block at its end does not run."},
	{"sys.stdout, sys.stderr", "Text files over descriptors 1 and 2, whose lines become the task's log. A program may wrap, detach, reconfigure or replace them; closing them closes nothing. What is flushed comes before what a child prints next."},
	{"outputs", "What JSON has: objects with text as keys, arrays, text, numbers, true, false, null. Tuples become arrays, numpy's values numbers and arrays. Keys that are numbers, True, False or None become text, and the task's log names their place, such as [3].score; two keys of one name fail the task. So do NaN, Infinity, whole numbers of more than 4300 digits, sets, bytes, dates, Decimal and other objects: the message names the place and the type."},
	{"hash()", "All processes, on all nodes, have the same PYTHONHASHSEED, so that they agree on hash() of text and on the order of sets. A program that reads hostile keys sets PYTHONHASHSEED to random in its environment."},
}

var placeholderRows = [][2]string{
	{"{}", "photos/cat.jpg (a text as it is, any other value as JSON)"},
	{"{#}", "the task's index, such as 7"},
	{"{.}", "photos/cat"},
	{"{/}", "cat.jpg"},
	{"{//}", "photos"},
	{"{/.}", "cat"},
}

// commandRows say what a command meets that its author may not expect.
var commandRows = [][2]string{
	{"standard output", "The task's output, whole and as it is: text without its last line feed, the lines of it (each ends in LF or CRLF), or one JSON value. More than 1 MiB, bytes that are not UTF-8, and JSON with two members of one name fail the task."},
	{"standard error", "The task's log: the first 64 and the last 192 KiB of it. The last lines are the message of a failure, the very last one first."},
	{"exit code", "0, or one of ok_exit_codes, is success."},
	{"directory", "Empty at the start of each task, and emptied at its end; the log names what was removed. Name files by an absolute path to keep them."},
	{"program", "Found on the PATH of the node, or given by its absolute path. A program that no node of the queue has is refused."},
}

const (
	shellSample = `{"argv": ["sh", "-c", "sort \"$1\" | uniq -c", "sh", "{}"]}`
	evalSample  = `["sh", "-c", "eval \"$1\"", "sh", "{}"]`
)

var inputRows = [][2]string{
	{`{"range": {"start": 0, "stop": 1000000, "step": 1}}`, "Whole numbers, as Python's range. They cost no space, whatever their number."},
	{`{"items": [1, "two", {"three": 3}]}`, "Any JSON values, at most 10,000. Refused is what would change on its way: two members of one name in an object, and for Python a number beyond its floats, such as 1e400."},
	{`{"lines": "a.txt\nb.txt\n"}`, "Each line, without its LF or CRLF, is a text. At most 16 MiB."},
	{`{"open": true}`, "As many as you like, later: POST …/tasks takes one JSON value a line, and all of a request or nothing of it. Tasks run meanwhile; ?seal=true, or POST …/seal, says that those were the last."},
}

var fileRows = [][2]string{
	{".csv .tsv", "The cells of one column, as texts. Commas, semicolons, tabs or vertical bars separate the cells, whichever parts all records alike."},
	{".ndjson .jsonl", "One JSON value a line."},
	{".json", "The elements of an array, or NDJSON where each line is a JSON value."},
	{".txt", "Each line is a text, unless the lines are JSON objects or arrays."},
	{"(other)", "Whichever of these the content is."},
}

var resultRows = [][2]string{
	{"(none)", "NDJSON: one line a task that has ended, with index, state, and output or error"},
	{"?format=outputs", "one JSON array of the outputs, null where a task failed"},
	{"?format=csv", "CSV: index, state, output, error; a text as it is, any other value as JSON. A file of it, sent with the form of a new job, gives the same texts."},
	{"?state=failed", "only those"},
	{"?group=ID", "only tasks that failed in that group of the job's errors"},
	{"?after=INDEX", "only those past that index, to go on where you stopped"},
	{"?follow=true", "stays open until the job has ended, like imap"},
	{"?follow=true&order=completion", "the same, in the order in which tasks end, like imap_unordered"},
}

var verdictRows = [][2]string{
	{"well_spread", "Tasks filled at least three quarters of the time of the lanes, or kept as much of the cores busy."},
	{"interpreter_lock", "Processes of several threads kept one core busy each. Python lets one thread compute at a time: use processes."},
	{"waiting_on_io", "Tasks computed for less than a quarter of their time. More threads, or the queue io, let more of them wait at once."},
	{"data_movement", "More time went to inputs and outputs than to tasks. Return less, or pass the name of a file."},
	{"one_long_task", "Lanes were idle at the end for a fifth of the time or more, while one task went on. Split it, or put it first."},
	{"idle_tail", "Lanes were idle at the end for a fifth of the time or more, while the last tasks went on, none of them long. Use more and shorter tasks, or smaller chunks."},
	{"too_little_work", "Handing a task out cost more than running it, or getting processes ready more than all tasks. Do more in each task."},
	{"waiting_for_slots", "For a third of the time or more the lanes had no slot, as other work had them."},
	{"nothing_to_claim", "For a third of the time or more there was nothing to claim: the job was paused, had no inputs yet, or waited for a retry."},
}

var waitRows = [][2]string{
	{"busy", "Other jobs run, or come first in its queue's line; jobs of one priority take turns of about a second. jobs_before, position and starts_in_seconds say how many and how long, about."},
	{"limit", "Its policy, or its queue's max_processes, allows no more processes, though cores may be free."},
	{"queue_paused", "An admin paused its queue."},
	{"job_paused", "Somebody paused it."},
	{"memory", "All nodes that serve its queue are short of memory; no turn begins there until more is free."},
	{"no_node", "No live node serves its queue, or all that do are being drained."},
	{"no_queue", "Its queue was deleted while it was paused."},
	{"retry", "Its tasks failed and wait for their next attempt, the first of them until the time in until."},
	{"inputs", "It is open and all its inputs so far are done: add some, or seal it."},
	{"suspects", "Its tasks were claimed by processes that died. They run one at a time, to find the task that kills the process."},
	{"trouble", "Its node cannot run it, for example because the interpreter is missing. It retries."},
	{"ending", "It is being stopped."},
	{"turns, starting", "Nothing holds it: it begins within seconds."},
}

var kindRows = [][2]string{
	{"exception", "The function raised, or the output cannot be kept: it is not JSON, not UTF-8, or too large. Type, message and traceback are kept."},
	{"exit", "The command ended with an exit code that does not mean success."},
	{"timeout", "It was still running after the policy's timeout."},
	{"memory", "Its process needed more than the policy's memory limit, with all that it started where the node has control groups. The message says which."},
	{"crash", "Its process died under it: a segmentation fault, os._exit, a kill."},
	{"lost", "Its node was lost with it, again and again."},
}

var searchRows = [][2]string{
	{"sweep night", "Both words are in the name or the program. 8 or more digits of an id find its job, too."},
	{`"two words"`, `The words beside each other. Within quotes \" is a quote.`},
	{"-word -tag:x", "What follows the dash does not hold."},
	{"state:failed,cancelled", "One of these states: open, queued, running, paused, succeeded, failed, cancelled."},
	{"tag:a tag:b", "Both tags. tag:a,b is either."},
	{"queue:io owner:eve", "In that queue, submitted by that user."},
	{"name:sweep id:0195", "The name contains it; the id begins with it."},
	{"age:<2d age:>1h", "Submitted within two days, and more than an hour ago; units are s, m, h, d, w."},
	{"created:>=2025-01", "Submitted since that month, in UTC; also a day or a year, after < <= > >= or alone."},
	{"priority:1", "Of that priority."},
}

var statusRows = [][2]string{
	{"401", "no token, or one that is not valid"},
	{"403", "your role is too small for this"},
	{"404", "there is none, or it belongs to someone else and your role does not see it"},
	{"409", "impossible in the present state, such as cancelling a job that has ended"},
	{"422", "the request is wrong; errors lists everything that is"},
	{"503", "the database does not answer; try again"},
}

const bulkSample = `{"action": "retry", "search": "state:failed tag:nightly age:<1d"}`

const problemSample = `{
  "title": "Unprocessable Entity",
  "status": 422,
  "detail": "1 violation",
  "errors": [
    {
      "location": "body.policy.timeout",
      "message": "not a duration such as 250ms, 30s or 1h30m",
      "value": "soon"
    }
  ]
}
`

func curlMore(base string) string {
	return fmt.Sprintf(`auth="Authorization: Bearer $ALLCORES_TOKEN"
curl -sS -H "$auth" "%[1]s/api/v1/jobs/ID?wait=60"
curl -sS -H "$auth" "%[1]s/api/v1/jobs/ID/results" > results.ndjson
curl -sS -H "$auth" "%[1]s/api/v1/jobs/ID/results?format=outputs"
curl -sS -H "$auth" "%[1]s/api/v1/jobs/ID/errors"
curl -sS -H "$auth" "%[1]s/api/v1/jobs/ID/runs"
curl -sS -H "$auth" -X POST "%[1]s/api/v1/jobs/ID/cancel"   # or pause, resume, retry
`, base)
}

func pythonManual(base string) string {
	return fmt.Sprintf(`import inspect, json, os, urllib.request

BASE = "%s"
TOKEN = os.environ["ALLCORES_TOKEN"]


def call(method, path, body=None):
    request = urllib.request.Request(
        BASE + path,
        None if body is None else json.dumps(body).encode(),
        {"Authorization": "Bearer " + TOKEN, "Content-Type": "application/json"},
        method=method,
    )
    return urllib.request.urlopen(request)


def square(x):
    return x * x


job = json.load(call("POST", "/api/v1/jobs", {
    "program": {"python": {"source": inspect.getsource(square), "function": "square"}},
    "inputs": {"items": [1, 2, 3, 4]},
}))

# As they end, in the order of the inputs, like Pool.imap:
for line in call("GET", f"/api/v1/jobs/{job['id']}/results?follow=true"):
    result = json.loads(line)
    print(result["index"], result.get("output", result.get("error")))
`, base)
}

// A DocsPage is the manual at /docs, rendered by [Docs].
type DocsPage struct{ Page }
