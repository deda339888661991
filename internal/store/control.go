package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
)

// Cancel stops a job: nothing more of it is claimed, and it ends as cancelled
// when no chunk of it is leased any more, which may be at once. Of a job that
// is cancelled already nothing changes; of one that ended otherwise it is
// ErrConflict.
func (s *Store) Cancel(ctx context.Context, v Viewer, id string) error {
	err := s.Tx(ctx, func(tx pgx.Tx) error {
		state, err := lockJob(ctx, tx, v, id)
		switch {
		case err != nil:
			return err
		case state == jobs.Cancelled:
			return nil
		case state.Ended():
			return fmt.Errorf("the job has already ended as %s: %w", state, jobs.ErrConflict)
		}
		var b pgx.Batch
		b.Queue(`update progress set halt = 'cancelled' where job_id = $1`, id)
		var ended bool
		queueFinish(&b, id, &ended)
		b.Queue(`select pg_notify($1, $2)`, channel, id)
		return wrap("cancel job", tx.SendBatch(ctx, &b).Close())
	})
	if err == nil {
		s.Feed.Wake(id)
	}
	return err
}

// lockJob locks a job's progress for the rest of tx and reads the job's state.
func lockJob(ctx context.Context, tx pgx.Tx, v Viewer, id string) (jobs.State, error) {
	if !ValidID(id) {
		return "", fmt.Errorf("read job %q: %w", id, jobs.ErrNotFound)
	}
	var b pgx.Batch
	b.Queue(`select from progress where job_id = $1 for update`, id)
	var state jobs.State
	b.Queue(`select state from jobs where id = $1 and ($2 or owner_id = $3)`, id, v.All, v.UserID).
		QueryRow(func(row pgx.Row) error { return row.Scan(&state) })
	return state, wrap("read job", tx.SendBatch(ctx, &b).Close())
}

// Halts says of each of the jobs why nothing of it may be claimed: "paused",
// "failed" or "cancelled". Jobs that go on are not in the map; those that are
// gone or have ended are there as "cancelled".
func (s *Store) Halts(ctx context.Context, ids []string) (map[string]string, error) {
	rows, err := s.Pool.Query(ctx, `
		select id, case when p.job_id is null or p.ended then 'cancelled' else halt end
		from unnest($1::uuid[]) as id left join progress p on p.job_id = id
		where p.job_id is null or p.ended or p.halt is not null`, ids)
	if err != nil {
		return nil, wrap("read halts", err)
	}
	halts := make(map[string]string)
	var id, halt string
	_, err = pgx.ForEachRow(rows, []any{&id, &halt}, func() error { halts[id] = halt; return nil })
	return halts, wrap("read halts", err)
}

// Notify tells every node that there is news of a job.
func (s *Store) Notify(ctx context.Context, job string) error {
	_, err := s.Pool.Exec(ctx, `select pg_notify($1, $2)`, channel, job)
	s.Feed.Wake(job)
	return wrap("notify", err)
}
