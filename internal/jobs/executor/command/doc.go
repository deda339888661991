// Package command runs a command a task, as GNU parallel and xargs do.
//
// A turn has as many slots as the lane has threads. A slot is a goroutine that
// takes the next task, starts its command, reads what it prints and reaps it,
// all with blocking system calls of its own, as handing pipes and waiting to
// other goroutines would cost more than a small command itself. The turn's own
// goroutine takes chunks in, watches budgets, and passes log lines on.
//
// Each slot has a directory of its own, in which its commands start and which
// is emptied after each of them and removed at the end of the turn. The task's
// log names what is removed; a command that wants to keep a file names it by an
// absolute path.
//
// Data is never altered on the way: an input that no argument can hold, and an
// output that is too large or not UTF-8, fail the task.
package command
