// Package python runs Python functions in warm worker processes.
//
// A process runs one program for one owner. It is kept for a while after its
// session, so that the next turn of the job, or the same program submitted again,
// begins in microseconds. The next turn of the same job finds the module as it was.
// Another job, or the same one retried after its end, gets the source run anew, from
// compiled code, in a process in which the runner restores what a job may change; it
// takes no process from a job that goes on. Where something cannot be restored, such
// as a thread that was left, or the source fails when it runs again, the runner
// ends and another process loads the program. Imported modules of installed packages
// stay. One more interpreter waits without a program, so that a new program need not
// wait for Python to start.
//
// # Who owns what
//
// The pool owns the processes that have no session: idle ones and the spare one. The
// checker owns the process that checks sources. A [session] is one call of Run. It
// owns one process and the chunks in flight to it, all on one goroutine, that of
// package flight's loop; it waits only in that loop's select, and while a new
// interpreter starts.
//
// A worker's goroutines read its pipes and queue what they read in its inbox. One
// waits for the end of the process, has the others read what still lies in the
// pipes, and queues the exit after it. So no exit is judged before everything that
// the process wrote is read. Updates go to the caller on a goroutine that may block.
//
// # Which way data flows
//
// Chunks go in as frames on descriptor 3: a range as numbers, other inputs as
// the very bytes they came in. Outcomes come back on descriptor 4 as the lines
// in which they are kept, which nothing here parses, or as numbers, which are
// packed here. A task has a number that grows by one from task to task over the
// life of a process. What must be known without a message is in shared memory: the
// number of the running task, and from which number on nothing starts. So a task
// that holds the interpreter lock, or kills its process, can be seen and limited
// from outside. The memory is sealed, so that a task that cuts it cannot make this
// program fault. The runner's own documentation, in runner/__init__.py, has the
// protocol.
//
// The process flushes at the end of a chunk, when much is unsent, between two tasks when
// outcomes are 75 ms old, and on request. It gets a request when a tick finds something
// unsent and a task that goes on (look.go), so that it needs no clock and short tasks
// pay nothing for it. What has come of a chunk that goes on is reported every 75 ms at
// most, and only when the caller has taken the report before.
//
// The Python client lies in a directory of its own, which is the first of the program's
// path. So import allcores gives each task, and each process that it starts by
// spawn or forkserver, the client of this server, rather than one that is installed or
// a module of the program of that name. A task that does not import it pays nothing.
//
// The program's source is a file in the process's directory too: processes that a
// task starts by spawn or forkserver import the module from there. Tracebacks and
// faulthandler name it program.py all the same.
//
// Each task of an async function is an asyncio task of its own, in a context of its
// own. Callbacks start and end them, not an asyncio task of ours, which a program
// could find and cancel. On threads each task has a context of its own too.
//
// An output becomes JSON in C. The text shows whether a key may not be text, or two
// keys may have one name; only then, and when the output cannot be encoded, Python
// searches the value for the place.
//
// sys.stdout and sys.stderr are text files over descriptors 1 and 2 whose methods to
// write keep the text with the number of its task instead. When a program redirects
// a descriptor with os.dup2, and in forked processes, they write to it. print
// writes its arguments one by one; the runner joins them until the end of a line, of
// the task, or the next request to flush.
//
// # How a process ends
//
// A process that dies fails the task that ran, and no other: tasks that had begun
// and are not to blame, or had not begun, are given back or run in another process.
// A task may also kill its process only after it has ended. Then the tasks that had
// begun and have no outcome are lost, and the engine finds the culprit by running
// them apart from each other. A runner that finds its own ground gone, such as
// closed descriptors, ends the process with a status of its own, so that the task
// that happens to run is not blamed.
//
// On a crash Python's faulthandler leaves the stack at the end of the shared memory,
// from where it becomes the failure's traceback; a program may disable it, or
// enable it for another file. What was printed last is found there too.
//
// A process that a control group holds to its memory limit is killed with all that
// it started when they need more. Where the kernel kills only one of them (version 1
// of control groups), the runner checks for that after each task that took long
// enough to have started something, and ends itself before the task has an outcome.
//
// # A process is not trusted
//
// A program can write to the runner's descriptors and into its shared memory. So
// what comes from a process counts only as far as the chunks in flight bear it out,
// its times are cut to the life of the process, and memory grows with what has come,
// not with what is announced. A process that sends what no runner sends is killed,
// and its task fails as a crash; where several had begun they run again apart from
// each other, as above.
//
// Every wait for a process is bounded: a frame that has begun ends within 10 s; a
// process that has tasks runs one within 30 s; where tasks have a timeout one ends
// within twice that and 30 s more; a program loads within the timeout, or 5 min.
// Writing to a process never blocks.
//
// # Limits of exactness
//
// Tasks much shorter than 0.2 ms are run and timed in batches: their durations
// are averages, except that one seen running for long gets its own. What such a
// task writes to descriptor 1 or 2 past sys.stdout and sys.stderr may be taken
// for its neighbour's; as soon as that is seen, the program's tasks run one by one
// and this becomes exact. A budget cuts a batch short as soon as the interpreter
// lock is free. Modules stay loaded and changed from one task to the next in the
// same process and job, as in multiprocessing.Pool. Files that batched tasks leave
// are removed after the batch, and named in the log of its last one; from then on
// tasks run one by one.
package python
