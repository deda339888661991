package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// Task reads one task of a job, with its last log lines.
func (s *Store) Task(ctx context.Context, job *jobs.Job, index int64) (*jobs.Task, error) {
	if index < 0 || index >= job.Counts.Total {
		return nil, fmt.Errorf("the job has no task %d: %w", index, jobs.ErrNotFound)
	}
	t := &jobs.Task{Job: job.ID, Index: index, State: jobs.TaskWaiting, Logs: []jobs.LogLine{}}
	if err := s.taskInput(ctx, job, t); err != nil {
		return nil, err
	}
	var (
		first, chunk       int64
		count              int
		outputs, durations []byte
		attempt            *int
		node, host         *string
		started, finished  *time.Time
	)
	err := s.Pool.QueryRow(ctx, `
		select o.first, o.count, o.outputs, o.durations, o.chunk_id, c.attempt, c.node_id::text, n.host, c.core, c.started_at, c.finished_at
		from outcomes o left join chunks c on c.id = o.chunk_id left join nodes n on n.id = c.node_id
		where o.job_id = $1 and o.first <= $2 order by o.first desc limit 1`, job.ID, index).
		Scan(&first, &count, &outputs, &durations, &chunk, &attempt, &node, &host, &t.Core, &started, &finished)
	switch {
	case err == nil && index < first+int64(count):
		before, err := s.ranBefore(ctx, job.ID, chunk, first)
		if err != nil {
			return nil, err
		}
		outcome(t, int(index-first), outputs, outcomes.UnpackDurations(durations, count), place{started: started, finished: finished}, before)
		t.Attempts = 1
		switch {
		case t.State == jobs.TaskCancelled:
			t.Attempts = 0
		case attempt != nil:
			t.Attempts = *attempt
		}
		if node != nil {
			t.NodeID = *node
		}
		if host != nil {
			t.Node = *host
		}
	case err != nil && !errors.Is(err, pgx.ErrNoRows):
		return nil, wrap("read task", err)
	case job.State.Ended():
		t.State = jobs.TaskCancelled
		t.Core = nil
		if err := s.Unchanged(ctx, job); err != nil {
			return nil, err
		}
	default:
		t.Core = nil
		if err := s.leasedTask(ctx, t); err != nil {
			return nil, err
		}
	}
	if t.Earlier, err = s.attempts(ctx, job.ID, index); err != nil {
		return nil, err
	}
	page, err := s.Logs(ctx, job.ID, LogFilter{Task: &index}, 0)
	if err != nil {
		return nil, err
	}
	t.Logs = append(t.Logs, page.Lines...)
	return t, nil
}

// outcome fills in the outcome of the task at an offset of a block of a chunk. Tasks of
// a chunk run one after the other, so a task began when those before it had ended:
// before is how long those before the block ran.
func outcome(t *jobs.Task, offset int, outputs, durations []byte, chunk place, before time.Duration) {
	for i, line := range outcomes.Lines(outputs) {
		if i != offset {
			continue
		}
		if t.State = line.State(); t.State == jobs.TaskCancelled {
			return
		}
		if !line.Failed() {
			t.Output = jobs.AppendUnicode(nil, line.Value())
			break
		}
		t.Error = new(jobs.TaskError)
		if err := json.Unmarshal(line.Value(), t.Error); err != nil {
			t.Error = &jobs.TaskError{Kind: jobs.KindCrash, Message: "its error could not be read: " + err.Error()}
		}
		t.Traceback = t.Error.Traceback
		break
	}
	block := outcomes.Encoded{Durations: durations}
	for i := range offset {
		took, _ := block.Duration(i)
		before += took
	}
	took, known := block.Duration(offset)
	if !known {
		return
	}
	ms := took.Seconds() * 1000
	t.DurationMS = &ms
	t.StartedAt = startedAt(chunk.started, chunk.finished, before, took)
}

// maxRowsBefore bounds the rows of a chunk that are read to find when a task began.
const maxRowsBefore = 1000

// ranBefore returns how long the tasks of a chunk ran that are in rows before the one
// that begins with the task first.
func (s *Store) ranBefore(ctx context.Context, job string, chunk, first int64) (ran time.Duration, err error) {
	rows, err := s.Pool.Query(ctx, `
		select o.count, o.durations from chunks c join outcomes o on o.job_id = c.job_id and o.first >= c.first and o.first < $3
		where c.id = $2 and c.job_id = $1 and o.chunk_id = $2 order by o.first desc limit $4`, job, chunk, first, maxRowsBefore)
	if err != nil {
		return 0, wrap("read durations", err)
	}
	var count int
	var durations []byte
	_, err = pgx.ForEachRow(rows, []any{&count, &durations}, func() error {
		block := outcomes.Encoded{Durations: outcomes.UnpackDurations(durations, count)}
		for i := range count {
			took, _ := block.Duration(i)
			ran += took
		}
		return nil
	})
	return ran, wrap("read durations", err)
}

func (s *Store) taskInput(ctx context.Context, job *jobs.Job, t *jobs.Task) error {
	if r := job.Inputs.Range; r != nil {
		t.Input = json.RawMessage(fmt.Append(nil, r.At(t.Index)))
		return nil
	}
	var first int64
	var data []byte
	err := s.Pool.QueryRow(ctx, `
		select first, data from input_blocks where job_id = $1 and first <= $2 order by first desc limit 1`, job.ID, t.Index).
		Scan(&first, &data)
	if err != nil {
		return wrap("read input", err)
	}
	line := appendLines(nil, data, first, t.Index, t.Index+1)
	t.Input = jobs.Unicode(line[:max(len(line)-1, 0)])
	return nil
}

// leasedTask fills in where a task without an outcome runs, if it is leased.
func (s *Store) leasedTask(ctx context.Context, t *jobs.Task) error {
	var leased time.Time
	err := s.Pool.QueryRow(ctx, `
		select c.attempt, c.node_id::text, coalesce(n.host, ''), c.core, c.leased_at
		from chunks c `+spansLeft+` left join nodes n on n.id = c.node_id
		where c.job_id = $1 and c.state = 'leased' and span.first <= $2 and span.first + span.count > $2 limit 1`, t.Job, t.Index).
		Scan(&t.Attempts, &t.NodeID, &t.Node, &t.Core, &leased)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	t.State = jobs.TaskRunning
	return wrap("read task", err)
}
