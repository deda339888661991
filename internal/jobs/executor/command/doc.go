// Package command runs one command for each task, as GNU parallel and xargs do.
//
// A session has as many runners as the lane has threads. A runner is a goroutine
// that takes the next task, starts its command, reads what it prints and reaps it,
// all with blocking system calls of its own: passing pipes and waits to other
// goroutines would cost more than a small command itself. The session's own
// goroutine takes chunks in, watches time budgets and sends log lines; see package
// flight.
//
// The commands of a runner start in the runner's own directory, which is emptied
// after each of them and removed at the end of the session. The task's log names
// what is removed; a file that must stay needs an absolute path.
//
// Data is never altered on the way: an input that no argument can hold, and an
// output that is too large or not UTF-8, fail the task.
package command
