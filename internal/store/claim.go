package store

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// A Claim asks for a chunk of a job on behalf of one lane.
type Claim struct {
	Job  string
	Node string
	Lane int
	Core *int // where the lane's process is pinned, or nil

	Want  int  // tasks wanted; never more than a fair share of what is left is given
	Floor int  // tasks given although a fair share would be less
	Fixed bool // give Want, whatever the fair share

	Ranged bool          // the inputs are a range: none need be read
	First  bool          // the turn's first claim: the job may start with it
	Waited time.Duration // the turn's wait for its slot, in the line too, where First
}

// A Lease is a range of tasks that only its holder may record.
type Lease struct {
	ID      int64 // its number; it only grows
	First   int64
	Count   int
	Attempt int
	Losses  int
	Inputs  []byte // Count lines of JSON; nil for a range
}

// Claimed is the answer to a Claim.
type Claimed struct {
	Lease     *Lease // nil when there is nothing to claim now
	Unclaimed int64  // tasks at the cursor and later that are still unclaimed
	Lanes     int    // that the job may have
}

// claimable is the condition under which a piece b of the backlog may be claimed.
// Tasks that were lost twice are suspects, and only one chunk of suspects of a
// job is in hand at a time: so one that is innocent is not lost with the guilty
// again and again.
const claimable = ` b.due_at <= clock_timestamp() and (b.losses < 2 or not exists (
	select from chunks s where s.job_id = b.job_id and s.state = 'leased' and s.losses >= 2)) `

// claimSQL takes a piece of the backlog that is due, else tasks at the cursor.
// The progress row is locked first, so claims of one job follow each other. The
// fair share is what is left over twice the lanes that have turns (guided
// self-scheduling, Polychronopoulos and Kuck 1987), so that no lane is left with a
// long tail; a turn that is alone need not share.
//
// The first chunk of a turn that stood in the line is told by its wait, which is
// never recorded as 0.
//
// A piece that was lost twice is halved with each further claim, until the task
// that takes its node down is alone. The losses of a task count from when it is.
const claimSQL = `
with p as materialized (
	select total, cursor, lanes, case when least(lanes, turns) > 1 then 2.0 * least(lanes, turns) else 1 end as sharers from progress
	where job_id = $1 and halt is null and not ended for update
), piece as materialized (
	select b.id, b.first, b.count, b.attempt, b.losses from p, backlog b
	where b.job_id = $1 and ` + claimable + `
	order by b.due_at, b.id limit 1 for update of b
), t as materialized (
	select coalesce(piece.first, p.cursor) as first,
		case when piece.id is not null then least(piece.count, $5::int, case when piece.losses >= 2 then (piece.count + 1) / 2 else piece.count end)
		when $7 then least(p.total - p.cursor, $5::int)
		else least(p.total - p.cursor, greatest(least($5::int, ceil((p.total - p.cursor) / p.sharers)), $6::int))
		end::int as count,
		piece.id as piece, piece.count as piece_count,
		coalesce(piece.attempt, 1) as attempt, coalesce(piece.losses, 0) as piece_losses,
		p.total, p.cursor, p.lanes
	from p left join piece on true
), taken as (
	update progress set
		leased = progress.leased + t.count,
		cursor = progress.cursor + case when t.piece is null then t.count else 0 end,
		newer_at = coalesce(newer_at, clock_timestamp())
	from t where job_id = $1 and t.count > 0
), gone as (
	delete from backlog b using t where b.id = t.piece and t.count = t.piece_count
), shrunk as (
	update backlog b set first = b.first + t.count, count = b.count - t.count,
		losses = case when b.count - t.count = 1 then 0 else b.losses end
	from t where b.id = t.piece and t.count < t.piece_count
), c as (
	insert into chunks (job_id, first, count, state, attempt, losses, node_id, lane, core, leased_at, waiting_us)
	select $1, first, count, 'leased', attempt, case when count = 1 and piece_count > 1 then 0 else piece_losses end, $2, $3, $4, clock_timestamp(), greatest($9::bigint, $8::boolean::int) from t where count > 0
	returning id, first, count, attempt, losses
), started as (
	update jobs set state = case when state = 'queued' then 'running' else state end,
		started_at = coalesce(started_at, clock_timestamp())
	from c where jobs.id = $1 and $8 and (state = 'queued' or started_at is null)
)
select c.id, c.first, c.count, c.attempt, c.losses,
	t.total - t.cursor - case when t.piece is null then t.count else 0 end, t.lanes,
	i.first, i.data
from c, t left join input_blocks i
	on not $10 and i.job_id = $1 and i.first > t.first - 4096 and i.first < t.first + t.count and i.first + i.count > t.first
order by i.first`

func (c Claim) queue(b *pgx.Batch, into *Claimed) {
	b.Queue(claimSQL, c.Job, c.Node, c.Lane, c.Core, c.Want, c.Floor, c.Fixed, c.First, c.Waited.Microseconds(), c.Ranged).
		Query(into.scan)
}

