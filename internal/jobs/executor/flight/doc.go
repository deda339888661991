// Package flight keeps the chunks of a session that have not ended, and has the
// loop that every executor runs around them.
//
// A session is one call of executor.Executor.Run. [Max] chunks are in flight: the
// first runs, the next waits, so that no thread idles between chunks.
//
// # Who does what
//
// [Run] takes chunks from the engine and decides when: while chunks may go on,
// while the backlog of updates is small, and while every chunk in flight may start
// tasks, as another chunk could only wait behind one that may not. It gives chunks
// back that come to a stopped session. It wakes the session for a halt, a
// cancellation, its events, its next due time and its ticks.
//
// [Chunks] keeps what every executor records of a chunk: when it began, from
// which task on it was given back, whether it may start tasks, and its log lines.
// It answers which chunk's time budget ends first and which chunks a cut concerns.
//
// A [Session] starts tasks and takes their outcomes. It alone decides what a task
// that ran came to.
//
// # Concurrency
//
// Run calls a session's methods on its own goroutine, one at a time. Nothing here
// locks: a session whose tasks end on other goroutines guards its Chunks.
package flight
