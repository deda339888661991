package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// maxRetryBlocks is how many rows of outcomes takeOutFailures holds in memory.
const maxRetryBlocks = 64

// A FailureFilter reports whether a failed task is selected.
type FailureFilter func(index int64, e *jobs.TaskError) bool

// Retry begins another run of an ended job, with its failed and cancelled tasks. If
// only is not nil the run has just the failed tasks that it selects, and the other
// failed and cancelled ones stay as they are. Retry returns ErrConflict when the job
// has not ended or has no such task, and a *DeletedQueueError when its queue was
// deleted.
func (s *Store) Retry(ctx context.Context, v Viewer, id string, key *Key, only FailureFilter) error {
	run, report, err := s.endedRun(ctx, v, id)
	if err != nil {
		return err
	}
	return s.change(ctx, v, id, key, func(tx pgx.Tx, state jobs.State) error {
		if !state.Ended() {
			return fmt.Errorf("the job has not ended: %w", jobs.ErrConflict)
		}
		if err := holdQueue(ctx, tx, id); err != nil {
			return err
		}
		if err := keepRun(ctx, tx, id, run, report); err != nil {
			return err
		}
		// The groups of failures that stay are added again.
		if _, err := tx.Exec(ctx, `delete from failure_groups where job_id = $1`, id); err != nil {
			return wrap("forget failures", err)
		}
		again, kept, err := s.takeOutFailures(ctx, tx, id, only)
		if err != nil {
			return err
		}
		return s.reopen(ctx, tx, id, reopening{selected: only != nil, again: again, keptFailures: kept})
	})
}

// takeOutFailures splits each row of outcomes that has failures selected by only into
// the rows before, between and after them. It returns their tasks and the number of
// other failures.
func (s *Store) takeOutFailures(ctx context.Context, tx pgx.Tx, id string, only FailureFilter) (again []jobs.Span, kept int64, err error) {
	for after := int64(0); ; {
		rows, err := tx.Query(ctx, `
			delete from outcomes where (job_id, first) in (
				select job_id, first from outcomes where job_id = $1 and failed <> '{}' and first >= $3 order by first limit $2)
			returning first, count, seq, failed, groups, outputs, octet_length(outputs), durations, chunk_id`, id, maxRetryBlocks, after)
		if err != nil {
			return nil, 0, wrap("take out failures", err)
		}
		type row struct {
			Block
			chunk int64
		}
		taken, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (b row, err error) {
			return b, b.scan(r, &b.chunk)
		})
		if err != nil {
			return nil, 0, wrap("take out failures", err)
		}
		if len(taken) == 0 {
			return again, kept, nil
		}
		var b pgx.Batch
		failing := newFailures()
		for _, block := range taken {
			after = max(after, block.First+int64(block.Count))
			stay, dropped := block.Encoded.Without(func(offset int32, line outcomes.Line) bool {
				return only == nil || only(block.First+int64(offset), readFailure(line))
			})
			for _, offset := range dropped {
				again = appendTask(again, block.First+int64(offset))
			}
			for _, run := range stay {
				b.Queue(`
					with p as (update progress set records = records + 1 where job_id = $1 returning records)
					insert into outcomes (job_id, first, count, seq, chunk_id, failed, groups, outputs, durations)
					select $1, $2, $3, p.records, $4, $5, $6, $7, $8 from p`,
					id, run.First, run.Count, block.chunk, append([]int32{}, run.Failed...), signed(failing.add(run)), run.Outputs, outcomes.PackDurations(run.Durations))
				kept += int64(len(run.Failed))
			}
		}
		if err := failing.addTo(&b, id, 0); err != nil {
			return nil, 0, err
		}
		if err := tx.SendBatch(ctx, &b).Close(); err != nil {
			return nil, 0, wrap("keep other outcomes", err)
		}
	}
}

// appendTask appends a task behind all spans.
func appendTask(spans []jobs.Span, index int64) []jobs.Span {
	if n := len(spans); n > 0 && spans[n-1].First+int64(spans[n-1].Count) == index {
		spans[n-1].Count++
		return spans
	}
	return append(spans, jobs.Span{First: index, Count: 1})
}

// A reopening describes the next run of a job.
type reopening struct {
	selected     bool        // only the tasks of again; otherwise all without an outcome
	again        []jobs.Span // tasks whose failures were taken out
	keptFailures int64       // failures that stay
}

// reopen puts the tasks of the next run into the backlog, except those that were never
// claimed, and makes the job run again.
func (s *Store) reopen(ctx context.Context, tx pgx.Tx, id string, r reopening) error {
	if r.selected && len(r.again) == 0 {
		return fmt.Errorf("the job has no such failed task: %w", jobs.ErrConflict)
	}
	var b pgx.Batch
	if !r.selected {
		b.Queue(`delete from outcomes where job_id = $1 and cancelled`, id)
	}
	if r.selected {
		firsts, counts := make([]int64, len(r.again)), make([]int32, len(r.again))
		for i, span := range r.again {
			firsts[i], counts[i] = span.First, int32(span.Count)
		}
		b.Queue(`
			insert into backlog (job_id, first, count)
			select $1, first, count from unnest($2::bigint[], $3::int[]) as again (first, count)`, id, firsts, counts)
	} else {
		b.Queue(`
			insert into backlog (job_id, first, count)
			select $1, gap, least(next, p.cursor) - gap from (
				select first + count as gap, lead(first, 1, 9223372036854775807) over (order by first, count) as next
				from (select first, count from outcomes where job_id = $1 union all select 0, 0) o
			) gaps, progress p
			where p.job_id = $1 and gap < least(next, p.cursor)`, id)
	}
	// Tasks that a run of selected tasks leaves out count as cancelled from the start,
	// and none of them may be claimed at the cursor. The rate begins with the first
	// claim.
	var left bool
	b.Queue(`
		update progress set ended = false, halt = null, leased = 0, turns = 0,
			failed = $2::bigint, earlier_failed = $2::bigint,
			cancelled = case when $3 then total - succeeded - $2::bigint - $4::bigint else 0 end,
			cursor = case when $3 then total else cursor end,
			older_at = null, newer_at = null, newer_done = succeeded + $2::bigint,
			input_at = case when idle_us is not null then clock_timestamp() end
		where job_id = $1 and succeeded < total returning true`, id, r.keptFailures, r.selected, tasksIn(r.again)).
		Query(func(rows pgx.Rows) error {
			left = rows.Next()
			rows.Close()
			return rows.Err()
		})
	b.Queue(`
		update jobs set state = case when p.sealed then 'queued' else 'open' end, finished_at = null, started_at = null, reason = '',
			run = run + 1, retried_at = clock_timestamp(),
			run_after_chunk = coalesce((select max(c.id) from chunks c where c.job_id = $1), 0),
			earlier_succeeded = p.succeeded, earlier_cancelled = p.cancelled, earlier_user_us = p.user_us, earlier_system_us = p.system_us
		from progress p where p.job_id = $1 and jobs.id = $1`, id)
	b.Queue(`select pg_notify($1, $2)`, channel, id)
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return wrap("reopen job", err)
	}
	if !left {
		return fmt.Errorf("every task of the job succeeded: %w", jobs.ErrConflict)
	}
	return nil
}

// tasksIn returns the number of tasks in spans.
func tasksIn(spans []jobs.Span) (n int64) {
	for _, span := range spans {
		n += int64(span.Count)
	}
	return n
}
