package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
)

// maxRetryBlocks is how many rows of outcomes are held in memory at once while
// failed tasks are taken out of them.
const maxRetryBlocks = 64

// Retry makes an ended job go on with its failed and cancelled tasks; what
// succeeded stays. It is ErrConflict of a job that has not ended, or of which
// every task succeeded.
func (s *Store) Retry(ctx context.Context, v Viewer, id string, key *Key) error {
	return s.change(ctx, v, id, key, func(tx pgx.Tx, state jobs.State) error {
		if !state.Ended() {
			return fmt.Errorf("the job has not ended: %w", jobs.ErrConflict)
		}
		if err := s.takeOutFailures(ctx, tx, id); err != nil {
			return err
		}
		return s.reopen(ctx, tx, id)
	})
}

// takeOutFailures splits each row of outcomes that has failures into what
// succeeded before, between and after them.
func (s *Store) takeOutFailures(ctx context.Context, tx pgx.Tx, id string) error {
	for {
		rows, err := tx.Query(ctx, `
			delete from outcomes where (job_id, first) in (
				select job_id, first from outcomes where job_id = $1 and failed <> '{}' order by first limit $2)
			returning first, count, seq, failed, outputs, octet_length(outputs), durations, chunk_id`, id, maxRetryBlocks)
		if err != nil {
			return wrap("take out failures", err)
		}
		type row struct {
			Block
			chunk int64
		}
		taken, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (b row, err error) {
			return b, b.scan(r, &b.chunk)
		})
		if err != nil {
			return wrap("take out failures", err)
		}
		if len(taken) == 0 {
			return nil
		}
		var b pgx.Batch
		for _, block := range taken {
			kept, _ := block.Run.Without(func(int32, jobs.Line) bool { return true })
			for _, run := range kept {
				b.Queue(`
					with p as (update progress set records = records + 1 where job_id = $1 returning records)
					insert into outcomes (job_id, first, count, seq, chunk_id, failed, outputs, durations)
					select $1, $2, $3, p.records, $4, '{}', $5, $6 from p`,
					id, run.First, run.Count, block.chunk, run.Outputs, jobs.PackDurations(run.Durations))
			}
		}
		if err := tx.SendBatch(ctx, &b).Close(); err != nil {
			return wrap("keep what succeeded", err)
		}
	}
}

// reopen puts every task without an outcome into the backlog, but for those
// that were never claimed, and makes the job go on.
func (s *Store) reopen(ctx context.Context, tx pgx.Tx, id string) error {
	var b pgx.Batch
	b.Queue(`
		insert into backlog (job_id, first, count)
		select $1, gap, least(next, p.cursor) - gap from (
			select first + count as gap, lead(first, 1, 9223372036854775807) over (order by first, count) as next
			from (select first, count from outcomes where job_id = $1 union all select 0, 0) o
		) gaps, progress p
		where p.job_id = $1 and gap < least(next, p.cursor)`, id)
	var left bool
	b.Queue(`
		update progress set ended = false, halt = null, failed = 0, cancelled = 0, leased = 0, turns = 0,
			older_at = null, newer_at = clock_timestamp(), newer_done = succeeded
		where job_id = $1 and succeeded < total returning true`, id).
		Query(func(rows pgx.Rows) error {
			left = rows.Next()
			rows.Close()
			return rows.Err()
		})
	b.Queue(`update jobs set state = 'queued', finished_at = null, started_at = null, reason = '' where id = $1`, id)
	b.Queue(`delete from failure_groups where job_id = $1`, id)
	b.Queue(`select pg_notify($1, $2)`, channel, id)
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return wrap("reopen job", err)
	}
	if !left {
		return fmt.Errorf("every task of the job succeeded: %w", jobs.ErrConflict)
	}
	return nil
}
