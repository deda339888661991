// Package python runs Python functions in warm worker processes.
//
// A process runs one program for one owner; it is kept for a while after its
// turn, so that the next turn of the job, or the same program submitted again,
// begins in microseconds. The next turn of the same job finds the module as it was.
// Another job, or the same one retried after its end, gets the source run anew, from
// compiled code, in a process of which the runner restores what a job may change; it
// takes no process from a job that goes on. Where something cannot be restored, such
// as a thread that was left, or the source fails when it is run again, the runner
// ends and another process loads the program. Imported modules of installed packages
// stay. One more interpreter waits without a program, so that
// a new one need not wait for Python to start.
//
// # Who owns what
//
// An [Executor] owns the processes that no turn uses: idle ones, the spare one,
// and the one that checks sources. A turn (one call of Run) owns one process
// and the chunks in flight to it, all on one goroutine, which never waits for
// anything but its select. A worker's own goroutines read its pipes and queue
// what they read. One waits for the end of the process, has the others read what
// still lies in the pipes, and queues the end after it. So no end is judged by
// what has not been read yet. Reports go to the caller on a goroutine that may block.
//
// # Which way data flows
//
// Chunks go in as frames on descriptor 3: a range as numbers, other inputs as
// the very bytes they came in. Outcomes come back on descriptor 4 as the lines
// in which they are kept, which nothing here parses, or as numbers, which are
// packed here. A task has a number that
// grows by one from task to task over the life of a process. What must be known
// without a message is in shared memory: the number in hand, and from which
// number on nothing is started. So a task that holds the interpreter lock, or
// kills its process, can be seen and limited from outside. The memory is sealed, so
// that a task that cuts it cannot make this program fault. The runner's own
// documentation, in runner/__init__.py, has the protocol.
//
// The process flushes at the end of a chunk, when much has come together, and
// when it is asked to. It is asked when a tick passes with something unsent, so
// that it needs no clock of its own and short tasks pay nothing for it.
//
// The program's source lies in a file of the process's directory, too: processes
// that a task starts by spawn or forkserver import the module from there. Tracebacks
// and faulthandler name it program.py all the same.
//
// Of an async function each task is an asyncio task of its own, in a context of its
// own. Callbacks start and end them, not an asyncio task of ours, which a program
// could find and cancel. On threads each task has a context of its own, too.
//
// An output becomes JSON in C. Its text shows whether a key may have been no text,
// or two keys may have one name; only then, and when it cannot be encoded, Python
// looks through the value for the place.
//
// sys.stdout and sys.stderr are text files over descriptors 1 and 2 whose methods to
// write keep the text with the number of its task instead. When a program redirects
// a descriptor with os.dup2, and in forked processes, they do write to it. print
// writes its arguments one by one; the runner puts them together until the
// end of a line, of the task, or of the patience of whoever asks for a flush.
//
// # How a process ends
//
// A process that dies takes with it the task that was in hand, and no other:
// what had begun and is not to blame, or had not begun, is given back or runs in
// another process. It may also die of a task only when that has ended: then those
// that had begun and have no outcome are lost, and whoever runs them again apart
// from each other finds the one. A runner that finds its own ground gone, such as
// closed descriptors, ends the process with a status of its own, so that the task
// in hand just then is not blamed. Of a crash Python's faulthandler leaves the stack at the end
// of the shared memory, from where it becomes the failure's traceback; a program
// may disable it, or enable it for another file. What was printed last is found
// there too. A process that a control group
// holds to its memory limit is killed with all that it started when they need
// more. Where the kernel kills one of them only (version 1 of control groups), the
// runner looks, after each task that took long enough to have started something,
// whether that has happened, and ends itself before the task has an outcome.
//
// # A process that is not believed
//
// A program can write to the runner's descriptors and into its cells. So what comes
// from a process counts only as far as the chunks in flight bear it out, its times
// are cut to the life of the process, and memory grows with what has come, not with
// what is announced. A process that says what no runner says is killed, and its
// task fails as a crash; where several had begun they are run again apart from each
// other, as above. Nothing here waits for a process without a bound: a frame that
// has begun ends within 10 s; a process that has tasks has one in hand within 30 s;
// where tasks have a timeout one ends within twice that and 30 s more; a program is
// loaded within the timeout, or 5 min. Writing to a process never blocks.
//
// # Limits of what is exact
//
// Tasks much shorter than 0.2 ms are run and timed in batches: their durations
// are averages, except that one seen in hand for long gets its own. What such a
// task writes to descriptor 1 or 2 past sys.stdout and sys.stderr may be taken
// for its neighbour's; as soon as it is seen that a program does so, its tasks
// run one by one and this becomes exact. A budget cuts a batch short as soon as
// the interpreter lock is free. Modules stay loaded and changed from one task to
// the next in the same process and job, as in multiprocessing.Pool. Files that
// batched tasks leave are removed after the batch, and named in the log of its last
// one; from then on tasks run one by one.
package python
