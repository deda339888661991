package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
)

// Queues reads every queue, with what waits and runs in it.
func (s *Store) Queues(ctx context.Context) ([]jobs.Queue, error) {
	rows, err := s.Pool.Query(ctx, `
		select q.name, q.per_core, q.pinned, q.paused,
			coalesce(t.waiting, 0), coalesce(t.running, 0), coalesce(j.running, 0), coalesce(j.queued, 0)
		from queues q
		left join (
			select queue, count(*) filter (where state <> 'running') as waiting, count(*) filter (where state = 'running') as running
			from river_job where state in ('available', 'running', 'scheduled', 'retryable', 'pending') group by queue
		) t on t.queue = q.name
		left join (
			select queue, count(*) filter (where state = 'running') as running, count(*) filter (where state = 'queued') as queued
			from jobs where state in ('running', 'queued') group by queue
		) j on j.queue = q.name
		order by q.name limit 1000`)
	if err != nil {
		return nil, wrap("list queues", err)
	}
	queues, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (q jobs.Queue, err error) {
		err = row.Scan(&q.Name, &q.PerCore, &q.Pinned, &q.Paused, &q.WaitingTurns, &q.RunningTurns, &q.Jobs.Running, &q.Jobs.Queued)
		return q, err
	})
	return queues, wrap("list queues", err)
}

// QueueSlots is a queue's limits and how many of its processes may run at once
// over all living nodes, at least 1.
func (s *Store) QueueSlots(ctx context.Context, name string) (q jobs.Queue, slots int, err error) {
	rows, err := s.Pool.Query(ctx, `
		select q.name, q.per_core, q.pinned, q.paused, coalesce(n.cores, 0)
		from queues q left join nodes n on n.state = 'alive' and n.role <> 'web'
			and n.heartbeat_at > clock_timestamp() - $2::bigint * interval '1 microsecond'
		where q.name = $1 limit 10000`, name, NodeLease.Microseconds())
	if err != nil {
		return q, 0, wrap("read queue", err)
	}
	var cores int
	found := false
	_, err = pgx.ForEachRow(rows, []any{&q.Name, &q.PerCore, &q.Pinned, &q.Paused, &cores}, func() error {
		found = true
		if cores > 0 {
			slots += q.Slots(cores)
		}
		return nil
	})
	if err == nil && !found {
		return q, 0, fmt.Errorf("read queue %q: %w", name, jobs.ErrNotFound)
	}
	return q, max(slots, 1), wrap("read queue", err)
}
