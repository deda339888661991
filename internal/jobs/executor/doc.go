// Package executor defines what executing tasks means: [Executor] is the contract
// between the engine, which decides what runs and records the outcomes, and the
// packages below, one for each kind of program.
//
//	executor/python       Python functions in warm processes
//	executor/command      one command a task
//	executor/flight       the loop around chunks in flight: time budgets, halting, giving back
//	executor/updates      the queue of updates to a caller that may block
//	executor/slots        core slots of a queue
//	executor/process      starts processes, with their environment and cores, and ends all that they start
//	executor/cgroup       control groups that hold memory limits
//	executor/cores        the cores that this program may use
//	executor/executortest runs sessions in tests and checks their updates
//
// Executors know no database and no HTTP. They receive chunks and send updates.
//
// # What a task may expect
//
// Its environment is PATH, HOME, USER, LOGNAME, SHELL, LANG, LANGUAGE, LC_*, TZ
// and TMPDIR of the server, the program's own variables, ALLCORES_JOB and
// ALLCORES_LANE. A command has ALLCORES_TASK too. ALLCORES_SOCKET has the path of the
// Unix socket at which the node serves its tasks, and ALLCORES_TASK_URL the address
// there: of the task in a command, of its session in Python. Where the queue pins its lanes,
// ALLCORES_TASK_CORES has the numbers of the cores, such as 2,3. The variables by
// which numerical libraries and runtimes size their pools of threads are the
// number of cores of the lane unless the program sets them. PYTHONHASHSEED has
// the same value everywhere, so that the processes of a job agree on hash() of
// text, unless the program sets it.
//
// A task has no open file but its standard ones. It starts in an empty directory
// of its process or lane, which is removed afterwards: a file that must stay
// needs an absolute path. The log of a task names what it leaves there, which is
// removed before the next task starts unless tasks run at once.
//
// # Limits
//
// A task that still runs after its timeout is killed with all that it started,
// whatever session that is in and whatever signals it ignores.
//
// A memory limit holds for one process: a worker with all of its threads, or a
// command. Where control groups can be made, the limit counts the memory that the
// process and all that it starts really use, and the kernel kills them all when
// they need more: the running task fails, and another process runs the others.
// Elsewhere each process may map so much private memory, used or not, and its
// request for more fails (RLIMIT_DATA). Either way the failure's kind is memory,
// and its message names the mechanism.
package executor
