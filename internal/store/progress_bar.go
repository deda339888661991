package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
)

// A Cell is a span of tasks with the number of them in each state. The rest is
// waiting.
type Cell struct {
	First, Count                          int64
	Succeeded, Failed, Running, Cancelled int64
}

// Strip divides the tasks of a job into at most n cells of equal size.
func (s *Store) Strip(ctx context.Context, job *jobs.Job, n int) ([]Cell, error) {
	total := job.Counts.Total
	if total == 0 || n < 1 {
		return nil, nil
	}
	size := (total + int64(n) - 1) / int64(n)
	cells := make([]Cell, (total+size-1)/size)
	for i := range cells {
		cells[i].First = int64(i) * size
		cells[i].Count = min(size, total-cells[i].First)
	}
	spread := func(first, count int64, add func(*Cell, int64)) {
		for at, end := first, min(first+count, total); at < end; {
			cell := &cells[at/size]
			n := min(end, cell.First+cell.Count) - at
			add(cell, n)
			at += n
		}
	}
	// The database sums blocks within one cell, so that the cells and the blocks
	// across their borders bound the rows of the answer.
	rows, err := s.Pool.Query(ctx, `
		select min(first), sum(count), sum(cardinality(failed)), null::integer[], cancelled from outcomes
			where job_id = $1 and first / $2 = (first + count - 1) / $2 group by first / $2, cancelled
		union all
		select first, count, cardinality(failed), failed, cancelled from outcomes
			where job_id = $1 and first / $2 <> (first + count - 1) / $2`, job.ID, size)
	if err != nil {
		return nil, wrap("read strip", err)
	}
	var first, count, failed int64
	var offsets []int32
	var cancelled bool
	_, err = pgx.ForEachRow(rows, []any{&first, &count, &failed, &offsets, &cancelled}, func() error {
		if cancelled {
			if offsets == nil {
				cells[first/size].Cancelled += count
				return nil
			}
			spread(first, count, func(c *Cell, n int64) { c.Cancelled += n })
			return nil
		}
		if offsets == nil {
			cell := &cells[first/size]
			cell.Succeeded += count - failed
			cell.Failed += failed
			return nil
		}
		spread(first, count, func(c *Cell, n int64) { c.Succeeded += n })
		for _, offset := range offsets {
			cell := &cells[(first+int64(offset))/size]
			cell.Succeeded--
			cell.Failed++
		}
		return nil
	})
	if err != nil {
		return nil, wrap("read strip", err)
	}
	if job.State.Ended() {
		if err := s.Unchanged(ctx, job); err != nil {
			return nil, err
		}
		for i := range cells {
			c := &cells[i]
			c.Cancelled = c.Count - c.Succeeded - c.Failed
		}
		return cells, nil
	}
	rows, err = s.Pool.Query(ctx, `
		select span.first, span.count from chunks c `+spansLeft+` where c.job_id = $1 and c.state = 'leased' limit 10000`, job.ID)
	if err != nil {
		return nil, wrap("read strip", err)
	}
	_, err = pgx.ForEachRow(rows, []any{&first, &count}, func() error {
		spread(first, count, func(c *Cell, n int64) { c.Running = min(c.Running+n, c.Count-c.Succeeded-c.Failed-c.Cancelled) })
		return nil
	})
	return cells, wrap("read strip", err)
}
