package store

import (
	"context"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
)

// A CancelRequest asks to cancel tasks of a job that have not started.
type CancelRequest struct {
	Viewer Viewer
	Job    string
	Tasks  jobs.Spans // nil for all that wait
	Key    *Key       // nil for none

	// Asked are leases whose lanes have answered a recall: what such a lease still has
	// is running.
	Asked []int64
}

// everyTask selects all tasks of a job.
var everyTask = jobs.Spans{{First: 0, Count: math.MaxInt64}}

// A Cancellation is what became of a CancelRequest. Of a request for all that wait only
// Recalled is known.
type Cancellation struct {
	Cancelled int64      // tasks of the request that are cancelled, now or before
	Running   jobs.Spans // tasks of the request under a lease
	Ended     jobs.Spans // tasks of the request with another outcome
	Recalled  []int64    // leases with tasks of the request, whose lanes were asked to give those back
}

// CancelTasks cancels tasks that wait: they count as cancelled and have their line in
// the results from now on, and the job ends without them. Tasks under a lease may have
// started, so their lane is asked to give them back; it cancels them with that.
// [Store.Recalling] reports whether lanes have yet to answer. The error is ErrNotFound
// for a task that the job does not have, and ErrConflict when all that wait are asked
// for and the job has ended other than as cancelled.
func (s *Store) CancelTasks(ctx context.Context, r CancelRequest) (c Cancellation, err error) {
	err = s.change(ctx, r.Viewer, r.Job, r.Key, func(tx pgx.Tx, state jobs.State) error {
		p := taskCanceller{store: s, tx: tx, job: r.Job}
		if err := p.read(ctx); err != nil {
			return err
		}
		wanted := r.Tasks
		switch {
		case wanted == nil && state == jobs.Cancelled:
			return nil
		case wanted == nil && state.Ended():
			return fmt.Errorf("the job has already ended as %s: %w", state, jobs.ErrConflict)
		case wanted == nil:
			wanted = everyTask
		case wanted[0].First < 0 || wanted[len(wanted)-1].End() > p.total:
			return fmt.Errorf("the job has %d tasks: %w", p.total, jobs.ErrNotFound)
		}
		if !state.Ended() {
			if err := p.cancel(ctx, wanted); err != nil {
				return err
			}
		}
		c, err = p.rest(ctx, r, wanted)
		return err
	})
	return c, err
}

// rest finds out what became of the wanted tasks that p has not cancelled. It recalls
// those under leases that were not asked before. Those that neither have an outcome nor
// are under a lease are cancelled too: the job's newest run leaves them out, or the job
// has ended without them.
func (p *taskCanceller) rest(ctx context.Context, r CancelRequest, wanted jobs.Spans) (c Cancellation, err error) {
	rest := wanted
	if r.Tasks != nil {
		rest = wanted.Without(p.cancelled)
		if c.Ended, err = p.withOutcome(ctx, rest); err != nil {
			return c, err
		}
		rest = rest.Without(c.Ended)
	}
	if len(rest) > 0 && p.leased > 0 {
		if c.Running, c.Recalled, err = p.recall(ctx, rest, r.Asked); err != nil {
			return c, err
		}
	}
	if r.Tasks != nil {
		c.Cancelled = wanted.Tasks() - c.Ended.Tasks() - c.Running.Tasks()
	}
	return c, nil
}

