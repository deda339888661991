package http

import (
	"context"
	"fmt"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/insight"
)

type reportOutput struct{ Body *insight.Report }

// report answers the speed-up report of a run, as far as the run has come.
func (s *Site) report(ctx context.Context, in *struct {
	JobPath
	RunNumber
}) (*reportOutput, error) {
	job, err := s.one(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	report, err := s.store.RunReport(ctx, job, in.of(job))
	if err != nil {
		return nil, err
	}
	if report == nil {
		return nil, fmt.Errorf("no report was kept of run %d: %w", in.Run, jobs.ErrNotFound)
	}
	return &reportOutput{report}, nil
}

// Pace of the report on a page whose job runs: it is computed from everything that
// the job has done so far.
const (
	reportEvery = 2 * time.Second
	reportShare = 20 // a stream spends at most 1/20 of its time on it
)

// A reportModel caches the report of a job that runs.
type reportModel struct {
	last  *insight.Report
	state jobs.State // of the job when the report was made
	due   time.Time
}

// of returns the report of a job, a new one if the job's state has changed.
func (m *reportModel) of(ctx context.Context, s *Site, job *jobs.Job) (*insight.Report, error) {
	began := time.Now()
	if m.last != nil && m.state == job.State && began.Before(m.due) {
		return m.last, nil
	}
	report, err := s.store.Report(ctx, job)
	if err != nil {
		return nil, err
	}
	m.last, m.state = report, job.State
	m.due = time.Now().Add(max(reportEvery, reportShare*time.Since(began)))
	return report, nil
}
