package store

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Claim asks for a chunk of a job on behalf of a lane.
type Claim struct {
	Job  string
	Node string
	Lane int
	Core *int // to which the lane's process is pinned, or nil

	Want  int  // tasks wanted; a claim gets at most its fair share of what is left
	Floor int  // tasks that it gets although its fair share is smaller
	Fixed bool // it gets Want, whatever its fair share

	Ranged bool          // the inputs are a range: none need be read
	First  bool          // the turn's first claim: the job may start with it
	Waited time.Duration // for a slot, in River's queue too; where First
}

// A Lease is a chunk that only its holder may record.
type Lease struct {
	ID      int64 // its number; later leases have larger ones
	First   int64
	Count   int
	Attempt int
	Losses  int
	Inputs  []byte // Count lines of JSON; nil for a range
}

// Claimed is the answer to a Claim.
type Claimed struct {
	Lease     *Lease // nil when nothing can be claimed now
	Unclaimed int64  // tasks from the cursor on
	Lanes     int    // that the job may have
}

// claimable is the condition under which a span b of the backlog may be claimed.
// Tasks that were lost twice are suspects. Only one chunk of a job's suspects is
// leased at a time, so that an innocent task is not lost with the guilty one
// again and again.
const claimable = ` b.due_at <= clock_timestamp() and (b.losses < 2 or not exists (
	select from chunks s where s.job_id = b.job_id and s.state = 'leased' and s.losses >= 2)) `

// claimStatement claims a span of the backlog that is due, else tasks at the
// cursor. It locks the progress row first, so claims of one job run one after the
// other. The fair share is the rest divided by twice the lanes that have turns (guided
// self-scheduling, Polychronopoulos and Kuck 1987), so that no lane is left with a
// long tail. A single turn need not share.
//
// waiting_us > 0 marks the first chunk of a queued turn.
//
// A span that was lost twice is halved with each further claim, until the task
// that ends its process is alone. The losses of a task count from then on.
var claimStatement = newStatement(`
with p as materialized (
	select total, cursor, lanes, case when least(lanes, turns) > 1 then 2.0 * least(lanes, turns) else 1 end as sharers from progress
	where job_id = @job and halt is null and not ended for update
), span as materialized (
	select b.id, b.first, b.count, b.attempt, b.losses from p, backlog b
	where b.job_id = @job and `+claimable+`
	order by b.due_at, b.id limit 1 for update of b
), t as materialized (
	select coalesce(span.first, p.cursor) as first,
		case when span.id is not null then least(span.count, @want::int, case when span.losses >= 2 then (span.count + 1) / 2 else span.count end)
		when @fixed then least(p.total - p.cursor, @want::int)
		else least(p.total - p.cursor, greatest(least(@want::int, ceil((p.total - p.cursor) / p.sharers)), @floor::int))
		end::int as count,
		span.id as span, span.count as span_count,
		coalesce(span.attempt, 1) as attempt, coalesce(span.losses, 0) as span_losses,
		p.total, p.cursor, p.lanes
	from p left join span on true
), taken as (
	update progress set
		leased = progress.leased + t.count,
		cursor = progress.cursor + case when t.span is null then t.count else 0 end,
		newer_at = coalesce(newer_at, clock_timestamp())
	from t where job_id = @job and t.count > 0
), gone as (
	delete from backlog b using t where b.id = t.span and t.count = t.span_count
), shrunk as (
	update backlog b set first = b.first + t.count, count = b.count - t.count,
		losses = case when b.count - t.count = 1 then 0 else b.losses end
	from t where b.id = t.span and t.count < t.span_count
), c as (
	insert into chunks (job_id, first, count, state, attempt, losses, node_id, lane, core, leased_at, waiting_us)
	select @job, first, count, 'leased', attempt, case when count = 1 and span_count > 1 then 0 else span_losses end,
		@node, @lane, @core, clock_timestamp(), greatest(@waited::bigint, @is_first::boolean::int) from t where count > 0
	returning id, first, count, attempt, losses
), started as (
	update jobs set state = case when state = 'queued' then 'running' else state end,
		started_at = coalesce(started_at, clock_timestamp())
	from c where jobs.id = @job and @is_first and (state = 'queued' or started_at is null)
)
select c.id, c.first, c.count, c.attempt, c.losses,
	t.total - t.cursor - case when t.span is null then t.count else 0 end, t.lanes,
	i.first, i.data
from c, t left join input_blocks i
	on not @ranged and i.job_id = @job and i.first > t.first - 4096 and i.first < t.first + t.count and i.first + i.count > t.first
order by i.first`,
	param[Claim]{"job", func(c *Claim) any { return c.Job }},
	param[Claim]{"node", func(c *Claim) any { return c.Node }},
	param[Claim]{"lane", func(c *Claim) any { return c.Lane }},
	param[Claim]{"core", func(c *Claim) any { return c.Core }},
	param[Claim]{"want", func(c *Claim) any { return c.Want }},
	param[Claim]{"floor", func(c *Claim) any { return c.Floor }},
	param[Claim]{"fixed", func(c *Claim) any { return c.Fixed }},
	param[Claim]{"is_first", func(c *Claim) any { return c.First }},
	param[Claim]{"waited", func(c *Claim) any { return c.Waited.Microseconds() }},
	param[Claim]{"ranged", func(c *Claim) any { return c.Ranged }},
)

// share returns how many tasks the claim gets at the cursor. left tasks are unclaimed
// and sharers lanes have turns. claimStatement has the same rule, for a job that is
// stored already; TestClaimRule holds them equal.
func (c Claim) share(left int64, sharers int) int64 {
	if c.Fixed {
		return min(left, int64(c.Want))
	}
	fair := left
	if sharers > 1 {
		fair = (left + int64(2*sharers) - 1) / int64(2*sharers)
	}
	return min(left, max(min(int64(c.Want), fair), int64(c.Floor)))
}

func (c *Claim) addTo(b *pgx.Batch, into *Claimed) {
	claimStatement.addTo(b, c).Query(into.scan)
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

// complete reads the inputs of a lease where the claim did not see them all. A
// claim sees the job's progress as it is after the lock on it, but everything else
// as it was when the claim began: of inputs that were appended while it waited for
// the lock it sees only the number.
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

// asyncCommit makes the commit of a transaction not wait for the disk.
const asyncCommit = `select set_config('synchronous_commit', 'off', true)`

// Claim leases the next chunk of the job to the lane. Its commit does not wait for
// the disk: after a crash of Postgres that loses it, the lease's record is refused.
func (s *Store) Claim(ctx context.Context, c Claim) (Claimed, error) {
	var b pgx.Batch
	b.Queue(asyncCommit)
	var claimed Claimed
	c.addTo(&b, &claimed)
	if err := s.Pool.SendBatch(ctx, &b).Close(); err != nil {
		return Claimed{}, wrap("claim chunk", err)
	}
	if err := s.complete(ctx, &c, &claimed); err != nil {
		return Claimed{}, fmt.Errorf("claim chunk: %w", err)
	}
	return claimed, nil
}
