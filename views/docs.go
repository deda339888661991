package views

import "fmt"

// manualPages lists the pages of the manual in the order of its navigation.
var manualPages = []struct{ path, title string }{
	{"/docs", "Manual"},
	{"/docs/python", "Python"},
	{"/docs/examples", "Examples"},
}

// A chapterLink leads to a heading of a page of the manual.
type chapterLink struct{ id, title string }

var chapters = []chapterLink{
	{"words", "Terms"},
	{"curl", "Jobs with curl"},
	{"python", "Jobs from Python"},
	{"programs", "Programs"},
	{"inputs", "Inputs"},
	{"results", "Results"},
	{"shared", "Shared state"},
	{"speed-up", "Speed-up"},
	{"waiting", "Why a job waits"},
	{"errors", "Failures and errors"},
	{"searching", "Search and bulk actions"},
	{"keys", "Keyboard"},
}

func chapterTitle(id string) string {
	for _, c := range chapters {
		if c.id == id {
			return c.title
		}
	}
	return ""
}

// wordRows equal the first table of docs/glossary.md.
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
	{"scope", "A namespace of shared objects: that of a job, or one that the jobs of one user share by its name."},
	{"shared object", "A queue, pipe, value, array, dict, list, lock, event, semaphore, condition or barrier that tasks share by its name."},
	{"slot", "The right of one process to run on a core. A queue has a number of slots per core."},
	{"speed-up report", "How well a job was spread over cores: a verdict and its figures."},
	{"task", "One input of a job with its outcome, numbered from 0."},
	{"timeline", "What ran where and when: one row per core, one block per chunk."},
}

// pythonRows list what may surprise the author of a Python program.
var pythonRows = [][2]string{
	{"async def", "Each task is one asyncio task with its own context. With several threads, that many tasks run at once in one event loop. A task sees and cancels only its own asyncio tasks. Those that it leaves in the loop go on until its process ends."},
	{"the module", "Each job runs the source anew in each of its processes, even in an idle process of the same program. Such a process keeps the modules of installed packages loaded, as the program left them. Environment variables, signals, logging, warnings, sys and the like are reset; if that is impossible, the job gets a new process. Within a job the module keeps what tasks change in it."},
	{"files", "A task starts in an empty directory. Files left there are removed when it ends, and its log names them. Use an absolute path to keep a file. Tasks that run at once in a process, on threads or as async def, share its directory, which is removed with the process."},
	{"multiprocessing", "The program's module has a name and a file, so Pool, Process, Manager and ProcessPoolExecutor can import it with every start method. Its __name__ is not __main__: a block under that guard does not run."},
	{"sys.stdout, sys.stderr", "Text files over descriptors 1 and 2. Their lines become the task's log. A program may wrap, detach, reconfigure or replace them; closing them has no effect. Flushed text precedes what a child process prints next."},
	{"outputs", "JSON values: objects with text keys, arrays, text, numbers, true, false, null. Tuples become arrays; numpy values become numbers and arrays. Keys that are numbers, True, False or None become text, and the task's log names their place, such as [3].score. A task fails for two equal keys, NaN, Infinity, whole numbers of more than 4300 digits, sets, bytes, dates, Decimal and other objects. The message names the place and the type."},
	{"hash()", "All processes on all nodes have the same PYTHONHASHSEED, so they agree on hash() of text and on the order of sets. If your program reads hostile keys, set PYTHONHASHSEED to random in its environment."},
}

var placeholderRows = [][2]string{
	{"{}", "photos/cat.jpg (text unchanged, other values as JSON)"},
	{"{#}", "the task's index, such as 7"},
	{"{.}", "photos/cat"},
	{"{/}", "cat.jpg"},
	{"{//}", "photos"},
	{"{/.}", "cat"},
}

// commandRows list what may surprise the author of a command.
var commandRows = [][2]string{
	{"standard output", "The task's output, complete and unchanged: text without its last line feed, a list of lines (each ends in LF or CRLF), or one JSON value. The task fails for more than 1 MiB, bytes that are not UTF-8, and JSON with two members of one name."},
	{"standard error", "The task's log: its first 64 KiB and last 192 KiB. The last lines become the message of a failure, the very last line first."},
	{"exit code", "0, or one of ok_exit_codes, means success."},
	{"directory", "Empty at the start of each task, and emptied at its end; the log names the removed files. Use an absolute path to keep a file."},
	{"program", "A name on the node's PATH, or an absolute path. The server refuses a program that no node of the queue has."},
}

const (
	shellSample = `{"argv": ["sh", "-c", "sort \"$1\" | uniq -c", "sh", "{}"]}`
	evalSample  = `["sh", "-c", "eval \"$1\"", "sh", "{}"]`
)

var inputRows = [][2]string{
	{`{"range": {"start": 0, "stop": 1000000, "step": 1}}`, "Whole numbers, as in Python's range. They take no space, however many they are."},
	{`{"items": [1, "two", {"three": 3}]}`, "Any JSON values, at most 10,000. The server refuses values that would change on the way: an object with two members of one name, and for Python a number outside its floats, such as 1e400."},
	{`{"lines": "a.txt\nb.txt\n"}`, "Each line, without its LF or CRLF, is one text. At most 16 MiB."},
	{`{"open": true}`, "Any number, added later: POST …/tasks takes one JSON value per line, and accepts all lines of a request or none. Tasks run meanwhile. ?seal=true or POST …/seal ends the inputs. With \"idle_seal\": \"60s\" beside it the job is also sealed when for 60 seconds nothing was appended and nobody called POST …/keep-alive, so that it ends although its client has died."},
}

