package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/allcores/allcores/internal/jobs"
)

// QueueNews replaces a job's id for subscribers of a Feed that watch for changes of
// queues and of the nodes that may take turns.
const QueueNews = "queues"

// listQueues reads only turns that have not ended: they are few
// beside those that River keeps for an hour after their end.
const listQueues = `
	select q.name, q.per_core, q.pinned, q.max_processes, ` + paused + `,
		coalesce(t.waiting, 0), coalesce(t.running, 0), t.oldest, coalesce(j.running, 0), coalesce(j.queued, 0)
	from queues q
	` + pausesInRiver + `
	left join (` + turnCounts + `) t on t.queue = q.name
	left join (
		select queue, count(*) filter (where state = 'running') as running, count(*) filter (where state = 'queued') as queued
		from jobs where state in ('running', 'queued') group by queue
	) j on j.queue = q.name
	where not q.deleted
	order by q.name limit 1000`

// Queues reads every queue with the numbers of its waiting and running jobs and turns.
func (s *Store) Queues(ctx context.Context) ([]jobs.Queue, error) {
	rows, err := s.Pool.Query(ctx, listQueues)
	if err != nil {
		return nil, wrap("list queues", err)
	}
	queues, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (q jobs.Queue, err error) {
		var oldest *time.Time
		err = row.Scan(&q.Name, &q.PerCore, &q.Pinned, &q.MaxProcesses, &q.Paused, &q.WaitingTurns, &q.RunningTurns, &oldest, &q.Jobs.Running, &q.Jobs.Queued)
		if oldest != nil {
			q.OldestWaiting = &jobs.Time{Time: *oldest}
		}
		return q, err
	})
	return queues, wrap("list queues", err)
}

// A Plan holds the facts that nodes need to share the work of the queues.
type Plan struct {
	Queues []jobs.Queue // without what waits and runs
	Nodes  []Server     // in the order of their ids
	At     time.Time    // when it was read, by this process's clock
}

// A Server is a living node that takes turns.
type Server struct {
	ID     string
	Cores  int
	Serves []string // nil for every queue
}

// Plan reads the queues and the nodes that take turns.
func (s *Store) Plan(ctx context.Context) (*Plan, error) {
	p := &Plan{At: time.Now()}
	var b pgx.Batch
	b.Queue(`
		select q.name, q.per_core, q.pinned, q.max_processes, ` + paused + `
		from queues q ` + pausesInRiver + `
		where not q.deleted or exists (select from jobs j where j.queue = q.name and j.state in ('open', 'queued', 'running', 'paused'))
		order by q.name limit 1000`).
		Query(func(rows pgx.Rows) (err error) {
			p.Queues, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (q jobs.Queue, err error) {
				err = row.Scan(&q.Name, &q.PerCore, &q.Pinned, &q.MaxProcesses, &q.Paused)
				return q, err
			})
			return err
		})
	b.Queue(`
		select id, cores, serves from nodes
		where state = 'alive' and role <> 'web' and cores > 0 and not draining
			and heartbeat_at > clock_timestamp() - $1::bigint * interval '1 microsecond'
		order by id limit 10000`, NodeLease.Microseconds()).
		Query(func(rows pgx.Rows) (err error) {
			p.Nodes, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Server])
			return err
		})
	if err := s.Pool.SendBatch(ctx, &b).Close(); err != nil {
		return nil, wrap("read queues and nodes", err)
	}
	return p, nil
}

// SetQueue adds a queue or changes its limits, and reports whether it was added.
func (s *Store) SetQueue(ctx context.Context, name string, l jobs.QueueLimits) (added bool, err error) {
	err = s.Pool.QueryRow(ctx, `
		with before as (select from queues where name = $1 and not deleted), q as (
			insert into queues (name, per_core, pinned, max_processes) values ($1, $2, $3, $4)
			on conflict (name) do update set per_core = $2, pinned = $3, max_processes = $4,
				paused = queues.paused and not queues.deleted, deleted = false
			returning name
		)
		select not exists (select from before), pg_notify($5, $6) is null from q`, name, l.PerCore, l.Pinned, l.MaxProcesses, channel, QueueNews).
		Scan(&added, new(bool))
	return added, wrap("set queue", err)
}

