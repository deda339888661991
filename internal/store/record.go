package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// A Piece is tasks that go to the backlog.
type BacklogSpan struct {
	First   int64
	Count   int
	Attempt int           // the attempt to come, from 1
	Losses  int           // processes that died with these tasks in hand
	Wait    time.Duration // before they may be claimed
}

// A Record is what became of a chunk.
type Record struct {
	Job   string
	Lease int64
	Count int // tasks under the lease now: as claimed, without what was given back

	Outcomes []outcomes.Encoded // outcomes
	Back     []BacklogSpan      // the rest: Runs and Back together have Count tasks
	Logs     []jobs.LogLine

	Attempts []Attempt // failed ones of the tasks in Back

	Usage Usage

	Halt   string // reason to stop the whole job as failed; empty for none
	Notify bool   // tell every node of it, though the job goes on
}

// Usage is what was measured of a chunk.
type Usage struct {
	StartedAt, FinishedAt time.Duration // before now, on this node's monotonic clock
	User, System          time.Duration // CPU time
	Tasks                 time.Duration // within tasks, summed over threads
	Moving                time.Duration // moving inputs and outputs
	PeakMemory            int64         // bytes
}

// Progress is what the store answers of a job when a lane has written.
type Progress struct {
	Held   bool   // the lease was ours; without it nothing was written
	Halted string // "", "paused", "failed" or "cancelled": why nothing more may be claimed
	Ended  bool   // the job has ended with this

	Total, Succeeded, Leased, Unclaimed int64
	Failed, FailuresAllowed             int64 // in the job's newest run
	Turns, Lanes                        int
}

const recordSQL = `
with c as (
	update chunks set state = 'done', count = $3, failed = $5,
		leased_at = least(leased_at, clock_timestamp() - $6::bigint * interval '1 microsecond'),
		started_at = clock_timestamp() - $6::bigint * interval '1 microsecond',
		finished_at = clock_timestamp() - $7::bigint * interval '1 microsecond',
		user_us = $8, system_us = $9, tasks_us = $10, moving_us = $11, peak_memory = $12
	where id = $1 and state = 'leased' returning job_id, attempt, losses
), p as (
	update progress set
		leased = leased - $2,
		succeeded = succeeded + $4,
		failed = progress.failed + $5,
		records = records + cardinality($13::bigint[]),
		user_us = progress.user_us + $8, system_us = progress.system_us + $9, tasks_us = progress.tasks_us + $10,
		halt = case when halt is distinct from 'cancelled' and ($20 <> '' or progress.failed - earlier_failed + $5 > failures_allowed) then 'failed' else halt end,
		older_at = case when newer_at < clock_timestamp() - interval '2 seconds' then newer_at else older_at end,
		older_done = case when newer_at < clock_timestamp() - interval '2 seconds' then newer_done else older_done end,
		newer_done = case when newer_at < clock_timestamp() - interval '2 seconds' then succeeded + $4 + progress.failed + $5 else newer_done end,
		newer_at = case when newer_at < clock_timestamp() - interval '2 seconds' then clock_timestamp() else newer_at end
	from c where progress.job_id = c.job_id
	returning progress.*
), o as (
	insert into outcomes (job_id, first, count, seq, chunk_id, failed, groups, outputs, durations)
	select p.job_id, r.first, r.count, p.records - cardinality($13::bigint[]) + r.n, $1, r.failed::integer[], r.groups::bigint[], r.outputs, r.durations
	from p, unnest($13::bigint[], $14::int[], $15::text[], $23::text[], $24::bytea[], $16::bytea[]) with ordinality as r (first, count, failed, groups, outputs, durations, n)
), b as (
	insert into backlog (job_id, first, count, attempt, losses, due_at, wait_us)
	select p.job_id, b.first, b.count, b.attempt, b.losses,
		case when b.wait > 0 then clock_timestamp() + b.wait * interval '1 microsecond' else '-infinity' end, b.wait
	from p, unnest($17::bigint[], $18::int[], $19::int[], $21::int[], $22::bigint[]) as b (first, count, attempt, losses, wait)
), stopped as (
	update jobs set reason = $20 from p where jobs.id = p.job_id and $20 <> '' and reason = ''
)
select coalesce(halt, ''), total, succeeded, failed - earlier_failed, leased, total - cursor, failures_allowed, turns, lanes from p`

// Record writes what became of a chunk, ends the job when that was its last,
// and claims the lane's next chunk where next is not nil: one round trip, one
// commit. When the lease is not held any more nothing is written, and nothing
// claimed matters: Progress.Held is false.
func (s *Store) Record(ctx context.Context, r Record, next *Claim) (Progress, Claimed, error) {
	var b pgx.Batch
	var p Progress
	var claimed Claimed
	succeeded, failures, err := r.addTo(&b, &p)
	if err != nil {
		return Progress{}, Claimed{}, err
	}
	if len(r.Logs) > 0 {
		if err := addLogs(&b, r.Job, r.Lease, r.Logs); err != nil {
			return Progress{}, Claimed{}, err
		}
	}
	var ended bool
	s.addFinish(&b, r.Job, &ended)
	// A failure may be the one too many.
	failed := len(failures) > 0
	switch {
	case r.Notify && failed:
		b.Queue(`select pg_notify($1, $2)`, channel, r.Job)
	case r.Notify:
		b.Queue(`select pg_notify($1, $2)`, channel, progressMark+r.Job)
	}
	if next != nil {
		next.addTo(&b, &claimed)
	}
	if err := s.Pool.SendBatch(ctx, &b).Close(); err != nil {
		return Progress{}, Claimed{}, wrap("record chunk", err)
	}
	p.Ended = ended
	if p.Held {
		s.counter.recorded(succeeded, failures)
	}
	if ended || r.Notify {
		s.Feed.wake(r.Job, ended || failed)
	}
	if next != nil && claimed.Lease != nil {
		p.Unclaimed = claimed.Unclaimed
		if err := s.complete(ctx, next, &claimed); err != nil {
			return Progress{}, Claimed{}, fmt.Errorf("claim chunk: %w", err)
		}
	}
	return p, claimed, nil
}

