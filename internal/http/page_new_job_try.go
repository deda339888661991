package http

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/views"
)

const (
	tryFor       = 30 * time.Second // how long the first input is tried
	cleanUpAfter = 10 * time.Second // how long cleaning up after that may take
)

// try runs the program on the first input as a job of one task, waits for it, and
// removes the job again. The error is [jobs.Invalid] when there is no input to try
// or the engine refuses the job.
func (s *Site) try(ctx context.Context, user *jobs.User, spec jobs.Spec, up *upload) (*views.TryResult, error) {
	v := store.As(user)
	first, err := s.firstInput(ctx, v, spec.Inputs, up)
	if err != nil {
		return nil, err
	}
	if first == nil {
		return nil, jobs.Invalid{{Location: "inputs", Message: "there is no first input to try"}}
	}
	spec.Name = ("Try: " + spec.WithDefaults().Name)
	spec.Name = string([]rune(spec.Name)[:min(200, len([]rune(spec.Name)))])
	spec.Inputs = jobs.Inputs{Items: []json.RawMessage{first}}
	one := 1
	spec.Policy.Processes, spec.Policy.ChunkSize = &one, nil
	id, err := s.engine.Submit(ctx, engine.SubmitRequest{User: user, Spec: spec})
	if err != nil {
		return nil, err
	}
	defer s.forget(context.WithoutCancel(ctx), v, id)
	began := time.Now()
	job, err := s.engine.Await(ctx, engine.AwaitRequest{Job: id, Viewer: v, AtMost: tryFor})
	if err != nil {
		return nil, err
	}
	task, err := s.store.Task(ctx, job, 0)
	if err != nil {
		return nil, err
	}
	result := &views.TryResult{Input: string(task.Input), Output: string(task.Output), Error: task.Error, Logs: task.Logs, Took: time.Since(began)}
	if task.DurationMS != nil {
		result.Took = time.Duration(*task.DurationMS * float64(time.Millisecond))
	}
	if task.Error == nil && task.State != jobs.TaskSucceeded {
		result.Error = &jobs.TaskError{Kind: jobs.KindTimeout, Message: fmt.Sprintf("It had not ended after %v and was stopped. A job may run as long as it needs.", tryFor)}
		if job.State.Ended() {
			result.Error = &jobs.TaskError{Kind: jobs.KindCrash, Message: job.Reason}
		}
	}
	return result, nil
}

// forget removes a job that was a try.
func (s *Site) forget(ctx context.Context, v store.Viewer, id string) {
	ctx, cancel := context.WithTimeout(ctx, cleanUpAfter)
	defer cancel()
	err := s.store.DeleteJob(ctx, v, id)
	if errors.Is(err, jobs.ErrConflict) {
		if _, err = s.engine.Cancel(ctx, v, id, nil); err == nil {
			err = s.store.DeleteJob(ctx, v, id)
		}
	}
	if err != nil {
		s.log.Warn("remove a tried job", "job", id, "error", err)
	}
}

// firstInput returns the first input as JSON, or nil if there is none.
func (s *Site) firstInput(ctx context.Context, v store.Viewer, in jobs.Inputs, up *upload) (json.RawMessage, error) {
	switch {
	case up != nil:
		if len(up.first) == 0 {
			return nil, nil
		}
		return up.first[0], nil
	case in.Count() == 0:
		return nil, nil
	case in.Range != nil:
		return json.RawMessage(fmt.Append(nil, in.Range.At(0))), nil
	case in.Stored != nil:
		job, err := s.store.Job(ctx, v, in.Stored.From)
		if err != nil {
			return nil, err
		}
		task, err := s.store.Task(ctx, job, 0)
		if err != nil {
			return nil, err
		}
		return task.Input, nil
	}
	for value := range in.Values() {
		return value, nil
	}
	return nil, nil
}
