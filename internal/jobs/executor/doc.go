// Package exec says what executing tasks means: [Executor] is the contract
// between the engine, which decides what runs and records what came of it, and
// the packages below, one for each kind of program.
//
//	exec/python   Python functions in warm processes
//	exec/command  one command a task
//	exec/cgroup   control groups that hold memory limits
//	exec/process  starting processes and leaving none behind, environment, pinning
//	exec/reports  hands reports to a caller that may block
//	exec/slots    core slots of a queue
//	exec/cores    which cores this program may use
//	exec/executortest runs turns in tests and checks what they report
//
// Executors know no database and no HTTP. They are given chunks and report
// outcomes; nothing they are told comes from elsewhere.
//
// # What a task may expect
//
// Its environment is PATH, HOME, USER, LOGNAME, SHELL, LANG, LANGUAGE, LC_*, TZ
// and TMPDIR of the server, the program's own variables, ALLCORES_JOB and
// ALLCORES_LANE, for a command ALLCORES_TASK, where the queue pins its lanes the
// numbers of the cores in ALLCORES_TASK_CORES, such as 2,3, and the variables by
// which numerical libraries and runtimes size their pools of threads, set to the
// number of cores of the lane unless the program's own say otherwise. So is
// PYTHONHASHSEED, which has one value everywhere, so that the processes of a job
// agree on hash() of text. It has no
// other open file than its standard ones. It starts in an empty directory of its
// process or lane, which is removed afterwards: a file that is to stay is named
// by an absolute path. What a Python task leaves there is named in its log, and
// removed before the next task starts unless tasks run at once.
//
// # Limits
//
// A task that is still running after its timeout is killed, with all that it
// started, whatever session that is in and whatever signals it ignores.
//
// A memory limit is of one process: of a worker with all of its threads, or of a
// command. Where control groups can be made, it counts what they really use,
// together with what they start, and the kernel kills them all when they need
// more: the task in hand fails, and another process goes on with the others.
// Elsewhere each process may map so much private memory, used or not, and is told
// so when it asks for more (RLIMIT_DATA). Either way the kind of the failure is
// memory, and its message says which it was.
package executor