// addTo adds what Record writes. It returns the outcomes in it: how many
// succeeded, and how many failed by kind.
func (r Record) addTo(b *pgx.Batch, into *Progress) (succeeded int, failures map[jobs.ErrorKind]int64, err error) {
	var (
		firsts    = make([]int64, len(r.Outcomes))
		counts    = make([]int32, len(r.Outcomes))
		failed    = make([]string, len(r.Outcomes))
		outputs   = make([][]byte, len(r.Outcomes))
		durations = make([][]byte, len(r.Outcomes))
		groups    = make([]string, len(r.Outcomes))
		failing   = newFailures()
		done, bad int
	)
	for i, run := range r.Outcomes {
		firsts[i], counts[i], outputs[i], durations[i] = run.First, int32(run.Count), run.Outputs, outcomes.PackDurations(run.Durations)
		failed[i], groups[i] = arrayText(run.Failed), arrayText(signed(failing.add(run)))
		done += run.Count
		bad += len(run.Failed)
	}
	var (
		backFirsts  = make([]int64, len(r.Back))
		backCounts  = make([]int32, len(r.Back))
		backAttempt = make([]int32, len(r.Back))
		backLosses  = make([]int32, len(r.Back))
		backWaits   = make([]int64, len(r.Back))
	)
	for i, piece := range r.Back {
		backFirsts[i], backCounts[i] = piece.First, int32(piece.Count)
		backAttempt[i], backLosses[i] = int32(piece.Attempt), int32(piece.Losses)
		backWaits[i] = piece.Wait.Microseconds()
	}
	*into = Progress{}
	u := r.Usage
	b.Queue(recordSQL, r.Lease, r.Count, done, done-bad, bad,
		u.StartedAt.Microseconds(), u.FinishedAt.Microseconds(),
		u.User.Microseconds(), u.System.Microseconds(), u.Tasks.Microseconds(), u.Moving.Microseconds(), u.PeakMemory,
		firsts, counts, failed, durations,
		backFirsts, backCounts, backAttempt, r.Halt, backLosses, backWaits,
		groups,
		outputs, // last, so that what is large is copied once when the message grows
	).Query(func(rows pgx.Rows) error {
		defer rows.Close()
		for rows.Next() {
			into.Held = true
			if err := rows.Scan(&into.Halted, &into.Total, &into.Succeeded, &into.Failed, &into.Leased,
				&into.Unclaimed, &into.FailuresAllowed, &into.Turns, &into.Lanes); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	if bad > 0 {
		if err := failing.addTo(b, r.Job, r.Lease); err != nil {
			return 0, nil, err
		}
	}
	if len(r.Attempts) > 0 {
		r.addAttempts(b)
	}
	return done - bad, failing.kinds, nil
}

// GiveBack returns part of a chunk to the backlog while the rest of it runs on.
// count is how many tasks the lease still has after that. It reports whether
// the lease was held. The losses of a task count from when it is alone.
func (s *Store) GiveBack(ctx context.Context, lease int64, count int, back []jobs.Span) (Progress, error) {
	firsts, counts := make([]int64, len(back)), make([]int32, len(back))
	given := 0
	for i, span := range back {
		firsts[i], counts[i] = span.First, int32(span.Count)
		given += span.Count
	}
	var p Progress
	err := s.Pool.QueryRow(ctx, `
		with c as (
			update chunks set count = $2, losses = case when $2::int = 1 and $3::int > 0 then 0 else s.losses end
			from (select losses from chunks where id = $1) s
			where id = $1 and state = 'leased' returning job_id, attempt, s.losses
		), p as (
			update progress set leased = leased - $3 from c where progress.job_id = c.job_id returning progress.*
		), b as (
			insert into backlog (job_id, first, count, attempt, losses)
			select c.job_id, b.first, b.count, c.attempt, case when b.count = 1 and $2::int + $3::int > 1 then 0 else c.losses end
			from c, unnest($4::bigint[], $5::int[]) as b (first, count)
		)
		select coalesce(halt, ''), total, succeeded, failed - earlier_failed, leased, total - cursor, failures_allowed, turns, lanes from p`,
		lease, count, given, firsts, counts).
		Scan(&p.Halted, &p.Total, &p.Succeeded, &p.Failed, &p.Leased, &p.Unclaimed, &p.FailuresAllowed, &p.Turns, &p.Lanes)
	if errors.Is(err, pgx.ErrNoRows) {
		return Progress{}, nil
	}
	p.Held = err == nil
	return p, wrap("give back tasks", err)
}
