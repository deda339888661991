// Package store keeps jobs in Postgres. The SQL stands beside the method that
// runs it; no other package knows a table.
//
// # Tables
//
// jobs holds submissions and the state of each job; progress, one narrow row a
// job, the columns that change with every chunk. input_blocks holds the inputs (a
// range needs none). backlog holds spans below the cursor that must be claimed
// again. chunks holds leases; outcomes the outcomes of tasks, numbers and
// durations packed, see [outcomes.Text] and [outcomes.UnpackDurations].
//
// A run of a job is its first one or a retry. The newest run has its times in
// jobs and its counts in progress, from which those of earlier runs are
// subtracted; runs holds earlier runs, with their reports.
//
// # A lease
//
// [Store.Claim] takes tasks from the backlog, else from the cursor, and writes
// a new row into chunks: its id is the lease's number. [Store.Record] moves
// that row from leased to done and writes the outcomes in the same statement.
// Outcomes of a chunk that goes on are recorded the same way while the row stays
// leased: it knows the spans that are left, and a node's loss puts back exactly those.
// When the row is not leased any more Record writes nothing. So a task may run
// twice, but its outcome is recorded once, even when a record comes late.
//
// [Store.CancelTasks] takes tasks that wait out of the backlog, or moves the cursor
// past them, and writes rows of outcomes that are marked as cancelled. recalls asks
// the lanes of leases to give tasks back for that first: [Store.AnswerRecalls] gives
// them back and cancels them in one transaction, so nobody claims them in between. In
// an ended job, tasks without an outcome are cancelled too.
//
// Locks are taken in one order: chunk, then progress, then anything else. A
// transaction locks the progress row of one job only, except recovery, which
// locks them in the order of their ids and holds no chunk of a living node.
//
// # Notifications
//
// A commit that changes a job may carry NOTIFY with the job's id and nothing
// else. Each node has one LISTEN connection, whose [Feed] wakes subscribers; they
// read the state themselves. Nothing is published before it is committed.
package store
