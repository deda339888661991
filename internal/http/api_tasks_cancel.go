package http

import (
	"context"
	"fmt"
	"slices"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

type cancelInput struct {
	JobPath
	Key     string `header:"Idempotency-Key" doc:"Within 24 hours, a request with the same key is not repeated."`
	Waiting bool   `query:"waiting" doc:"Cancel only the tasks that have not started. Running tasks, and the job, go on."`
}

// cancelJob cancels a job, or all of its tasks that have not started.
func (s *Site) cancelJob(act jobActions) func(context.Context, *cancelInput) (*verbOutput, error) {
	return func(ctx context.Context, in *cancelInput) (*verbOutput, error) {
		call := &verbInput{JobPath: in.JobPath, Key: in.Key}
		if in.Waiting {
			return act.cancelWaiting(ctx, call)
		}
		return act.cancel(ctx, call)
	}
}

func (s *Site) cancelWaiting(ctx context.Context, v store.Viewer, id string, key *store.Key) (*jobs.Job, error) {
	if _, err := s.engine.CancelTasks(ctx, store.CancelRequest{Viewer: v, Job: id, Key: key}); err != nil {
		return nil, err
	}
	return s.store.Job(ctx, v, id)
}

// cancelTask cancels a task that has not started.
func (s *Site) cancelTask(ctx context.Context, in *TaskPath) (*taskOutput, error) {
	job, task, err := s.task(ctx, in.ID, in.Index)
	if err != nil {
		return nil, err
	}
	c, err := s.engine.CancelTasks(ctx, store.CancelRequest{
		Viewer: store.As(callOf(ctx).user), Job: job.ID, Tasks: jobs.SpansOf([]int64{task.Index}),
	})
	if err != nil {
		return nil, err
	}
	switch {
	case c.Cancelled > 0:
		return s.getTask(ctx, in)
	case len(c.Recalled) > 0:
		return nil, explained(jobs.ErrConflict, jobs.ErrConflict, "The task is claimed by a process that does not answer; it may have started. Try again.")
	case len(c.Running) > 0:
		return nil, explained(jobs.ErrConflict, jobs.ErrConflict, "The task runs. Only a task that has not started can be cancelled by itself; to end running ones, cancel the job.")
	}
	return nil, explained(jobs.ErrConflict, jobs.ErrConflict, "The task has already ended.")
}

// maxCancelled is how many tasks one request may name.
const maxCancelled = 10_000

type cancelTasksInput struct {
	JobPath
	Body struct {
		Indexes []int64 `json:"indexes" required:"true" minItems:"1" maxItems:"10000" nullable:"false" doc:"Tasks, in any order."`
	}
}

type cancelTasksOutput struct {
	Body struct {
		Cancelled int64   `json:"cancelled" doc:"Named tasks that are cancelled now, also those that were before."`
		Refused   []int64 `json:"refused" nullable:"false" doc:"Named tasks that run or have ended, ascending."`
	}
}

// cancelTasks cancels those of the named tasks that have not started.
func (s *Site) cancelTasks(ctx context.Context, in *cancelTasksInput) (*cancelTasksOutput, error) {
	job, err := s.one(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	var found jobs.Invalid
	if n := len(in.Body.Indexes); n < 1 || n > maxCancelled {
		found.Add(jobs.Violation{Location: "body.indexes", Message: fmt.Sprintf("must name 1 to %d tasks", maxCancelled), Value: n})
	}
	for i, index := range in.Body.Indexes {
		if index < 0 || index >= job.Counts.Total {
			found.Add(jobs.Violation{Location: fmt.Sprintf("body.indexes[%d]", i), Message: fmt.Sprintf("must be from 0 to %d: the job has %d tasks", job.Counts.Total-1, job.Counts.Total), Value: index})
		}
	}
	if len(found) > 0 {
		return nil, found
	}
	c, err := s.engine.CancelTasks(ctx, store.CancelRequest{Viewer: store.As(callOf(ctx).user), Job: job.ID, Tasks: jobs.SpansOf(in.Body.Indexes)})
	if err != nil {
		return nil, err
	}
	out := new(cancelTasksOutput)
	out.Body.Cancelled, out.Body.Refused = c.Cancelled, []int64{}
	for _, span := range slices.Concat(c.Running, c.Ended) {
		for index := span.First; index < span.End(); index++ {
			out.Body.Refused = append(out.Body.Refused, index)
		}
	}
	slices.Sort(out.Body.Refused)
	return out, nil
}
