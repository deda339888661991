// Package engine runs jobs on one node: it validates and inserts them, runs their
// turns with the node's executors, and takes back the work of dead nodes.
//
// # The way of a job
//
// [Engine.Submit] validates a submission and writes the job, its inputs and its
// turns in one transaction (submit.go). A turn is a River job: the right of one
// lane to run; package turns has all that knows River.
//
// A node fetches turns of the queues that it serves. A fetched turn waits for a
// slot of its queue (turn.go) and becomes a lane. The lane's loop (lane_loop.go)
// claims chunks from the store and feeds them to the executor of the job's program,
// two at a time so that the process never idles. The executor sends updates; each
// is recorded together with the claim of the next chunk, in one round trip and one
// commit (lane_record.go). That commit also ends the job, when its last outcome is
// in it. Outcomes of a chunk that goes on are recorded on the way, without a claim; the
// lease (lease.go) knows the tasks that are left.
//
// A turn ends when nothing can be claimed. After a quantum it goes back to the end
// of the line if other turns wait for its slot. So jobs share the cores round robin
// whatever their size, and priorities are River's.
//
// A turn for which the submitting node has a free slot skips the line: it is
// inserted as fetched, with its first chunk claimed, in the submission's own
// transaction. So is one for inputs that are appended to an open job (append.go).
// While all slots are taken, a turn of a job that is new to the node, or of a more
// urgent one, preempts a lane that has run for a moment (preemption.go).
//
// A lane whose tasks wait for shared objects (package scopes) lends its slot to others
// until they go on (lending.go). Before it records, a lane waits until the log has the
// calls of its tasks (shared.go).
//
// A failed task is tried again after a backoff (retries.go). A lane that cannot load
// its program gives its tasks to the others and tries again later; the job ends when
// no lane could load it (load_failures.go).
//
// # Queues
//
// Every second and at each change, each node computes its slots of each queue
// (plan.go) from the queues' limits and the living nodes that serve them. It resizes
// its tables of slots and River's fetching (serve_queues.go). River only fetches: the
// table of slots decides how many turns run. So a limit can change while tasks run.
//
// # Who owns what
//
// The store owns every fact; an executor owns its processes; a lane's loop, on one
// goroutine, owns the chunks that it has claimed. Others read snapshots of a lane and
// stop it by its brake. The rest of what the engine remembers, such as task times and
// when it last notified, only tunes, and can be lost.
//
// A node counts what it does for its queues and what its cores do (usage.go). It
// writes a sample every few seconds; an hour of samples is kept.
//
// # Cancelling tasks
//
// [Engine.CancelTasks] cancels tasks that have not started. Most wait in the database.
// Those that lanes have claimed are recalled: the lane's executor returns the ones that
// have not started, and the lane gives them back (recalls.go).
//
// # Losing a node
//
// A node beats every second on the database's clock (heartbeat.go). One that could
// not beat for two thirds of its lease stops its processes by itself, so that nothing
// runs twice for long. Another node that finds its lease run out puts its chunks into
// the backlog and inserts fresh turns, in one transaction (recovery.go). Later records
// of the lost node are refused, because it no longer holds its chunks' leases.
//
// Recovery also finds, within seconds, a cancelled or deleted turn, a lost answer to
// a claim or a fetch, and a wrong count of turns: it compares the database with what
// runs here.
package engine