func (c *Claimed) scan(rows pgx.Rows) error {
	defer rows.Close()
	*c = Claimed{}
	for rows.Next() {
		var l Lease
		var first *int64
		var data []byte
		if err := rows.Scan(&l.ID, &l.First, &l.Count, &l.Attempt, &l.Losses, &c.Unclaimed, &c.Lanes, &first, &data); err != nil {
			return err
		}
		if c.Lease == nil {
			c.Lease = &l
		}
		if first != nil {
			c.Lease.Inputs = appendLines(c.Lease.Inputs, data, *first, l.First, l.First+int64(l.Count))
		}
	}
	return rows.Err()
}

// complete reads the inputs of what was claimed where the claim did not see them
// all. It sees the progress of the job as it is once the lock on it is had, but
// everything else as it was when it began: of inputs that were appended while it
// waited for the lock it knows the number alone.
func (s *Store) complete(ctx context.Context, c *Claim, claimed *Claimed) error {
	l := claimed.Lease
	if l == nil || c.Ranged || bytes.Count(l.Inputs, []byte{'\n'}) == l.Count {
		return nil
	}
	rows, err := s.Pool.Query(ctx, `
		select i.first, i.data from input_blocks i
		where i.job_id = $1 and i.first > $2::bigint - 4096 and i.first < $3 and i.first + i.count > $2 order by i.first`,
		c.Job, l.First, l.First+int64(l.Count))
	if err != nil {
		return wrap("read inputs", err)
	}
	l.Inputs = nil
	var first int64
	var data []byte
	_, err = pgx.ForEachRow(rows, []any{&first, &data}, func() error {
		l.Inputs = appendLines(l.Inputs, data, first, l.First, l.First+int64(l.Count))
		return nil
	})
	if err != nil {
		return wrap("read inputs", err)
	}
	if n := bytes.Count(l.Inputs, []byte{'\n'}); n != l.Count {
		return fmt.Errorf("chunk %d has %d tasks but %d inputs are stored", l.ID, l.Count, n)
	}
	return nil
}

// appendLines appends to dst those lines of a block, whose first line has index
// at, that have an index in [from, to).
func appendLines(dst, block []byte, at, from, to int64) []byte {
	for at < from && len(block) > 0 {
		block = block[bytes.IndexByte(block, '\n')+1:]
		at++
	}
	end := 0
	for at < to && end < len(block) {
		end += bytes.IndexByte(block[end:], '\n') + 1
		at++
	}
	return append(dst, block[:end]...)
}

// Claim takes a chunk of a job. Its commit does not wait for the disk: a claim
// that a crash of Postgres forgets was never made, and its record is refused.
func (s *Store) Claim(ctx context.Context, c Claim) (Claimed, error) {
	var b pgx.Batch
	b.Queue(`select set_config('synchronous_commit', 'off', true)`)
	var claimed Claimed
	c.queue(&b, &claimed)
	if err := s.Pool.SendBatch(ctx, &b).Close(); err != nil {
		return Claimed{}, wrap("claim chunk", err)
	}
	if err := s.complete(ctx, &c, &claimed); err != nil {
		return Claimed{}, fmt.Errorf("claim chunk: %w", err)
	}
	return claimed, nil
}

