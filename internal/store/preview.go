package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// HasOutcome reports whether a task of a job has its outcome already.
func (s *Store) HasOutcome(ctx context.Context, job string, index int64) (bool, error) {
	var has bool
	err := s.Pool.QueryRow(ctx, `
		select first + count > $2 from outcomes where job_id = $1 and first <= $2 order by first desc limit 1`, job, index).Scan(&has)
	if err == pgx.ErrNoRows {
		return false, nil
	}
	return has, wrap("look for outcome", err)
}

// NextFailed is the index of the first failed task of a job from index from
// on, or -1.
func (s *Store) NextFailed(ctx context.Context, job string, from int64) (int64, error) {
	index := int64(-1)
	err := s.Pool.QueryRow(ctx, `
		select o.first + f from outcomes o, unnest(o.failed) f
		where o.job_id = $1 and o.failed <> '{}' and o.first >= coalesce(
			(select max(p.first) from outcomes p where p.job_id = $1 and p.failed <> '{}' and p.first <= $2), 0)
			and o.first + f >= $2
		order by o.first, f limit 1`, job, from).Scan(&index)
	if err == pgx.ErrNoRows {
		return -1, nil
	}
	return index, wrap("look for failure", err)
}

// FirstFailures finds, for each cell of size tasks of a job, the first failed
// task of some block of outcomes in it: cheap, and the first of all in a cell
// that no block crosses into.
func (s *Store) FirstFailures(ctx context.Context, job string, size int64) (map[int64]int64, error) {
	rows, err := s.Pool.Query(ctx, `
		select (first + failed[1]) / $2, min(first + failed[1]) from outcomes
		where job_id = $1 and failed <> '{}' group by 1`, job, size)
	if err != nil {
		return nil, wrap("read first failures", err)
	}
	found := make(map[int64]int64)
	var cell, index int64
	_, err = pgx.ForEachRow(rows, []any{&cell, &index}, func() error { found[cell] = index; return nil })
	return found, wrap("read first failures", err)
}

// Inputs reads the inputs of a job as they were submitted. It is ErrConflict
// when they are more than maxBytes.
func (s *Store) Inputs(ctx context.Context, job *jobs.Job, maxBytes int64) (jobs.Inputs, error) {
	if job.Inputs.Range != nil {
		return jobs.Inputs{Range: job.Inputs.Range}, nil
	}
	var size int64
	err := s.Pool.QueryRow(ctx, `select coalesce(sum(octet_length(data)), 0) from input_blocks where job_id = $1`, job.ID).Scan(&size)
	if err != nil {
		return jobs.Inputs{}, wrap("measure inputs", err)
	}
	if size > maxBytes {
		return jobs.Inputs{}, fmt.Errorf("the inputs are %d bytes: %w", size, jobs.ErrConflict)
	}
	rows, err := s.Pool.Query(ctx, `select data from input_blocks where job_id = $1 order by first`, job.ID)
	if err != nil {
		return jobs.Inputs{}, wrap("read inputs", err)
	}
	in := jobs.Inputs{Items: []json.RawMessage{}}
	var text strings.Builder
	isLines := job.Inputs.Kind == "lines"
	var data []byte
	_, err = pgx.ForEachRow(rows, []any{&data}, func() error {
		for _, line := range outcomes.Lines(data) {
			if !isLines {
				in.Items = append(in.Items, append(json.RawMessage(nil), line...))
				continue
			}
			var one string
			if err := json.Unmarshal(line, &one); err != nil {
				return fmt.Errorf("decode input: %w", err)
			}
			text.WriteString(one)
			text.WriteByte('\n')
		}
		return nil
	})
	if err != nil {
		return jobs.Inputs{}, wrap("read inputs", err)
	}
	if err := s.Unchanged(ctx, job); err != nil {
		return jobs.Inputs{}, err
	}
	if isLines {
		lines := text.String()
		in = jobs.Inputs{Lines: &lines}
	}
	return in, nil
}
