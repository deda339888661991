package store

import (
	"context"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// A taskCanceller cancels waiting tasks of a job whose progress its transaction has
// locked.
type taskCanceller struct {
	store *Store
	tx    pgx.Tx
	job   string

	total, cursor, leased int64
	cancelled             jobs.Spans // by cancel
	ended                 bool       // the job has ended with that
}

func (p *taskCanceller) read(ctx context.Context) error {
	err := p.tx.QueryRow(ctx, `select total, cursor, leased from progress where job_id = $1`, p.job).Scan(&p.total, &p.cursor, &p.leased)
	return wrap("read progress", err)
}

// cancel cancels those of the wanted tasks that are in the backlog or were never
// claimed. It ends the job if nothing else is left, and notifies every node.
func (p *taskCanceller) cancel(ctx context.Context, wanted jobs.Spans) error {
	var b pgx.Batch
	if len(wanted) > 0 {
		found, stay, err := p.takeOut(ctx, wanted)
		if err != nil {
			return err
		}
		// Tasks are claimed at the cursor in their order. Those before a cancelled one
		// become a part of the backlog.
		if unclaimed, _ := wanted.Divide(p.cursor, p.total); len(unclaimed) > 0 {
			end := unclaimed[len(unclaimed)-1].End()
			_, before := wanted.Divide(p.cursor, end)
			for _, span := range before {
				stay = append(stay, backlogRow{Span: span, attempt: 1, due: "-infinity"})
			}
			found = append(found, unclaimed...)
			p.cursor = end
		}
		p.cancelled = jobs.Union(found)
		p.putBack(&b, stay)
		p.addOutcomes(&b)
	}
	p.store.addFinish(&b, p.job, &p.ended)
	b.Queue(`select pg_notify($1, $2)`, channel, p.job)
	return wrap("cancel tasks", p.tx.SendBatch(ctx, &b).Close())
}

// A backlogRow is a row of the backlog.
type backlogRow struct {
	jobs.Span
	attempt, losses int64
	wait            int64  // µs
	due             string // a time or -infinity
}

// takeOut takes the rows with wanted tasks out of the backlog. It returns those tasks
// and what is left of the rows.
func (p *taskCanceller) takeOut(ctx context.Context, wanted jobs.Spans) (found []jobs.Span, stay []backlogRow, err error) {
	rows, err := p.tx.Query(ctx, `
		delete from backlog where job_id = $1 and int8range(first, first + count) && $2::text::int8multirange
		returning first, count, attempt, losses, wait_us, due_at::text`, p.job, multirange(wanted))
	if err != nil {
		return nil, nil, wrap("take tasks out of the backlog", err)
	}
	var row backlogRow
	_, err = pgx.ForEachRow(rows, []any{&row.First, &row.Count, &row.attempt, &row.losses, &row.wait, &row.due}, func() error {
		in, out := wanted.Divide(row.First, row.End())
		found = append(found, in...)
		for _, span := range out {
			left := row
			left.Span = span
			stay = append(stay, left)
		}
		return nil
	})
	return found, stay, wrap("take tasks out of the backlog", err)
}

// multirange returns spans as text of the type int8multirange.
func multirange(spans jobs.Spans) string {
	text := []byte{'{'}
	for i, span := range spans {
		if i > 0 {
			text = append(text, ',')
		}
		text = fmt.Appendf(text, "[%d,%d)", span.First, span.End())
	}
	return string(append(text, '}'))
}

// putBack adds the statement that inserts rows into the backlog.
func (p *taskCanceller) putBack(b *pgx.Batch, rows []backlogRow) {
	if len(rows) == 0 {
		return
	}
	var firsts, attempts, losses, waits []int64
	var counts []int32
	var dues []string
	for _, r := range rows {
		firsts, counts = append(firsts, r.First), append(counts, int32(min(r.Count, math.MaxInt32)))
		attempts, losses, waits, dues = append(attempts, r.attempt), append(losses, r.losses), append(waits, r.wait), append(dues, r.due)
	}
	b.Queue(`
		insert into backlog (job_id, first, count, attempt, losses, wait_us, due_at)
		select $1, first, count, attempt, losses, wait, due::timestamptz
		from unnest($2::bigint[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[]) as b (first, count, attempt, losses, wait, due)`,
		p.job, firsts, counts, attempts, losses, waits, dues)
}

// addOutcomes adds the statement that counts the cancelled tasks and gives them rows of
// outcomes, in the order of completion.
func (p *taskCanceller) addOutcomes(b *pgx.Batch) {
	var firsts []int64
	var counts []int32
	var outputs [][]byte
	for _, span := range p.cancelled {
		for first := span.First; first < span.End(); first += outcomes.MaxPacked {
			n := int(min(outcomes.MaxPacked, span.End()-first))
			firsts, counts, outputs = append(firsts, first), append(counts, int32(n)), append(outputs, outcomes.Cancelled(n))
		}
	}
	if len(firsts) == 0 {
		return
	}
	b.Queue(`
		with p as (
			update progress set cancelled = cancelled + $2::bigint, records = records + cardinality($4::bigint[]), cursor = $3
			where job_id = $1 returning records
		)
		insert into outcomes (job_id, first, count, seq, chunk_id, failed, groups, outputs, durations, cancelled)
		select $1, c.first, c.count, p.records - cardinality($4::bigint[]) + c.n, 0, '{}', '{}', c.outputs, '', true
		from p, unnest($4::bigint[], $5::int[], $6::bytea[]) with ordinality as c (first, count, outputs, n)`,
		p.job, p.cancelled.Tasks(), p.cursor, firsts, counts, outputs)
}
