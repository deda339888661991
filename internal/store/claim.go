package store

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
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

// share returns how many tasks the claim gets of those at the cursor, of which left
// are unclaimed and sharers lanes have turns. claimSQL has the same rule, for a
// job that is stored already; TestClaimRule holds them equal.
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

func (c Claim) addTo(b *pgx.Batch, into *Claimed) {
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

// Claim takes a chunk of a job. Its commit does not wait for the disk: a claim
// that a crash of Postgres forgets was never made, and its record is refused.
func (s *Store) Claim(ctx context.Context, c Claim) (Claimed, error) {
	var b pgx.Batch
	b.Queue(`select set_config('synchronous_commit', 'off', true)`)
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
