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

// A BacklogSpan is a span of tasks that goes to the backlog.
type BacklogSpan struct {
	First   int64
	Count   int
	Attempt int           // the attempt to come, from 1
	Losses  int           // processes that died while they ran these tasks
	Wait    time.Duration // before they may be claimed
}

// A Record is the result of a lease, or of a part of it.
type Record struct {
	Job   string
	Lease int64
	Count int // tasks that leave the lease: those of Outcomes and Back together

	// Left are the tasks that stay under the lease, ascending, where its chunk goes on;
	// there must be one. Without Left the chunk has ended.
	Left []jobs.Span

	Outcomes []outcomes.Encoded
	Back     []BacklogSpan
	Attempts []Attempt // failed ones of the tasks in Back
	Logs     []jobs.LogLine
	Usage    Usage

	Halt   string // reason to stop the whole job as failed; empty for none
	Notify bool   // notify the other nodes, though the job goes on
}

// Usage holds the measurements of a chunk.
type Usage struct {
	StartedAt, FinishedAt time.Duration // before now, on this node's monotonic clock
	User, System          time.Duration // CPU time
	Tasks                 time.Duration // the tasks' wall time, summed
	Moving                time.Duration // decoding inputs, encoding and moving outputs
	PeakMemory            int64         // bytes
}

// Progress is the state of a job after a lane has written.
type Progress struct {
	Held   bool   // the lease was held; otherwise nothing was written
	Halted string // "", "paused", "failed" or "cancelled": why nothing more may be claimed
	Ended  bool   // the job has ended with this record

	TaskCounts
	Turns, Lanes int
}

// TaskCounts are tasks of a job by state.
type TaskCounts struct {
	Total, Succeeded, Leased, Unclaimed int64
	Failed, FailuresAllowed             int64 // in the job's newest run
}

// progressColumns are the columns of progress that Progress.columns scans.
const progressColumns = `coalesce(halt, ''), total, succeeded, failed - earlier_failed, leased, total - cursor, failures_allowed, turns, lanes`

func (p *Progress) columns() []any {
	return []any{&p.Halted, &p.Total, &p.Succeeded, &p.Failed, &p.Leased, &p.Unclaimed, &p.FailuresAllowed, &p.Turns, &p.Lanes}
}

