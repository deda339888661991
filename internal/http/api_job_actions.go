package http

import (
	"context"
	"errors"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

type retryInput struct {
	JobPath
	Key   string `header:"Idempotency-Key" doc:"Within 24 hours, a request with the same key is not repeated."`
	Group string `query:"group" doc:"Retry only the tasks that failed in this group, the id of one of the job's errors. Other failed and cancelled tasks stay as they are."`
}

// retry begins another run of a job with all its failed and cancelled tasks, or
// with the failures of one group.
func (s *Site) retry(ctx context.Context, in *retryInput) (*verbOutput, error) {
	call := verbInput{JobPath: in.JobPath, Key: in.Key}
	if in.Group == "" {
		all := func(ctx context.Context, v store.Viewer, job string, key *store.Key) (*jobs.Job, error) {
			return s.engine.Retry(ctx, v, job, key, nil)
		}
		return s.verb("retry", all, jobs.BulkRetry.Conflict())(ctx, &call)
	}
	id, err := jobs.ParseGroupID(in.Group)
	if err != nil {
		return nil, badGroup(in.Group)
	}
	retry := func(ctx context.Context, v store.Viewer, job string, key *store.Key) (*jobs.Job, error) {
		if _, err := s.store.Job(ctx, v, job); err != nil {
			return nil, err
		}
		groups, err := s.store.Groups(ctx, job)
		if err != nil {
			return nil, err
		}
		return s.engine.Retry(ctx, v, job, key, func(_ int64, e *jobs.TaskError) bool {
			return groups[id] && groups.Of(jobs.Group(e).ID) == id
		})
	}
	return s.verb("retry "+in.Group, retry, "The job has not ended, or no task of it fails in that group.")(ctx, &call)
}

func badGroup(given string) jobs.Invalid {
	return jobs.Invalid{{Location: "query.group", Message: "must be the id of a group of the job's errors, of 16 hexadecimal digits", Value: given}}
}

// keepAlive begins the idle time of an open job again.
func (s *Site) keepAlive(ctx context.Context, in *JobPath) (*struct{ Body jobAnswer }, error) {
	job, err := s.engine.KeepAlive(ctx, store.As(callOf(ctx).user), in.ID)
	if err != nil {
		return nil, explained(err, jobs.ErrConflict, "The job takes no further inputs: it is sealed or has ended.")
	}
	return &struct{ Body jobAnswer }{jobAnswer{Job: *job}}, nil
}

type verbInput struct {
	JobPath
	Key string `header:"Idempotency-Key" doc:"Within 24 hours, a request with the same key is not repeated."`
}

type verbOutput struct {
	Replayed string `header:"Idempotent-Replayed"`
	Body     jobAnswer
}

// A jobAction is a call that changes a job's state.
type jobAction func(context.Context, *verbInput) (*verbOutput, error)

// verb makes a call of do. The conflict is the message when the job's state does
// not allow it.
func (s *Site) verb(name string, do func(context.Context, store.Viewer, string, *store.Key) (*jobs.Job, error), conflict string) jobAction {
	return func(ctx context.Context, in *verbInput) (*verbOutput, error) {
		user := callOf(ctx).user
		key, err := newKey(in.Key, user, []byte(name+" "+in.ID))
		if err != nil {
			return nil, err
		}
		job, err := do(ctx, store.As(user), in.ID, key)
		if key != nil && errors.Is(err, jobs.ErrNotFound) {
			var kept *store.Kept
			if kept, err = s.kept(ctx, key, err); err == nil {
				job = kept.Job
			}
		}
		if err != nil {
			return nil, explained(err, jobs.ErrConflict, conflict)
		}
		return &verbOutput{replayed(key), jobAnswer{Job: *job}}, nil
	}
}

// kept returns the stored answer of a key whose job is not found. Without one the
// error is cause.
func (s *Site) kept(ctx context.Context, key *store.Key, cause error) (*store.Kept, error) {
	kept, err := s.store.KeptAnswer(ctx, key)
	if err == nil && kept == nil {
		err = cause
	}
	return kept, err
}
