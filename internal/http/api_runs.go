package http

import (
	"context"
	"fmt"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/allcores/allcores/internal/jobs"
)

// RunNumber selects a run of a job.
type RunNumber struct {
	Run int `query:"run" minimum:"1" doc:"Number of a run: 1 is the first, 2 the first retry. Default: the newest."`
}

// of returns the number of the selected run.
func (n RunNumber) of(job *jobs.Job) int {
	if n.Run == 0 {
		return job.Run
	}
	return n.Run
}

// during returns the job with the times of one of its runs.
func (s *Site) during(ctx context.Context, job *jobs.Job, run int) (*jobs.Job, error) {
	if run == job.Run {
		return job, nil
	}
	found, err := s.store.Runs(ctx, job, run-1, 1)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 || found[0].Run != run {
		return nil, fmt.Errorf("the job has no run %d: %w", run, jobs.ErrNotFound)
	}
	return duringRun(job, found[0]), nil
}

// duringRun returns the job at the end of an earlier run, as far as its timeline
// needs it.
func duringRun(job *jobs.Job, run jobs.Run) *jobs.Job {
	then := *job
	then.State, then.StartedAt, then.FinishedAt = run.State, run.StartedAt, run.FinishedAt
	return &then
}

type listRunsInput struct {
	JobPath
	Paging
	after int // number of the last run of the page before
}

// Resolve reads the cursor, the number of a run.
func (in *listRunsInput) Resolve(huma.Context) []error {
	if in.Cursor == "" {
		return nil
	}
	var err error
	if in.after, err = strconv.Atoi(in.Cursor); err != nil || in.after < 1 || in.after >= 1<<31 {
		return unresolved(jobs.Invalid{{Location: "query.cursor", Message: "is not a next_cursor of this list", Value: in.Cursor}})
	}
	return nil
}

// listRuns lists the runs of a job, oldest first.
func (s *Site) listRuns(ctx context.Context, in *listRunsInput) (*listOutput[jobs.Run], error) {
	job, err := s.one(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	runs, err := s.store.Runs(ctx, job, in.after, in.Limit+1)
	if err != nil {
		return nil, err
	}
	next := ""
	if len(runs) > in.Limit {
		runs = runs[:in.Limit]
		next = strconv.Itoa(runs[in.Limit-1].Run)
	}
	return listOf(runs, next), nil
}