// recordStatement moves a lease from leased to done, or lowers what is left of it, and
// only then writes its outcomes, its backlog spans and the job's progress. A part is
// recorded only while as much is left as its holder knows, so that a repeated record of
// it changes nothing. The clock is read once, before the statement waits for a lock.
//
// A job's rate is measured from older_at on. Every two seconds newer_at, with the
// number of tasks ended by then, becomes older_at, and newer_at the present.
var recordStatement = newStatement(`
with now as materialized (
	select clock_timestamp() as at
), c as (
	update chunks set state = case when @part then 'leased' else 'done' end, failed = failed + @failed,
		count = case when @part then @left::int else recorded + @done::int end, recorded = case when @part then recorded + @done else 0 end,
		rest = case when @part then nullif(@rest::bigint[], array[first, @left::bigint]) end,
		losses = case when @part and @left = 1 then 0 else losses end,
		leased_at = least(leased_at, now.at - @started::bigint * interval '1 microsecond'),
		started_at = case when @part and @started = 0 then started_at else now.at - @started::bigint * interval '1 microsecond' end,
		finished_at = case when not @part then now.at - @finished::bigint * interval '1 microsecond' end,
		user_us = @user, system_us = @system, tasks_us = @tasks, moving_us = @moving, peak_memory = @peak_memory
	from now where id = @lease and state = 'leased' and (not @part or count = @left::int + @leased::int) returning job_id, now.at
), p as (
	update progress set
		leased = leased - @leased,
		succeeded = succeeded + @succeeded,
		failed = progress.failed + @failed,
		records = records + cardinality(@firsts::bigint[]),
		user_us = progress.user_us + @user, system_us = progress.system_us + @system, tasks_us = progress.tasks_us + @tasks,
		halt = case when halt is distinct from 'cancelled' and (@halt <> '' or progress.failed - earlier_failed + @failed > failures_allowed) then 'failed' else halt end,
		older_at = case when newer_at < c.at - interval '2 seconds' then newer_at else older_at end,
		older_done = case when newer_at < c.at - interval '2 seconds' then newer_done else older_done end,
		newer_done = case when newer_at < c.at - interval '2 seconds' then succeeded + @succeeded + progress.failed + @failed else newer_done end,
		newer_at = case when newer_at < c.at - interval '2 seconds' then c.at else newer_at end
	from c where progress.job_id = c.job_id
	returning progress.*, c.at
), o as (
	insert into outcomes (job_id, first, count, seq, chunk_id, failed, groups, outputs, durations)
	select p.job_id, r.first, r.count, p.records - cardinality(@firsts::bigint[]) + r.n, @lease, r.failed::integer[], r.groups::bigint[], r.outputs, r.durations
	from p, unnest(@firsts::bigint[], @counts::int[], @failed_offsets::text[], @groups::text[], @outputs::bytea[], @durations::bytea[])
		with ordinality as r (first, count, failed, groups, outputs, durations, n)
), b as (
	insert into backlog (job_id, first, count, attempt, losses, due_at, wait_us)
	select p.job_id, b.first, b.count, b.attempt, b.losses,
		case when b.wait > 0 then p.at + b.wait * interval '1 microsecond' else '-infinity' end, b.wait
	from p, unnest(@back_firsts::bigint[], @back_counts::int[], @back_attempts::int[], @back_losses::int[], @back_waits::bigint[])
		as b (first, count, attempt, losses, wait)
), stopped as (
	update jobs set reason = @halt from p where jobs.id = p.job_id and @halt <> '' and reason = ''
)
select `+progressColumns+` from p`,
	param[recordRow]{"lease", func(r *recordRow) any { return r.Lease }},
	param[recordRow]{"leased", func(r *recordRow) any { return r.Count }},
	param[recordRow]{"part", func(r *recordRow) any { return len(r.Left) > 0 }},
	param[recordRow]{"left", func(r *recordRow) any { return tasksIn(r.Left) }},
	param[recordRow]{"rest", func(r *recordRow) any { return flat(r.Left) }},
	param[recordRow]{"done", func(r *recordRow) any { return r.succeeded + r.failed }},
	param[recordRow]{"succeeded", func(r *recordRow) any { return r.succeeded }},
	param[recordRow]{"failed", func(r *recordRow) any { return r.failed }},
	param[recordRow]{"started", func(r *recordRow) any { return r.Usage.StartedAt.Microseconds() }},
	param[recordRow]{"finished", func(r *recordRow) any { return r.Usage.FinishedAt.Microseconds() }},
	param[recordRow]{"user", func(r *recordRow) any { return r.Usage.User.Microseconds() }},
	param[recordRow]{"system", func(r *recordRow) any { return r.Usage.System.Microseconds() }},
	param[recordRow]{"tasks", func(r *recordRow) any { return r.Usage.Tasks.Microseconds() }},
	param[recordRow]{"moving", func(r *recordRow) any { return r.Usage.Moving.Microseconds() }},
	param[recordRow]{"peak_memory", func(r *recordRow) any { return r.Usage.PeakMemory }},
	param[recordRow]{"halt", func(r *recordRow) any { return r.Halt }},
	param[recordRow]{"back_firsts", func(r *recordRow) any { return r.back.firsts }},
	param[recordRow]{"back_counts", func(r *recordRow) any { return r.back.counts }},
	param[recordRow]{"back_attempts", func(r *recordRow) any { return r.back.attempts }},
	param[recordRow]{"back_losses", func(r *recordRow) any { return r.back.losses }},
	param[recordRow]{"back_waits", func(r *recordRow) any { return r.back.waits }},
	param[recordRow]{"firsts", func(r *recordRow) any { return r.outcomes.firsts }},
	param[recordRow]{"counts", func(r *recordRow) any { return r.outcomes.counts }},
	param[recordRow]{"failed_offsets", func(r *recordRow) any { return r.outcomes.failed }},
	param[recordRow]{"groups", func(r *recordRow) any { return r.outcomes.groups }},
	param[recordRow]{"durations", func(r *recordRow) any { return r.outcomes.durations }},
	// Last, so that large outputs are copied once when the message grows.
	param[recordRow]{"outputs", func(r *recordRow) any { return r.outcomes.outputs }},
)

// A recordRow holds the parameters of recordStatement for a Record.
type recordRow struct {
	*Record
	succeeded, failed int // tasks
	outcomes          outcomeColumns
	back              backlogColumns
}

// outcomeColumns are rows of outcomes, a slice for each column.
type outcomeColumns struct {
	firsts             []int64
	counts             []int32
	failed, groups     []string // arrays as text, see arrayText
	outputs, durations [][]byte
}

// backlogColumns are rows of the backlog, a slice for each column.
type backlogColumns struct {
	firsts                   []int64
	counts, attempts, losses []int32
	waits                    []int64 // µs
}

