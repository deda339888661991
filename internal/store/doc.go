// Package store keeps jobs in Postgres. The SQL stands beside the method that
// runs it; nothing outside this package knows a table.
//
// # Who owns what
//
// jobs holds what a user submitted and the job's state; progress, one narrow
// row a job, what changes with every chunk. input_blocks holds the inputs (a
// range needs none). backlog holds tasks below the cursor that must be claimed
// again. chunks holds leases; outcomes what tasks ended with, numbers and
// durations packed, see [outcomes.Text] and [outcomes.UnpackDurations].
//
// A run of a job is its first one or a retry. The newest run has its times in
// jobs and its counts in progress, from which what earlier runs left is
// subtracted; runs holds those that a retry followed, with their reports.
//
// # A lease
//
// [Store.Claim] takes tasks from the backlog, else from the cursor, and writes
// a new row into chunks: its id is the lease's number. [Store.Record] moves
// that row from leased to done and writes the outcomes in the same statement,
// or finds that the row is leased no more and writes nothing. So a task may run
// twice, but its outcome is recorded once, whoever comes late.
//
// Locks are taken in one order: chunk, then progress, then anything else; a
// transaction holds the progress row of one job only, except recovery, which
// takes them in the order of their ids and holds no chunk of a living node.
//
// # News
//
// A commit that changes a job may carry NOTIFY with the job's id and nothing
// else. Each node has one LISTEN connection, whose [Feed] wakes those who wait;
// they read what is true now. Nothing is published before it is committed.
package store
