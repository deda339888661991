package http

import (
	"context"
	"fmt"
	"strconv"

	"github.com/allcores/allcores/internal/jobs"
)

type taskOutput struct{ Body *jobs.Task }

func (s *Site) getTask(ctx context.Context, in *TaskPath) (*taskOutput, error) {
	_, task, err := s.task(ctx, in.ID, in.Index)
	if err != nil {
		return nil, err
	}
	return &taskOutput{task}, nil
}

// A taskValue is one JSON value of a task.
type taskValue struct {
	Type string `header:"Content-Type"`
	Body []byte
}

// TaskPath is the address of a task.
type TaskPath struct {
	JobPath
	Index string `path:"index" doc:"From 0."`
}

func (s *Site) taskInput(ctx context.Context, in *TaskPath) (*taskValue, error) {
	_, task, err := s.task(ctx, in.ID, in.Index)
	if err != nil {
		return nil, err
	}
	return &taskValue{"application/json", task.Input}, nil
}

func (s *Site) taskOutput(ctx context.Context, in *TaskPath) (*taskValue, error) {
	_, task, err := s.task(ctx, in.ID, in.Index)
	if err != nil {
		return nil, err
	}
	if task.State != jobs.TaskSucceeded {
		return nil, explained(jobs.ErrConflict, jobs.ErrConflict, "The task has no output: it is "+string(task.State)+".")
	}
	return &taskValue{"application/json", task.Output}, nil
}

// task reads a task by its address.
func (s *Site) task(ctx context.Context, id, index string) (*jobs.Job, *jobs.Task, error) {
	n, err := strconv.ParseInt(index, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != index {
		return nil, nil, fmt.Errorf("task %q: %w", index, jobs.ErrNotFound)
	}
	job, err := s.one(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	task, err := s.store.Task(ctx, job, n)
	return job, task, err
}
