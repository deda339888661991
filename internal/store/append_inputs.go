package store

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
)

// An AppendRequest adds inputs to an open job.
type AppendRequest struct {
	Viewer Viewer
	Job    string
	Values iter.Seq2[[]byte, error] // each a line of compact JSON; an error ends the call and is returned
	Seal   bool                     // the job takes no further inputs afterwards
	Start  *Start                   // lets turns begin here at once; nil for none

	// Key makes the request repeatable; nil for none. Its Request, the hash, is
	// known only when Values have ended: Hash reads what is left of the request and
	// returns it. Append calls Hash at most once.
	Key  *Key
	Hash func() ([]byte, error)
}

// Append adds inputs to an open job, in order, in one transaction: all of them or
// none. It returns the index of the first and their number. When an equal request
// has taken the key, the key is Replayed, and the answer is that of the earlier
// request. The error is ErrKeyReused when another request has taken the key, and
// ErrConflict when the job is not open.
//
// A few values are written in one batch. More of them stream into the database, so
// neither side holds them all. Nothing is locked meanwhile: they are written under an
// id of their own, and get the job's next indexes at the end.
func (s *Store) Append(ctx context.Context, r AppendRequest) (first, count int64, err error) {
	if r.Key == nil {
		return s.appendAnd(ctx, r, func(pgx.Tx, int64, int64) error { return nil })
	}
	key := r.Key
	key.Request = nil
	earlier, err := readKey(ctx, s.Pool, *key)
	if err == nil && earlier == nil {
		first, count, err = s.appendAnd(ctx, r, func(tx pgx.Tx, first, count int64) (err error) {
			if key.Request, err = r.Hash(); err != nil {
				return err
			}
			return s.claimAppend(ctx, tx, *key, r.Job, first, count)
		})
		if !errors.Is(err, jobs.ErrConflict) {
			return first, count, err
		}
		// An equal request may have committed meanwhile, and have sealed the job.
		conflict := err
		if earlier, err = readKey(ctx, s.Pool, *key); err == nil && earlier == nil {
			err = conflict
		}
	}
	if err == nil && key.Request == nil {
		key.Request, err = r.Hash()
	}
	if err == nil {
		err = key.replay(earlier)
	}
	if err != nil {
		return 0, 0, err
	}
	return earlier.first, earlier.count, nil
}

// claimAppend takes a key for inputs that tx appends. It returns ErrConflict when
// the key is taken.
func (s *Store) claimAppend(ctx context.Context, tx pgx.Tx, key Key, job string, first, count int64) error {
	earlier, err := claimKey(ctx, tx, key, job)
	if err != nil {
		return err
	}
	if earlier != nil {
		return fmt.Errorf("the key is taken: %w", jobs.ErrConflict)
	}
	_, err = tx.Exec(ctx, `update idempotency_keys set first = $3, count = $4 where user_id = $1 and key = $2`, key.UserID, key.Key, first, count)
	return wrap("claim key", err)
}

// appendAnd appends without a look at the key, and calls and in the same
// transaction.
func (s *Store) appendAnd(ctx context.Context, r AppendRequest, and func(tx pgx.Tx, first, count int64) error) (first, count int64, err error) {
	// Checked before a long upload too, so that a closed job refuses at once.
	if err := openJob(ctx, s.Pool, r.Viewer, r.Job); err != nil {
		return 0, 0, err
	}
	f, values, stop, err := takeFew(s.keepingAlive(ctx, r.Job, r.Values))
	defer stop()
	if err != nil {
		return 0, 0, err
	}
	if f != nil {
		count = int64(len(f.ends))
		first, err = s.appendFew(ctx, r, f, and)
	} else {
		first, count, err = s.appendMany(ctx, r, values, and)
	}
	if err != nil {
		if r.Start != nil {
			r.Start.Begun = nil
		}
		return 0, 0, err
	}
	s.Feed.wake(r.Job, appended(r.Seal))
	return first, count, nil
}

// appendMany appends values as they come.
func (s *Store) appendMany(ctx context.Context, r AppendRequest, values iter.Seq2[[]byte, error], and func(tx pgx.Tx, first, count int64) error) (first, count int64, err error) {
	staged := NewID()
	err = s.streamTx(ctx, func(tx pgx.Tx) error {
		if count, err = copyInputs(ctx, tx, staged, values); err != nil {
			return err
		}
		if err := lockOpenJob(ctx, tx, r.Viewer, r.Job); err != nil {
			return err
		}
		if first, err = s.adopt(ctx, tx, r.Job, staged, count); err != nil {
			return err
		}
		if r.Seal {
			if err := s.seal(ctx, tx, r.Job); err != nil {
				return err
			}
		}
		if r.Start != nil {
			r.Start.Missing = true
		}
		return and(tx, first, count)
	})
	return first, count, err
}

// appended is what an append is news of. One that seals may end the job.
func appended(seal bool) news {
	if seal {
		return stateNews
	}
	return inputNews
}

// InsertStreamed writes a job whose inputs come from values, in one transaction:
// first the inputs as they come, then the job that describe returns for their
// number. That job must have the given id, and as its inputs a jobs.Stored of that
// number. describe may write in the same transaction. An error from values or
// describe ends the call and is returned, and nothing is kept.
func (s *Store) InsertStreamed(ctx context.Context, id string, values iter.Seq2[[]byte, error], describe func(tx pgx.Tx, count int64) (NewJob, error)) error {
	return s.streamTx(ctx, func(tx pgx.Tx) error {
		count, err := copyInputs(ctx, tx, id, values)
		if err != nil {
			return err
		}
		n, err := describe(tx, count)
		if err != nil {
			return err
		}
		_, err = s.InsertJob(ctx, tx, n)
		return err
	})
}

