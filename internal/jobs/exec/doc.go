// Package exec says what executing tasks means: [Executor] is the contract
// between the engine, which decides what runs and records what came of it, and
// the packages below, one for each kind of program.
//
//	exec/python   Python functions in warm processes
//	exec/command  one command a task
//	exec/process  starting processes and leaving none behind, environment, pinning
//	exec/reports  hands reports to a caller that may block
//	exec/slots    core slots of a queue
//	exec/cores    which cores this program may use
//	exec/exectest runs turns in tests and checks what they report
//
// Executors know no database and no HTTP. They are given chunks and report
// outcomes; nothing they are told comes from elsewhere.
//
// # What a task may expect
//
// Its environment is PATH, HOME, USER, LOGNAME, SHELL, LANG, LANGUAGE, LC_*, TZ
// and TMPDIR of the server, the program's own variables, ALLCORES_JOB and
// ALLCORES_LANE, for a command ALLCORES_TASK, and the variables by which
// numerical libraries size their pools of threads, set to the number of cores
// of the lane. It has no other open file than its standard ones. It starts in an
// empty directory of its process or lane, which is removed afterwards: a file
// that is to stay is named by an absolute path.
package exec
