package store

import (
	"context"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
)

// Append adds inputs to an open job, in order, in one transaction: either all
// of them are there afterwards or none. Each value is one line of compact JSON;
// an error that comes with one ends the call and is returned. With seal the
// job takes no further inputs afterwards. It is ErrConflict of a job that is
// not open.
//
// The values stream into the database as they come, so neither side holds them
// all, and nothing is locked meanwhile: they are written under an id of their
// own, and given the job's next indexes at the end.
func (s *Store) Append(ctx context.Context, v Viewer, id string, values iter.Seq2[[]byte, error], seal bool) (first, count int64, err error) {
	staged := NewID()
	err = s.Tx(ctx, func(tx pgx.Tx) error {
		// A closed job is found before a long upload, not only after it.
		if err := openJob(ctx, tx, v, id, false); err != nil {
			return err
		}
		source := &blockSource{job: staged, values: values, count: &count}
		next, stop := iter.Pull(source.blocks())
		defer stop()
		source.next = next
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"input_blocks"}, []string{"job_id", "first", "count", "data"}, source)
		if source.err != nil {
			return source.err
		}
		if err != nil {
			return wrap("copy inputs", err)
		}
		if err := openJob(ctx, tx, v, id, true); err != nil {
			return err
		}
		first, err = s.adopt(ctx, tx, id, staged, count)
		if err == nil && seal {
			err = s.seal(ctx, tx, id)
		}
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	s.Feed.Wake(id)
	return first, count, nil
}

// openJob makes sure that the job takes inputs, and locks its progress.
func openJob(ctx context.Context, tx pgx.Tx, v Viewer, id string, lock bool) error {
	var state jobs.State
	var err error
	if lock {
		state, err = lockJob(ctx, tx, v, id)
	} else {
		state, err = jobState(ctx, tx, v, id)
	}
	if err != nil {
		return err
	}
	var sealed bool
	if err := tx.QueryRow(ctx, `select sealed from progress where job_id = $1`, id).Scan(&sealed); err != nil {
		return wrap("read job", err)
	}
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
		return 0, fmt.Errorf("a job has at most %d tasks: %w", jobs.MaxTasks, jobs.ErrConflict)
	}
	var b pgx.Batch
	b.Queue(`update input_blocks set job_id = $1, first = first + $3 where job_id = $2`, id, staged, first)
	b.Queue(`update progress set total = $2, failures_allowed = $3 where job_id = $1`, id, total, w.Policy.FailuresAllowed(total))
	b.Queue(`select pg_notify($1, $2)`, channel, id)
	return first, wrap("append inputs", tx.SendBatch(ctx, &b).Close())
}

// Seal closes an open job for inputs; of a job that is sealed already nothing
// changes.
func (s *Store) Seal(ctx context.Context, v Viewer, id string) error {
	err := s.Tx(ctx, func(tx pgx.Tx) error {
		if _, err := lockJob(ctx, tx, v, id); err != nil {
			return err
		}
		return s.seal(ctx, tx, id)
	})
	if err == nil {
		s.Feed.Wake(id)
	}
	return err
}

// seal closes a job whose progress is locked, and ends it if nothing is left.
func (s *Store) seal(ctx context.Context, tx pgx.Tx, id string) error {
	var b pgx.Batch
	b.Queue(`update progress set sealed = true where job_id = $1`, id)
	b.Queue(`update jobs set state = case when started_at is null then 'queued' else 'running' end where id = $1 and state = 'open'`, id)
	var ended bool
	queueFinish(&b, id, &ended)
	b.Queue(`select pg_notify($1, $2)`, channel, id)
	return wrap("seal job", tx.SendBatch(ctx, &b).Close())
}

// blockSource packs values into rows for COPY.
type blockSource struct {
	job    string
	values iter.Seq2[[]byte, error]
	next   func() (inputBlock, bool)
	block  inputBlock
	count  *int64
	err    error
}

func (b *blockSource) blocks() iter.Seq[inputBlock] {
	return inputBlocks(func(yield func([]byte) bool) {
		for value, err := range b.values {
			if err != nil {
				b.err = err
				return
			}
			if !yield(value) {
				return
			}
		}
	}, 0)
}

// Next implements pgx.CopyFromSource.
func (b *blockSource) Next() bool {
	block, ok := b.next()
	if !ok || b.err != nil {
		return false
	}
	b.block = block
	*b.count += int64(block.count)
	return true
}

// Values implements pgx.CopyFromSource.
func (b *blockSource) Values() ([]any, error) {
	return []any{b.job, b.block.first, b.block.count, b.block.data}, nil
}

// Err implements pgx.CopyFromSource.
func (b *blockSource) Err() error { return b.err }