// A Piece is tasks that go to the backlog.
type Piece struct {
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

	Runs []outcomes.Encoded // outcomes
	Back []Piece            // the rest: Runs and Back together have Count tasks
	Logs []jobs.LogLine

	Attempts []Attempt // failed ones of the tasks in Back

	StartedAt, FinishedAt       time.Duration // before now, on this node's monotonic clock
	User, System, Tasks, Moving time.Duration
	PeakMemory                  int64 // bytes

	Halt   string // reason to stop the whole job as failed; empty for none
	Notify bool   // tell every node of it, though the job goes on
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

// finishSQL ends a job that has nothing left to do. Whoever commits a job's
// last outcome runs it in the same transaction, under the progress row's lock.
// Until a job ends, cancelled counts the tasks that its newest run leaves out.
const finishSQL = `
with e as (
	update progress set ended = true, cancelled = total - succeeded - failed
	where job_id = $1 and not ended and leased = 0
		and (halt in ('failed', 'cancelled') or sealed and succeeded + failed + cancelled = total)
	returning *
), j as (
	update jobs set
		state = case when e.halt = 'cancelled' then 'cancelled' when e.halt = 'failed' or e.failed > 0 then 'failed'
			when e.cancelled > 0 then 'cancelled' else 'succeeded' end,
		started_at = least(started_at, clock_timestamp()),
		finished_at = clock_timestamp(),
		reason = case
			when reason <> '' then reason
			when e.halt = 'cancelled' then ''
			when e.halt = 'failed' then format('stopped after %s failed tasks: max_failures allows %s', e.failed - e.earlier_failed, e.failures_allowed)
			when e.failed > 0 then format('%s of %s tasks failed', e.failed, e.total)
			else '' end
	from e where jobs.id = e.job_id returning jobs.id, jobs.state, e.cancelled - jobs.earlier_cancelled as cancelled
), gone as (
	delete from backlog where job_id in (select id from j)
)
select state, cancelled, pg_notify('` + channel + `', id::text) from j`

func (s *Store) queueFinish(b *pgx.Batch, job string, ended *bool) {
	*ended = false
	b.Queue(finishSQL, job).Query(func(rows pgx.Rows) error {
		var state jobs.State
		var cancelled int64
		_, err := pgx.ForEachRow(rows, []any{&state, &cancelled, nil}, func() error {
			*ended = true
			s.counter.ended(state, cancelled)
			return nil
		})
		return err
	})
}

// Record writes what became of a chunk, ends the job when that was its last,
// and claims the lane's next chunk where next is not nil: one round trip, one
// commit. When the lease is not held any more nothing is written, and nothing
// claimed matters: Progress.Held is false.
func (s *Store) Record(ctx context.Context, r Record, next *Claim) (Progress, Claimed, error) {
	var b pgx.Batch
	var p Progress
	var claimed Claimed
	succeeded, failures, err := r.queue(&b, &p)
	if err != nil {
		return Progress{}, Claimed{}, err
	}
	if len(r.Logs) > 0 {
		if err := queueLogs(&b, r.Job, r.Lease, r.Logs); err != nil {
			return Progress{}, Claimed{}, err
		}
	}
	var ended bool
	s.queueFinish(&b, r.Job, &ended)
	// A failure may be the one too many.
	failed := len(failures) > 0
	switch {
	case r.Notify && failed:
		b.Queue(`select pg_notify($1, $2)`, channel, r.Job)
	case r.Notify:
		b.Queue(`select pg_notify($1, $2)`, channel, progressMark+r.Job)
	}
	if next != nil {
		next.queue(&b, &claimed)
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

// queue queues what Record writes. It returns the outcomes in it: how many
// succeeded, and how many failed by kind.
func (r Record) queue(b *pgx.Batch, into *Progress) (succeeded int, failures map[jobs.ErrorKind]int64, err error) {
	var (
		firsts    = make([]int64, len(r.Runs))
		counts    = make([]int32, len(r.Runs))
		failed    = make([]string, len(r.Runs))
		outputs   = make([][]byte, len(r.Runs))
		durations = make([][]byte, len(r.Runs))
		groups    = make([]string, len(r.Runs))
		failing   = newFailures()
		done, bad int
	)
	for i, run := range r.Runs {
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
	b.Queue(recordSQL, r.Lease, r.Count, done, done-bad, bad,
		r.StartedAt.Microseconds(), r.FinishedAt.Microseconds(),
		r.User.Microseconds(), r.System.Microseconds(), r.Tasks.Microseconds(), r.Moving.Microseconds(), r.PeakMemory,
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
		if err := failing.queue(b, r.Job, r.Lease); err != nil {
			return 0, nil, err
		}
	}
	if len(r.Attempts) > 0 {
		r.queueAttempts(b)
	}
	return done - bad, failing.kinds, nil
}

// arrayText is numbers as the text of a Postgres array: an array of arrays
// cannot have rows of different length.
func arrayText[T int32 | int64](numbers []T) string {
	text := []byte{'{'}
	for i, n := range numbers {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendInt(text, int64(n), 10)
	}
	return string(append(text, '}'))
}

// cut shortens s to at most n bytes, on a character's border, without NULs,
// which text columns cannot hold.
func cut(s string, n int) string {
	s = string(bytes.ToValidUTF8(bytes.ReplaceAll([]byte(s), []byte{0}, []byte("�")), []byte("�")))
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n] + "…"
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
	if err == pgx.ErrNoRows {
		return Progress{}, nil
	}
	p.Held = err == nil
	return p, wrap("give back tasks", err)
}

// Missing says how many turns a job lacks, as part of tx, and counts them in:
// the caller inserts them in the same transaction, for the lanes from first on.
func (s *Store) Missing(ctx context.Context, tx pgx.Tx, job string) (first, n int, err error) {
	err = tx.QueryRow(ctx, `
		with p as materialized (
			select * from progress where job_id = $1 and halt is null and not ended for update
		), need as (
			select least(p.lanes, p.total - p.cursor + coalesce((
				select sum(b.count) from backlog b where b.job_id = $1 and `+claimable+`), 0)
				+ p.leased) as n from p
		)
		update progress set turns = greatest(turns, need.n) from need
		where job_id = $1 and need.n > turns and (cursor < total or exists (
			select from backlog b where b.job_id = $1 and `+claimable+`))
		returning (select turns from p), need.n - (select turns from p)`, job).Scan(&first, &n)
	if err == pgx.ErrNoRows {
		return 0, 0, nil
	}
	return first, n, wrap("count missing turns", err)
}

// sortedJobs is the keys of m in the order in which progress rows are locked.
func sortedJobs[V any](m map[string]V) []string {
	ids := make([]string, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