// newRecordRow spreads a record over columns, and adds its failures to failing.
func newRecordRow(r *Record, failing *failures) *recordRow {
	n := len(r.Outcomes)
	row := &recordRow{Record: r, outcomes: outcomeColumns{
		firsts: make([]int64, n), counts: make([]int32, n), failed: make([]string, n), groups: make([]string, n),
		outputs: make([][]byte, n), durations: make([][]byte, n),
	}}
	o := &row.outcomes
	for i, e := range r.Outcomes {
		o.firsts[i], o.counts[i], o.outputs[i], o.durations[i] = e.First, int32(e.Count), e.Outputs, outcomes.PackDurations(e.Durations)
		o.failed[i], o.groups[i] = arrayText(e.Failed), arrayText(signed(failing.add(e)))
		row.succeeded += e.Count - len(e.Failed)
		row.failed += len(e.Failed)
	}
	n = len(r.Back)
	row.back = backlogColumns{
		firsts: make([]int64, n), counts: make([]int32, n), attempts: make([]int32, n), losses: make([]int32, n), waits: make([]int64, n),
	}
	for i, s := range r.Back {
		row.back.firsts[i], row.back.counts[i] = s.First, int32(s.Count)
		row.back.attempts[i], row.back.losses[i] = int32(s.Attempt), int32(s.Losses)
		row.back.waits[i] = s.Wait.Microseconds()
	}
	return row
}

// flat returns spans as first, count, first, count, …
func flat(spans []jobs.Span) []int64 {
	rest := make([]int64, 0, 2*len(spans))
	for _, s := range spans {
		rest = append(rest, s.First, int64(s.Count))
	}
	return rest
}

// spansLeft has the spans that are left under a leased chunk c, as rows of span.
const spansLeft = ` cross join lateral (
	select c.first, c.count where c.rest is null
	union all
	select c.rest[i], c.rest[i + 1]::int from generate_subscripts(c.rest, 1) i where i % 2 = 1) span `

// Record writes the outcomes of a lease, or of a part of it, ends the job when that was
// its last one, and claims the lane's next chunk if next is not nil: one round trip,
// one commit. When the lease is not held any more nothing of it is written and
// Progress.Held is false.
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
	if len(r.Left) == 0 { // a job with a leased task does not end
		s.addFinish(&b, r.Job, &ended)
	}
	about := outcomeNews
	if r.Notify {
		if len(failures) > 0 { // one of them may stop the job
			about = stateNews
		}
		b.Queue(`select pg_notify($1, $2)`, channel, s.Feed.payload(r.Job, about))
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
	if ended {
		about = stateNews
	}
	s.Feed.wake(r.Job, about)
	if next != nil && claimed.Lease != nil {
		p.Unclaimed = claimed.Unclaimed
		if err := s.complete(ctx, next, &claimed); err != nil {
			return Progress{}, Claimed{}, fmt.Errorf("claim chunk: %w", err)
		}
	}
	return p, claimed, nil
}

// addTo adds the statements that write the record. It returns the outcomes in it:
// how many succeeded, and how many failed by kind.
func (r Record) addTo(b *pgx.Batch, into *Progress) (succeeded int, failures map[jobs.ErrorKind]int64, err error) {
	failing := newFailures()
	row := newRecordRow(&r, failing)
	*into = Progress{}
	recordStatement.addTo(b, row).Query(func(rows pgx.Rows) error {
		defer rows.Close()
		for rows.Next() {
			into.Held = true
			if err := rows.Scan(into.columns()...); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	if row.failed > 0 {
		if err := failing.addTo(b, r.Job, r.Lease); err != nil {
			return 0, nil, err
		}
	}
	if len(r.Attempts) > 0 {
		r.addAttempts(b)
	}
	return row.succeeded, failing.kinds, nil
}

// GiveBack returns part of a lease to the backlog while the rest of it, left, runs on.
// Progress.Held reports whether the lease was held with as many tasks. The losses of a
// task count from when it is alone.
func (s *Store) GiveBack(ctx context.Context, lease int64, left, back []jobs.Span) (Progress, error) {
	return giveBack(ctx, s.Pool, lease, left, back)
}

func giveBack(ctx context.Context, q querier, lease int64, left, back []jobs.Span) (Progress, error) {
	firsts, counts := make([]int64, len(back)), make([]int32, len(back))
	for i, span := range back {
		firsts[i], counts[i] = span.First, int32(span.Count)
	}
	var p Progress
	err := q.QueryRow(ctx, `
		with c as (
			update chunks set count = $2, losses = case when $2::int = 1 and $3::int > 0 then 0 else s.losses end,
				rest = nullif($6::bigint[], array[first, $2::bigint])
			from (select losses from chunks where id = $1) s
			where id = $1 and state = 'leased' and count = $2::int + $3::int returning job_id, attempt, s.losses
		), p as (
			update progress set leased = leased - $3 from c where progress.job_id = c.job_id returning progress.*
		), b as (
			insert into backlog (job_id, first, count, attempt, losses)
			select c.job_id, b.first, b.count, c.attempt, case when b.count = 1 and $2::int + $3::int > 1 then 0 else c.losses end
			from c, unnest($4::bigint[], $5::int[]) as b (first, count)
		)
		select `+progressColumns+` from p`,
		lease, tasksIn(left), tasksIn(back), firsts, counts, flat(left)).
		Scan(p.columns()...)
	if errors.Is(err, pgx.ErrNoRows) {
		return Progress{}, nil
	}
	p.Held = err == nil
	return p, wrap("give back tasks", err)
}