// streamTx is Tx for a transaction that lasts as long as a client sends. Such
// transactions share half of the connections, so that slow clients cannot take the
// database away from everyone else; further ones wait.
func (s *Store) streamTx(ctx context.Context, f func(pgx.Tx) error) error {
	select {
	case s.streams <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("wait for other uploads: %w", ctx.Err())
	}
	defer func() { <-s.streams }()
	return s.Tx(ctx, f)
}

// addStored adds the statements that give a new job its stored inputs. They fail
// when some are missing: the job that they are copied from may have been deleted.
func addStored(b *pgx.Batch, id string, in jobs.Stored) {
	if in.From != "" {
		b.Queue(`
			insert into input_blocks (job_id, first, count, data)
			select $1, first, count, data from input_blocks where job_id = $2 and first < $3`, id, in.From, in.Count)
		addBlobRefs(b, id, in.From)
	}
	b.Queue(`select coalesce(sum(count), 0) from input_blocks where job_id = $1`, id).QueryRow(func(row pgx.Row) error {
		var count int64
		if err := row.Scan(&count); err != nil {
			return err
		}
		if count != in.Count {
			return fmt.Errorf("there are %d of %d inputs: %w", count, in.Count, jobs.ErrNotFound)
		}
		return nil
	})
}

// openJob returns ErrConflict when the job takes no inputs.
func openJob(ctx context.Context, q querier, v Viewer, id string) error {
	if !ValidID(id) {
		return fmt.Errorf("read job %q: %w", id, jobs.ErrNotFound)
	}
	var state jobs.State
	var sealed bool
	err := q.QueryRow(ctx, `
		select j.state, p.sealed from jobs j join progress p on p.job_id = j.id
		where j.id = $1 and ($2 or j.owner_id = $3)`, id, v.All, v.UserID).Scan(&state, &sealed)
	if err != nil {
		return wrap("read job", err)
	}
	return refusesInputs(state, sealed)
}

// lockOpenJob locks the job's progress and returns ErrConflict when the job takes no
// inputs.
func lockOpenJob(ctx context.Context, tx pgx.Tx, v Viewer, id string) error {
	_, err := lockOpen(ctx, tx, v, id)
	return err
}

// refusesInputs returns ErrConflict for a job that takes no inputs.
func refusesInputs(state jobs.State, sealed bool) error {
	switch {
	case state.Ended():
		return fmt.Errorf("the job has already ended as %s: %w", state, jobs.ErrConflict)
	case sealed:
		return fmt.Errorf("the job takes no further inputs: %w", jobs.ErrConflict)
	}
	return nil
}

// adopt gives staged inputs the next indexes of a job whose progress is locked.
func (s *Store) adopt(ctx context.Context, tx pgx.Tx, id, staged string, count int64) (first int64, err error) {
	w, err := readWork(ctx, tx, id)
	if err != nil {
		return 0, err
	}
	if err := tx.QueryRow(ctx, `select total from progress where job_id = $1`, id).Scan(&first); err != nil {
		return 0, wrap("read job", err)
	}
	total := first + count
	if total > jobs.MaxTasks {
		return 0, tooManyTasks()
	}
	var b pgx.Batch
	b.Queue(`update input_blocks set job_id = $1, first = first + $3 where job_id = $2`, id, staged, first)
	b.Queue(`
		update progress set total = $2, failures_allowed = $3, input_at = case when idle_us is not null then clock_timestamp() end
		where job_id = $1`, id, total, w.Policy.FailuresAllowed(total, false))
	b.Queue(`select pg_notify($1, $2)`, channel, s.Feed.payload(id, inputNews))
	return first, wrap("append inputs", tx.SendBatch(ctx, &b).Close())
}

// Seal closes an open job for inputs. It does nothing to a sealed job.
func (s *Store) Seal(ctx context.Context, v Viewer, id string, key *Key) error {
	return s.change(ctx, v, id, key, func(tx pgx.Tx, _ jobs.State) error { return s.seal(ctx, tx, id) })
}

// seal closes a job whose progress is locked, and ends it if nothing is left. A
// limit that is a share of the tasks applies from now on, and may stop the job.
func (s *Store) seal(ctx context.Context, tx pgx.Tx, id string) error {
	w, err := readWork(ctx, tx, id)
	if err != nil {
		return err
	}
	var total int64
	if err := tx.QueryRow(ctx, `select total from progress where job_id = $1`, id).Scan(&total); err != nil {
		return wrap("read job", err)
	}
	var b pgx.Batch
	b.Queue(`
		update progress set sealed = true, failures_allowed = $2::bigint,
			halt = case when halt is distinct from 'cancelled' and failed - earlier_failed > $2::bigint then 'failed' else halt end
		where job_id = $1 and not sealed`, id, w.Policy.FailuresAllowed(total, true))
	b.Queue(`update jobs set state = case when started_at is null then 'queued' else 'running' end where id = $1 and state = 'open'`, id)
	var ended bool
	s.addFinish(&b, id, &ended)
	b.Queue(`select pg_notify($1, $2)`, channel, id)
	return wrap("seal job", tx.SendBatch(ctx, &b).Close())
}