// PauseQueue pauses a queue, so that nothing in it starts, or lets it go on.
func (s *Store) PauseQueue(ctx context.Context, name string, paused bool) error {
	return s.Tx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `update queues set paused = $2 where name = $1 and not deleted`, name, paused)
		if err == nil && tag.RowsAffected() == 0 {
			err = pgx.ErrNoRows
		}
		if err != nil {
			return wrap("pause queue", err)
		}
		if !paused { // it may have been paused in River
			if err := resumeInRiver(ctx, tx, name); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, `select pg_notify($1, $2)`, channel, QueueNews)
		return wrap("notify nodes", err)
	})
}

// DeleteQueue deletes a queue. It returns ErrConflict while the queue has jobs that
// have not ended. Ended jobs keep its name.
func (s *Store) DeleteQueue(ctx context.Context, name string) error {
	return s.Tx(ctx, func(tx pgx.Tx) error {
		// Submissions hold a weaker lock on the row: see insertJob.
		err := tx.QueryRow(ctx, `select true from queues where name = $1 and not deleted for update`, name).Scan(new(bool))
		if err != nil {
			return wrap("find queue", err)
		}
		var busy, known bool
		err = tx.QueryRow(ctx, `
			select exists (select from jobs where queue = $1 and state in ('open', 'queued', 'running', 'paused')),
				exists (select from jobs where queue = $1)`, name).Scan(&busy, &known)
		if err != nil {
			return wrap("look for jobs", err)
		}
		if busy {
			return fmt.Errorf("delete queue %q: %w", name, jobs.ErrConflict)
		}
		if known {
			_, err = tx.Exec(ctx, `update queues set deleted = true where name = $1`, name)
		} else {
			_, err = tx.Exec(ctx, `delete from queues where name = $1`, name)
		}
		if err != nil {
			return wrap("delete queue", err)
		}
		_, err = tx.Exec(ctx, `select pg_notify($1, $2)`, channel, QueueNews)
		return wrap("notify nodes", err)
	})
}

// A DeletedQueueError reports that a job cannot go on because its queue was deleted.
type DeletedQueueError struct{ Queue string }

func (e *DeletedQueueError) Error() string {
	return fmt.Sprintf("the job's queue %q was deleted", e.Queue)
}

func (e *DeletedQueueError) Unwrap() error { return jobs.ErrConflict }

// holdQueue checks that the job's queue exists, and keeps it until tx ends.
func holdQueue(ctx context.Context, tx pgx.Tx, job string) error {
	var queue string
	var there bool
	err := tx.QueryRow(ctx, `select queue from jobs where id = $1`, job).Scan(&queue)
	if err != nil {
		return wrap("read job", err)
	}
	// This waits for a DeleteQueue that holds the row, and then sees it as deleted.
	err = tx.QueryRow(ctx, `select not deleted from queues where name = $1 for key share`, queue).Scan(&there)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return wrap("find queue", err)
	}
	if !there {
		return &DeletedQueueError{queue}
	}
	return nil
}

// isMissingQueue reports whether err is that of a job inserted into a queue that does
// not exist.
func isMissingQueue(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == "23502" && pgErr.TableName == "jobs" && pgErr.ColumnName == "queue"
}

// FollowSlots sets the lanes of jobs whose policy does not say how many they get to the
// slots that their queues have now over all living nodes.
func (s *Store) FollowSlots(ctx context.Context) error {
	_, err := s.Pool.Exec(ctx, `
		with slots as (
			select q.name, least(q.max_processes, coalesce(sum(greatest(1, floor(q.per_core * n.cores + 1e-9))), 0))::int as n
			from queues q left join nodes n on n.state = 'alive' and n.role <> 'web' and n.cores > 0 and not n.draining
				and (n.serves is null or q.name = any(n.serves))
				and n.heartbeat_at > clock_timestamp() - $1::bigint * interval '1 microsecond'
			group by q.name
		), wanted as (
			select p.job_id, greatest(1, slots.n / coalesce((j.policy->>'cores_per_process')::int, 1)) as lanes
			from progress p join jobs j on j.id = p.job_id join slots on slots.name = j.queue
			where not p.ended and p.lanes_auto and slots.n > 0
		)
		update progress p set lanes = wanted.lanes from wanted
		where p.job_id = wanted.job_id and p.lanes <> wanted.lanes and not p.ended`, NodeLease.Microseconds())
	return wrap("follow the queues' slots", err)
}
