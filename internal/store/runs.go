package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/insight"
)

// endedRun reads the number of a job's newest run and, if it has ended, its speed-up
// report: a retry deletes the data of reports.
func (s *Store) endedRun(ctx context.Context, v Viewer, id string) (run int, report []byte, err error) {
	job, err := s.Job(ctx, v, id)
	if err != nil || !job.State.Ended() {
		return 0, nil, err
	}
	made, err := s.Report(ctx, job)
	if err != nil {
		return 0, nil, err
	}
	if report, err = json.Marshal(made); err != nil {
		return 0, nil, fmt.Errorf("encode report: %w", err)
	}
	return job.Run, report, nil
}

// keepRun stores the newest run of an ended job whose progress is locked, with the
// report if that is of this run.
func keepRun(ctx context.Context, tx pgx.Tx, id string, run int, report []byte) error {
	_, err := tx.Exec(ctx, `
		insert into runs (job_id, run, state, reason, queued_at, started_at, finished_at,
			total, succeeded, failed, cancelled, user_us, system_us, report)
		select j.id, j.run, j.state, j.reason, coalesce(j.retried_at, j.created_at), j.started_at, j.finished_at,
			p.total - j.earlier_succeeded - p.earlier_failed - j.earlier_cancelled,
			p.succeeded - j.earlier_succeeded, p.failed - p.earlier_failed, p.cancelled - j.earlier_cancelled,
			p.user_us - j.earlier_user_us, p.system_us - j.earlier_system_us, case when j.run = $2 then $3::jsonb end
		from jobs j join progress p on p.job_id = j.id where j.id = $1`, id, run, report)
	return wrap("keep run", err)
}

// Runs reads at most limit runs of a job, in their order, from the one behind the
// number after on. The newest run is taken from job.
func (s *Store) Runs(ctx context.Context, job *jobs.Job, after, limit int) ([]jobs.Run, error) {
	rows, err := s.Pool.Query(ctx, `
		select run, state, reason, queued_at, started_at, finished_at, total, succeeded, failed, cancelled, user_us + system_us
		from runs where job_id = $1 and run > $2 and run < $3 order by run limit $4`, job.ID, after, job.Run, limit)
	if err != nil {
		return nil, wrap("read runs", err)
	}
	runs, err := pgx.CollectRows(rows, scanRun)
	if err != nil {
		return nil, wrap("read runs", err)
	}
	if len(runs) < limit && job.Run > after {
		var now time.Time
		if err := s.Pool.QueryRow(ctx, `select clock_timestamp()`).Scan(&now); err != nil {
			return nil, wrap("read clock", err)
		}
		runs = append(runs, newestRun(job, now))
	}
	return runs, nil
}

func scanRun(row pgx.CollectableRow) (r jobs.Run, err error) {
	var started, finished *time.Time
	var cpu int64
	c := &r.Counts
	err = row.Scan(&r.Run, &r.State, &r.Reason, &r.QueuedAt.Time, &started, &finished,
		&c.Total, &c.Succeeded, &c.Failed, &c.Cancelled, &cpu)
	r.StartedAt, r.FinishedAt = jobTime(started), jobTime(finished)
	r.CPUSeconds = float64(cpu) / 1e6
	r.TasksRun = c.Succeeded + c.Failed
	if started != nil && finished != nil {
		if r.ElapsedSeconds = max(finished.Sub(*started).Seconds(), 0); r.ElapsedSeconds > 0 {
			r.Rate = float64(r.TasksRun) / r.ElapsedSeconds
		}
	}
	return r, err
}

// newestRun returns the newest run of a job.
func newestRun(job *jobs.Job, now time.Time) jobs.Run {
	r := jobs.Run{
		Run: job.Run, State: job.State, Reason: job.Reason, QueuedAt: job.CreatedAt, StartedAt: job.StartedAt, FinishedAt: job.FinishedAt,
		ElapsedSeconds: job.Elapsed(now).Seconds(), Counts: job.RunCounts(), Rate: job.Rate, CPUSeconds: job.CPUSeconds - job.Earlier.CPUSeconds,
	}
	r.TasksRun = r.Counts.Succeeded + r.Counts.Failed
	if job.Earlier.RetriedAt != nil {
		r.QueuedAt = *job.Earlier.RetriedAt
	}
	return r
}

// RunReport reads the speed-up report of a run of a job. It returns nil when none was
// kept, and ErrNotFound when the job has no such run.
func (s *Store) RunReport(ctx context.Context, job *jobs.Job, run int) (*insight.Report, error) {
	if run == job.Run {
		return s.Report(ctx, job)
	}
	var text []byte
	if err := s.Pool.QueryRow(ctx, `select report from runs where job_id = $1 and run = $2`, job.ID, run).Scan(&text); err != nil {
		return nil, wrap(fmt.Sprintf("read run %d", run), err)
	}
	if text == nil {
		return nil, nil
	}
	report := new(insight.Report)
	if err := json.Unmarshal(text, report); err != nil {
		return nil, fmt.Errorf("decode report: %w", err)
	}
	return report, nil
}
