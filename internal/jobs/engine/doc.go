// Package engine makes jobs run: it puts turns into River, works them off with
// the executors of this node, and takes back what dead nodes held.
//
// # The way of a job
//
// [Engine.Submit] validates a submission and writes the job, its inputs and its
// turns in one transaction. A turn is a River job: one lane's right to run. A
// worker takes a slot of the turn's queue and claims chunks from the store; the
// executor of the job's program runs them, two at hand so that it never idles,
// and reports outcomes; each report is recorded, together with the claim of the
// next chunk, in one round trip and one commit. A turn ends when nothing can be
// claimed; after a quantum it goes back to the end of River's line if others
// wait for its slot. So jobs share the cores round robin whatever their size,
// and priorities are River's.
//
// A turn for which its submitter's own node has a free slot is not sent through
// River's line: it is inserted as one that was fetched, with its first chunk
// claimed, in the submission's own transaction. While all slots are taken, a job
// that is new to the node, or more urgent, makes a lane that has run for a moment
// give its slot up after the task in hand (see preempt.go).
//
// A lane that cannot load its program gives its tasks to the others and tries
// again later; the job ends when none could load it (see loads.go).
//
// # Queues
//
// Each node works out for itself, every second and at each change, how many slots
// of which queue it has (see queue.go): from the queues' limits, the nodes that
// live and serve them, and whether it is drained or short of memory. River only
// fetches; how many turns run is decided by the queue's table of slots. So a
// limit can change while tasks run: River's fetching is replaced, and the turns
// that it ran are adopted, as if they had been inserted as fetched.
//
// # Who owns what
//
// The store owns every fact; an executor owns its processes; a lane (one
// goroutine and the executor it calls) owns the chunks it has claimed. The
// engine holds nothing that cannot be lost: what it remembers of a job (task
// times, when it last told the world) only tunes.
//
// What a node does for its queues, and what its cores do, it counts (meter.go) and
// writes down every few seconds; an hour of that is kept.
//
// # Losing a node
//
// A node beats every second on the database's clock. One that could not beat
// for two thirds of its lease stops its processes by itself, so that nothing
// runs twice for long; whoever finds its lease run out puts its chunks into the
// backlog and inserts fresh turns, in one transaction. What the lost node may
// still report is refused, for its chunks' leases are left.
//
// A cancelled or deleted turn, a lost answer to a claim or a fetch, a wrong
// count of turns: each is found by a sweep that compares what the database says
// with what is there, within seconds (see sweep.go). A wake-up that River loses is
// made up for within milliseconds (see nudge.go).
package engine
