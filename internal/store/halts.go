package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
)

// change runs do in a transaction that holds the lock of the job's progress, with a
// key once.
func (s *Store) change(ctx context.Context, v Viewer, id string, key *Key, do func(tx pgx.Tx, state jobs.State) error) error {
	err := s.Tx(ctx, func(tx pgx.Tx) error {
		state, err := lockJob(ctx, tx, v, id)
		if err != nil {
			return err
		}
		if key != nil {
			if _, err := s.ClaimKey(ctx, tx, key, id); err != nil || key.Replayed {
				return err
			}
		}
		return do(tx, state)
	})
	if err == nil {
		s.Feed.Wake(id)
	}
	return err
}

// Cancel stops a job: nothing more of it is claimed, and it ends as cancelled when
// no chunk of it is leased any more, which may be at once. It does nothing to a
// cancelled job, and returns ErrConflict when the job has ended otherwise.
func (s *Store) Cancel(ctx context.Context, v Viewer, id string, key *Key) error {
	return s.change(ctx, v, id, key, func(tx pgx.Tx, state jobs.State) error {
		switch {
		case state == jobs.Cancelled:
			return nil
		case state.Ended():
			return fmt.Errorf("the job has already ended as %s: %w", state, jobs.ErrConflict)
		}
		var b pgx.Batch
		b.Queue(`update progress set halt = 'cancelled' where job_id = $1`, id)
		var ended bool
		s.addFinish(&b, id, &ended)
		b.Queue(`select pg_notify($1, $2)`, channel, id)
		return wrap("cancel job", tx.SendBatch(ctx, &b).Close())
	})
}

// lockJob locks a job's progress until tx ends and reads the job's state.
func lockJob(ctx context.Context, tx pgx.Tx, v Viewer, id string) (jobs.State, error) {
	if err := v.mayChange(id); err != nil {
		return "", err
	}
	if _, err := tx.Exec(ctx, `select from progress where job_id = $1 for update`, id); err != nil {
		return "", wrap("lock job", err)
	}
	return jobState(ctx, tx, v, id)
}

// mayChange returns an error for an id that no job has, and for a viewer that changes
// nothing.
func (v Viewer) mayChange(id string) error {
	if !ValidID(id) {
		return fmt.Errorf("read job %q: %w", id, jobs.ErrNotFound)
	}
	if v.ReadOnly {
		return fmt.Errorf("change job: %w", jobs.ErrForbidden)
	}
	return nil
}

func jobState(ctx context.Context, q querier, v Viewer, id string) (state jobs.State, err error) {
	if !ValidID(id) {
		return "", fmt.Errorf("read job %q: %w", id, jobs.ErrNotFound)
	}
	err = q.QueryRow(ctx, `select state from jobs where id = $1 and ($2 or owner_id = $3)`, id, v.All, v.UserID).Scan(&state)
	return state, wrap("read job", err)
}

// Pause stops further claims of a job. Claimed tasks go on. It does nothing to a
// paused job, and returns ErrConflict when the job has ended or is being stopped.
func (s *Store) Pause(ctx context.Context, v Viewer, id string, key *Key) error {
	return s.hold(ctx, v, id, key, `update progress set halt = 'paused' where job_id = $1 and halt is null`,
		`update jobs set state = 'paused' where id = $1`)
}

// Resume lets a paused job go on. It does nothing to a job that is not paused, and
// returns ErrConflict when the job has ended or is being stopped. The job's rate is
// measured from now on, without the pause.
func (s *Store) Resume(ctx context.Context, v Viewer, id string, key *Key) error {
	return s.hold(ctx, v, id, key, `
		update progress set halt = null, older_at = null, newer_at = clock_timestamp(), newer_done = succeeded + failed
		where job_id = $1 and halt = 'paused'`, `
		update jobs set state = case when not p.sealed then 'open' when started_at is null then 'queued' else 'running' end
		from progress p where p.job_id = jobs.id and jobs.id = $1 and state = 'paused'`)
}

func (s *Store) hold(ctx context.Context, v Viewer, id string, key *Key, progress, job string) error {
	return s.change(ctx, v, id, key, func(tx pgx.Tx, state jobs.State) error {
		var halt *string
		if err := tx.QueryRow(ctx, `select halt from progress where job_id = $1`, id).Scan(&halt); err != nil {
			return wrap("read job", err)
		}
		switch {
		case state.Ended():
			return fmt.Errorf("the job has already ended as %s: %w", state, jobs.ErrConflict)
		case halt != nil && *halt != "paused":
			return fmt.Errorf("the job is being stopped: %w", jobs.ErrConflict)
		}
		var b pgx.Batch
		b.Queue(progress, id)
		b.Queue(job, id)
		b.Queue(`select pg_notify($1, $2)`, channel, id)
		return wrap("hold job", tx.SendBatch(ctx, &b).Close())
	})
}

// Halts returns, by job, why nothing of it may be claimed: "paused", "failed" or
// "cancelled". Jobs that go on are not in the map; those that are gone or have ended
// are in it as "cancelled".
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

// NotifyProgress notifies the other nodes that more tasks of a job have ended.
func (s *Store) NotifyProgress(ctx context.Context, job string) error {
	_, err := s.Pool.Exec(ctx, `select pg_notify($1, $2)`, channel, s.Feed.payload(job, outcomeNews))
	return wrap("notify progress", err)
}