var fileRows = [][2]string{
	{".csv .tsv", "The cells of one column, as text. The separator is the comma, semicolon, tab or vertical bar that splits all records alike."},
	{".ndjson .jsonl", "One JSON value per line."},
	{".json", "The elements of an array, or NDJSON if each line is a JSON value."},
	{".txt", "Each line is one text, unless the lines are JSON objects or arrays."},
	{"(other)", "The content selects one of these formats."},
}

var resultRows = [][2]string{
	{"(none)", "NDJSON: one line per ended task, with index, state, and output or error"},
	{"?format=outputs", "one JSON array of the outputs, null for a failed task"},
	{"?format=csv", "CSV: index, state, output, error; text unchanged, other values as JSON. As an input file, it gives the same texts."},
	{"?state=failed", "only failed tasks; likewise other states"},
	{"?group=ID", "only tasks of that group of failures"},
	{"?after=INDEX", "only tasks after that index, to continue an earlier request"},
	{"?follow=true", "stays open until the job has ended, like imap"},
	{"?follow=true&order=completion", "the same in the order of completion, like imap_unordered"},
}

var verdictRows = [][2]string{
	{"well_spread", "Tasks filled at least three quarters of the lanes' time, or kept three quarters of the cores busy."},
	{"interpreter_lock", "Processes with several threads kept only one core busy each. Python lets one thread compute at a time: use processes."},
	{"waiting_on_io", "Tasks computed for less than a quarter of their time. Use more threads or the queue io, so that more tasks wait at once."},
	{"data_movement", "Inputs and outputs took more time than tasks. Return less, or pass the name of a file."},
	{"one_long_task", "At the end lanes were idle for a fifth of the time or more while one task went on. Split it, or put it first."},
	{"idle_tail", "At the end lanes were idle for a fifth of the time or more while the last tasks went on, none of them long. Use more and shorter tasks, or smaller chunks."},
	{"too_little_work", "Distributing a task took longer than running it, or starting processes took longer than all tasks. Do more in each task."},
	{"waiting_for_slots", "For a third of the time or more the lanes had no slot, because other work used them."},
	{"nothing_to_claim", "For a third of the time or more no task could be claimed: the job was paused, had no inputs yet, or waited for a retry."},
}

var waitRows = [][2]string{
	{"busy", "Other jobs run, or come first in the queue. Jobs of one priority take turns of about a second. jobs_before, position and starts_in_seconds estimate how many come first and how long it takes."},
	{"limit", "Its policy or its queue's max_processes allows no more processes, though cores may be free."},
	{"queue_paused", "An admin paused its queue."},
	{"job_paused", "A user paused it."},
	{"memory", "All nodes that serve its queue are short of memory. No turn begins there until more is free."},
	{"no_node", "No live node serves its queue, or all nodes that do are draining."},
	{"no_queue", "Its queue was deleted while it was paused."},
	{"retry", "Failed tasks wait for their next attempt; until is the time of the first."},
	{"inputs", "It is open, and the tasks of all its inputs have ended. Add inputs, or seal it."},
	{"suspects", "Processes died with tasks that they had claimed. These tasks run one at a time, to find the one that kills its process."},
	{"trouble", "Its node cannot run it, for example because the interpreter is missing. The node retries."},
	{"ending", "It is stopping."},
	{"turns, starting", "Nothing blocks it: it begins within seconds."},
}

var kindRows = [][2]string{
	{"exception", "The function raised an exception, or the output cannot be stored: it is not JSON, not UTF-8, or too large. Type, message and traceback are kept."},
	{"exit", "The exit code of the command does not mean success."},
	{"timeout", "The task ran longer than the policy's timeout."},
	{"memory", "Its process exceeded the policy's memory limit. On nodes with control groups the limit covers its child processes too. The message states which limit applied."},
	{"crash", "Its process died: a segmentation fault, os._exit, a kill."},
	{"lost", "Its nodes were lost repeatedly while they ran it."},
}

var searchRows = [][2]string{
	{"sweep night", "Both words are in the name or the program. 8 or more digits of an id also find its job."},
	{`"two words"`, `The words side by side. Within quotes \" stands for a quote.`},
	{"-word -tag:x", "Jobs that do not match the rest of the term."},
	{"state:failed,cancelled", "One of these states: open, queued, running, paused, succeeded, failed, cancelled."},
	{"tag:a tag:b", "Both tags; tag:a,b selects either."},
	{"queue:io owner:eve", "In that queue, and submitted by that user."},
	{"name:sweep id:0195", "The name contains it; the id begins with it."},
	{"age:<2d age:>1h", "Submitted within two days, and more than an hour ago. Units are s, m, h, d, w."},
	{"created:>=2025-01", "Submitted since that month, in UTC. A day or a year works too, after < <= > >= or alone."},
	{"priority:1", "Of that priority."},
}

var statusRows = [][2]string{
	{"401", "no token, or an invalid one"},
	{"403", "your role does not permit this"},
	{"404", "it does not exist, or it belongs to someone else and your role does not see it"},
	{"409", "the present state does not allow this, such as cancelling an ended job"},
	{"422", "the request is wrong; errors lists every violation"},
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

# Results arrive as tasks end, in the order of the inputs, like Pool.imap:
for line in call("GET", f"/api/v1/jobs/{job['id']}/results?follow=true"):
    result = json.loads(line)
    print(result["index"], result.get("output", result.get("error")))
`, base)
}

// A DocsPage holds the manual at /docs. [Docs] renders it.
type DocsPage struct{ Page }
