// Package scopes keeps the objects that tasks share. A scope has one home, the node
// that keeps its [shared.Space] in memory, applies all calls in one order and writes
// them to a log in Postgres.
//
// # Who owns what
//
// The database says which node is a scope's home, under an epoch that grows with each
// change of it (shared_scopes). A node becomes the home with its first use of a scope
// that has none, or whose home was declared dead or has stopped. A home owns its space,
// under a mutex that is held for the memory's work only, never over a round trip. Each
// home has one flusher, a goroutine that appends to the log and saves snapshots. Each
// scope whose home is elsewhere has one sender. One goroutine of the [Service] takes
// calls and answers of other nodes; another one, twice a second, ends executions whose
// leases are gone, looks for deadlocks, and takes over scopes of dead nodes.
//
// # Which way data flows
//
// A call of a task on the home's node is made at once and answered from memory, before
// it is in the log. Before a lane records outcomes, it calls [Service.Flush], which
// returns when the log has all that the home has done so far. So a node that dies takes
// with it only calls of tasks whose outcomes it has not recorded either; the tasks run
// again, get the answers that the log has, and make the other calls anew.
//
// A call from another node is a row of shared_calls, its answer a row of
// shared_answers; a NOTIFY wakes the reader. The answer is written in the commit that
// has the call's event. So what another node has seen is in the log. A call stays until
// it is answered; a new home takes those that its predecessor has not answered. They
// have ordinals from the node that runs the task, so a call that is repeated gets its
// first answer. Calls of outside clients are answered after the commit too, wherever
// they come from.
//
// # Fences
//
// An append is refused where the epoch has grown or the node was declared dead. A node
// that learns so has lost the scope: it answers nothing more from its memory, and ends
// the lanes that used it without recording them ([Options.Lost]). A scope is taken over
// only from a node that was declared dead, in the transaction that took its leases.
//
// # The end of executions and tasks
//
// The engine reports outcomes ([Service.Recorded]) and executions that ended without
// one ([Service.Ended]); on other nodes, or where a report was lost, the home finds the
// lease gone. Either frees locks. A task's journal goes with its outcome, all of a job's
// go with the job's end. A retry of an ended job is a new run: tasks that run again act
// anew. The objects of a job live until the job is deleted; those of a named scope until
// the scope is.
//
// # Deadlocks
//
// The tasks of a job are deadlocked when all of them that run wait for ever on objects
// of the job, no task that could still be claimed has a lane, the job takes no more
// tasks, is not paused, and no outside client has called for a while. A wait with a
// timeout is none for ever. Their calls then fail with an error that says who waits for
// what.
package scopes