// withOutcome returns the tasks that have succeeded or failed.
func (p *taskCanceller) withOutcome(ctx context.Context, tasks jobs.Spans) (jobs.Spans, error) {
	firsts, ends := make([]int64, len(tasks)), make([]int64, len(tasks))
	for i, span := range tasks {
		firsts[i], ends[i] = span.First, span.End()
	}
	rows, err := p.tx.Query(ctx, `
		select o.first, o.count from unnest($2::bigint[], $3::bigint[]) as t (first, "end") cross join lateral (
			select first, count from outcomes where job_id = $1 and not cancelled and first < t."end" and first + count > t.first
				and first >= coalesce((select max(b.first) from outcomes b where b.job_id = $1 and b.first <= t.first), 0)
		) o`, p.job, firsts, ends)
	if err != nil {
		return nil, wrap("read outcomes", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[jobs.Span])
	return tasks.And(jobs.Union(found)), wrap("read outcomes", err)
}

// recall returns which of the tasks are under leases, and asks the lanes of those leases
// that are not among asked.
func (p *taskCanceller) recall(ctx context.Context, tasks jobs.Spans, asked []int64) (running jobs.Spans, leases []int64, err error) {
	rows, err := p.tx.Query(ctx, `
		select c.id, span.first, span.count, c.id = any($2) from chunks c `+spansLeft+`
		where c.state = 'leased' and c.job_id = $1 and c.count > 0`, p.job, append([]int64{}, asked...))
	if err != nil {
		return nil, nil, wrap("read leases", err)
	}
	var under []jobs.Span
	var firsts []int64
	var counts []int32
	var lease int64
	var span jobs.Span
	var again bool
	_, err = pgx.ForEachRow(rows, []any{&lease, &span.First, &span.Count, &again}, func() error {
		in, _ := tasks.Divide(span.First, span.End())
		under = append(under, in...)
		for _, part := range in {
			if !again {
				leases, firsts, counts = append(leases, lease), append(firsts, part.First), append(counts, int32(part.Count))
			}
		}
		return nil
	})
	if err != nil || len(leases) == 0 {
		return jobs.Union(under), nil, wrap("read leases", err)
	}
	_, err = p.tx.Exec(ctx, `
		insert into recalls (job_id, lease, first, count)
		select $1, lease, first, count from unnest($2::bigint[], $3::bigint[], $4::int[]) as r (lease, first, count)`,
		p.job, leases, firsts, counts)
	return jobs.Union(under), leases, wrap("recall tasks", err)
}

// Recalling reports whether a lane that still holds one of the leases has not answered
// a recall.
func (s *Store) Recalling(ctx context.Context, leases []int64) (waiting bool, err error) {
	err = s.Pool.QueryRow(ctx, `
		select exists (select from recalls r join chunks c on c.id = r.lease and c.state = 'leased' where r.lease = any($1))`, leases).Scan(&waiting)
	return waiting, wrap("look for recalls", err)
}

// ForgetRecalls takes back the recalls of leases.
func (s *Store) ForgetRecalls(ctx context.Context, leases []int64) error {
	_, err := s.Pool.Exec(ctx, `delete from recalls where lease = any($1)`, leases)
	return wrap("forget recalls", err)
}

// A Recall asks the lane that holds a lease to give back its tasks from index First on
// that have not started.
type Recall struct {
	ID    int64 // of the newest request; they grow
	Lease int64
	First int64
}

// Recalls reads the recalls of leases in the order of their ids.
func (s *Store) Recalls(ctx context.Context, leases []int64) ([]Recall, error) {
	rows, err := s.Pool.Query(ctx, `select max(id), lease, min(first) from recalls where lease = any($1) group by lease order by 1`, leases)
	if err != nil {
		return nil, wrap("read recalls", err)
	}
	recalls, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Recall])
	return recalls, wrap("read recalls", err)
}

// AnswerRecalls is GiveBack for a lane that was asked to give tasks back. It cancels
// those that it was asked for; the recalls of the lease are answered with it.
func (s *Store) AnswerRecalls(ctx context.Context, job string, lease int64, left, back []jobs.Span) (p Progress, err error) {
	err = s.Tx(ctx, func(tx pgx.Tx) error {
		if p, err = giveBack(ctx, tx, lease, left, back); err != nil || !p.Held {
			return err
		}
		rows, err := tx.Query(ctx, `delete from recalls where lease = $1 returning first, count`, lease)
		if err != nil {
			return wrap("answer recalls", err)
		}
		asked, err := pgx.CollectRows(rows, pgx.RowToStructByPos[jobs.Span])
		if err != nil {
			return wrap("answer recalls", err)
		}
		c := taskCanceller{store: s, tx: tx, job: job}
		if err := c.read(ctx); err != nil {
			return err
		}
		if err := c.cancel(ctx, jobs.Union(asked).And(jobs.Union(back))); err != nil {
			return err
		}
		p.Ended = c.ended
		return nil
	})
	if err == nil && p.Held {
		s.Feed.Wake(job)
	}
	return p, err
}
