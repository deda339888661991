package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// clockSlack is how far in the future a time read from the database's clock may lie:
// concurrent statements commit in any order.
const clockSlack = `interval '1 second'`

// maxClamped bounds how many rows of a table one ClampFuture changes.
const maxClamped = 10_000

// clamps correct times of the past that lie in the future. Each takes the bound on
// its rows.
var clamps = []string{
	// A task waits no longer than its backoff from now on.
	`update backlog set due_at = clock_timestamp() + wait_us * interval '1 microsecond' where id in (
		select id from backlog where due_at > '-infinity' and due_at > clock_timestamp() + wait_us * interval '1 microsecond' + ` + clockSlack + ` limit $1)`,
	`update chunks set leased_at = clock_timestamp() where id in (
		select id from chunks where state = 'leased' and leased_at > clock_timestamp() + ` + clockSlack + ` limit $1)`,
	`update nodes set heartbeat_at = clock_timestamp() where id in (
		select id from nodes where heartbeat_at > clock_timestamp() + ` + clockSlack + ` limit $1)`,
	`update jobs set started_at = clock_timestamp() where id in (
		select j.id from jobs j join progress p on p.job_id = j.id
		where not p.ended and j.started_at > clock_timestamp() + ` + clockSlack + ` limit $1)`,
	`update progress set newer_at = clock_timestamp(), older_at = null where job_id in (
		select job_id from progress where not ended and greatest(newer_at, older_at) > clock_timestamp() + ` + clockSlack + ` limit $1)`,
	`update progress set input_at = clock_timestamp() where job_id in (
		select job_id from progress where idle_us is not null and not sealed and not ended and input_at > clock_timestamp() + ` + clockSlack + ` limit $1)`,
	`update idempotency_keys set created_at = now() where (user_id, key) in (
		select user_id, key from idempotency_keys where created_at > now() + ` + clockSlack + ` limit $1)`,
	clampTurns,
	clampLeader,
}

// ClampFuture corrects times that lie in the future because the database's clock was
// set back, and returns the number of rows: leases, heartbeats and the times of jobs
// and keys become now, and a backoff begins again. Otherwise nothing would count as
// late until the clock has caught up. Turns are roused by RouseTurns.
func (s *Store) ClampFuture(ctx context.Context) (n int64, err error) {
	var b pgx.Batch
	for _, sql := range clamps {
		b.Queue(sql, maxClamped)
	}
	results := s.Pool.SendBatch(ctx, &b)
	for range clamps {
		tag, execErr := results.Exec()
		if execErr != nil {
			err = execErr
			break
		}
		n += tag.RowsAffected()
	}
	if closeErr := results.Close(); err == nil {
		err = closeErr
	}
	return n, wrap("clamp times", err)
}
