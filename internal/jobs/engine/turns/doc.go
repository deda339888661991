// Package turns lets lanes run by turns. A turn is a River job: the right of one
// lane of a job to run on the node that fetched it. This is the only package that
// knows River; its statements on River's tables stand in store/turns.go, beside
// those with which they share a transaction.
//
// # The way of a turn
//
// [Client.Dispatch] inserts the turns that a job lacks; a submission inserts its
// own. River fetches a turn on a node that fetches from its queue (see
// [Client.Fetch]) and [Options.Begin] gets it a slot. The turn then runs on a
// goroutine of this package, and ends with one of [Turn.Complete], [Turn.Leave],
// [Turn.Requeue] or [Turn.Return]. An error ends it too: it is tried again later.
//
// # Why there are statements beside River's own
//
// Insert: River's client stamps a job with its node's clock, and a turn of a node
// whose clock is five minutes ahead stays hidden for five minutes. The database's
// clock stamps ours. A submission is also one round trip this way.
//
// Insert as fetched: a turn for which the submitting node has a free slot is
// inserted as running, with its first chunk leased, so that one task on an idle
// system does not wait for a notification and a fetch.
//
// Complete, leave, requeue, return: River's completion is fenced by neither
// attempt nor owner, and follows the turn's end by a batch's time. Ours ends the
// turn only while it runs, in the transaction that counts it off its job or
// inserts the next one. River's later completion changes nothing then. Return
// inserts another row at the old place of the line, because River's completion of
// the old row must not meet the next fetch of it.
//
// Adopt: River's MaxWorkers has no setter, and removing a queue waits for its
// running jobs. A turn that runs when its queue's bound changes is completed for
// River, and goes on under a row that looks as if the node had fetched it. So is one
// whose tasks wait for shared objects, which has lent its slot.
//
// Postpone: River retries only what it ran. A turn that was adopted, or inserted
// as fetched, is put back by us when it fails.
//
// Discard: River rescues a job of a dead node after an hour. We end its turns when
// the node's lease runs out, and insert fresh ones in the same transaction.
//
// Release: a fetch whose answer is lost on the wire leaves turns running that
// nobody runs (160 after 10 cuts). Those that stand under our name for 12 s unseen
// are made available again.
//
// Rouse: River writes when a failed job is due by the clock of the node that ran
// it, and looks for due jobs by the clock of its leader. Turns further off than
// the longest wait are made available.
//
// Recount: an admin can cancel or delete a turn in River's pages, under its job.
// The number of turns of a job is set to what River has.
//
// Wake: River limits its insert notifications, also those that it receives, by
// FetchCooldown, and a turn that falls into the cooldown waits for the next poll
// (500 ms). A queue whose turn has not arrived within 4 ms is notified once more.
//
// Clamp: when the database's clock is set back, the term of River's leader and the
// times of running turns lie in the future, and nothing is found late until the
// clock is where it was.
//
// Pause and resume: an admin may pause a queue in River's pages, which counts as a
// pause of ours. Our resume undoes both.
package turns
