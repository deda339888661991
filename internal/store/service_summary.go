package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
)

// A Summary is the work of the whole service.
type Summary struct {
	Jobs   map[jobs.State]int64 // that have not ended; has every such state
	Queues map[string]QueueLoad
	Nodes  map[string]int64 // that live, by role
	Size   int64            // of the database, in bytes
}

// A QueueLoad is the work of a queue.
type QueueLoad struct {
	Paused                     bool
	WaitingTurns, RunningTurns int64
	OldestTurn                 time.Duration // longest wait of a turn that could have been fetched; 0 for none
	WaitingTasks, RunningTasks int64         // of jobs that have not ended, without inputs still to come
}

// Summary reads the work of the whole service. Each of its statements uses an index
// over unfinished work, so its cost does not grow with finished work.
func (s *Store) Summary(ctx context.Context) (Summary, error) {
	sum := Summary{
		Jobs:   map[jobs.State]int64{jobs.Open: 0, jobs.Queued: 0, jobs.Running: 0, jobs.Paused: 0},
		Queues: make(map[string]QueueLoad),
		Nodes:  make(map[string]int64),
	}
	var b pgx.Batch
	var state jobs.State
	var name string
	var n int64
	b.Queue(`select state, count(*) from jobs where state in ('open', 'queued', 'running', 'paused') group by state`).
		Query(each([]any{&state, &n}, func() { sum.Jobs[state] = n }))
	var q QueueLoad
	var oldest float64
	b.Queue(`
		select q.name, ` + paused + `, coalesce(t.waiting, 0), coalesce(t.running, 0),
			coalesce(extract(epoch from greatest(clock_timestamp() - t.oldest, interval '0')), 0)::float8,
			coalesce(p.waiting, 0), coalesce(p.running, 0)
		from queues q
		` + pausesInRiver + `
		left join (` + turnCounts + `) t on t.queue = q.name
		left join (
			select j.queue, sum(p.total - p.leased - p.succeeded - p.failed - p.cancelled)::bigint as waiting, sum(p.leased)::bigint as running
			from progress p join jobs j on j.id = p.job_id where not p.ended group by j.queue
		) p on p.queue = q.name
		where not q.deleted or t.queue is not null or p.queue is not null
		order by q.name limit 1000`).
		Query(each([]any{&name, &q.Paused, &q.WaitingTurns, &q.RunningTurns, &oldest, &q.WaitingTasks, &q.RunningTasks}, func() {
			q.OldestTurn = time.Duration(oldest * float64(time.Second))
			sum.Queues[name] = q
		}))
	b.Queue(`
		select role, count(*) from nodes
		where state = 'alive' and heartbeat_at > clock_timestamp() - $1::bigint * interval '1 microsecond' group by role`, NodeLease.Microseconds()).
		Query(each([]any{&name, &n}, func() { sum.Nodes[name] = n }))
	b.Queue(`select pg_database_size(current_database())`).
		QueryRow(func(row pgx.Row) error { return row.Scan(&sum.Size) })
	return sum, wrap("sum up", s.Pool.SendBatch(ctx, &b).Close())
}

// each calls f for each row, scanned into the values.
func each(into []any, f func()) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, into, func() error { f(); return nil })
		return err
	}
}
