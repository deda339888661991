package store

import (
	"context"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"
)

// KeepAlive begins the idle time of an open job again. It returns ErrConflict when the
// job takes no inputs.
func (s *Store) KeepAlive(ctx context.Context, v Viewer, id string) error {
	return s.Tx(ctx, func(tx pgx.Tx) error {
		if err := lockOpenJob(ctx, tx, v, id); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, touchInput, id)
		return wrap("keep job alive", err)
	})
}

// touchInput begins the idle time of a job again.
const touchInput = `update progress set input_at = clock_timestamp() where job_id = $1 and idle_us is not null and not sealed`

// aliveEvery is how often an upload keeps its job alive.
const aliveEvery = 250 * time.Millisecond

// keepingAlive yields values, and keeps the job alive while they come: a job is not
// idle during a long upload, whose transaction nobody else sees yet. It does so on
// other connections, as the upload's is in use, and ignores errors: the upload checks
// at its end that the job is open.
func (s *Store) keepingAlive(ctx context.Context, job string, values iter.Seq2[[]byte, error]) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		last := time.Now()
		for value, err := range values {
			if now := time.Now(); now.Sub(last) > aliveEvery {
				last = now
				_, _ = s.Pool.Exec(ctx, touchInput, job)
			}
			if !yield(value, err) {
				return
			}
		}
	}
}

// maxIdleSeals bounds the jobs that one SealIdle seals.
const maxIdleSeals = 100

// SealIdle seals the open jobs whose idle time is over on the database's clock, each
// in a transaction, and returns their ids.
func (s *Store) SealIdle(ctx context.Context) ([]string, error) {
	const idle = `idle_us is not null and not sealed and not ended and input_at < clock_timestamp() - idle_us * interval '1 microsecond'`
	rows, err := s.Pool.Query(ctx, `select job_id::text from progress where `+idle+` limit $1`, maxIdleSeals)
	if err != nil {
		return nil, wrap("find idle jobs", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, wrap("find idle jobs", err)
	}
	sealed := make([]string, 0, len(ids))
	for _, id := range ids {
		err := s.Tx(ctx, func(tx pgx.Tx) error {
			// Another node may have sealed it, or an append come first.
			tag, err := tx.Exec(ctx, `update progress set idle_sealed = true where job_id = $1 and `+idle, id)
			if err != nil || tag.RowsAffected() == 0 {
				return wrap("seal idle job", err)
			}
			sealed = append(sealed, id)
			return s.seal(ctx, tx, id)
		})
		if err != nil {
			return sealed, err
		}
		s.Feed.Wake(id)
	}
	return sealed, nil
}
