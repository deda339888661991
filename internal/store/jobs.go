package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/insight"
)

// ValidID reports whether id has the form of an id. Nothing has another one.
func ValidID(id string) bool {
	parsed, err := uuid.Parse(id)
	return err == nil && parsed.String() == id
}

// A Viewer is the user for whom something is read or done.
type Viewer struct {
	UserID   string
	All      bool // sees what belongs to others too
	ReadOnly bool // changes nothing
}

// As returns the viewer for user.
func As(user *jobs.User) Viewer {
	return Viewer{UserID: user.ID, All: user.Role.SeesAll(), ReadOnly: !user.Role.Allows(jobs.Submitter)}
}

// jobColumns are the columns that scanJob reads, from jobs j, users u and progress p.
const jobColumns = `
	j.id, j.name, j.state, j.queue, j.priority, j.tags, u.name, j.program, j.inputs, j.policy, j.given_policy, j.reason,
	j.created_at, j.started_at, j.finished_at,
	j.run, j.retried_at, j.run_after_chunk, j.earlier_succeeded, p.earlier_failed, j.earlier_cancelled, j.earlier_user_us + j.earlier_system_us,
	p.lanes, p.total, p.sealed, p.idle_sealed, p.leased, p.succeeded, p.failed, p.cancelled, p.user_us + p.system_us, p.halt,
	coalesce(p.older_at, p.newer_at), case when p.older_at is null then p.newer_done else p.older_done end, clock_timestamp(),
	x.processes, x.executing`

// jobTables has in x the executing tasks of a job: each lane executes the first of
// its leased chunks, with as many tasks at once as there are threads. The leased
// chunks of all jobs are few, so they are searched rather than the many chunks of a
// job.
const jobTables = ` jobs j join users u on u.id = j.owner_id join progress p on p.job_id = j.id
	cross join lateral (
		select count(*) as processes, coalesce(sum(least(count, coalesce((j.policy->>'threads')::int, 1))), 0)::bigint as executing from (
			select distinct on (node_id, lane) count
			from (select job_id, node_id, lane, id, count from chunks where state = 'leased' limit 20000) c
			where p.leased > 0 and job_id = j.id order by node_id, lane, id
		) c
	) x `

const oneJob = `select ` + jobColumns + ` from ` + jobTables + ` where j.id = $1 and ($2 or j.owner_id = $3)`

// Job reads one job.
func (s *Store) Job(ctx context.Context, v Viewer, id string) (*jobs.Job, error) {
	if !ValidID(id) {
		return nil, fmt.Errorf("read job %q: %w", id, jobs.ErrNotFound)
	}
	job, err := scanJob(s.Pool.QueryRow(ctx, oneJob, id, v.All, v.UserID))
	if err != nil {
		return nil, wrap("read job", err)
	}
	return job, nil
}

// scanJob scans jobColumns into a job, and the row's further columns.
func scanJob(row pgx.Row, beside ...any) (*jobs.Job, error) {
	var (
		j                        jobs.Job
		program, inputs, policy  []byte
		given                    []byte
		created                  time.Time
		started, finished, since *time.Time
		retried                  *time.Time
		earlierCPU               int64
		lanes                    int
		sealed                   bool
		cpu, sinceDone           int64
		halt                     *string
		now                      time.Time
		c, e                     = &j.Counts, &j.Earlier
	)
	into := []any{&j.ID, &j.Name, &j.State, &j.Queue, &j.Priority, &j.Tags, &j.Owner, &program, &inputs, &policy, &given, &j.Reason,
		&created, &started, &finished,
		&j.Run, &retried, &e.LastChunk, &e.Succeeded, &e.Failed, &e.Cancelled, &earlierCPU,
		&lanes, &c.Total, &sealed, &j.Inputs.IdleSealed, &c.Running, &c.Succeeded, &c.Failed, &c.Cancelled, &cpu, &halt, &since, &sinceDone, &now,
		&j.ProcessesNow, &j.Executing}
	if err := row.Scan(append(into, beside...)...); err != nil {
		return nil, err
	}
	for _, part := range []struct {
		data []byte
		into any
	}{{program, &j.Program}, {inputs, &j.Inputs}, {policy, &j.EffectivePolicy}, {given, &j.Policy}} {
		if part.data == nil { // only older jobs have no policy as it was given
			j.Policy = j.EffectivePolicy.WithoutDefaults()
			continue
		}
		if err := json.Unmarshal(part.data, part.into); err != nil {
			return nil, fmt.Errorf("decode job %s: %w", j.ID, err)
		}
	}
	j.EffectivePolicy = j.EffectivePolicy.WithDefaults()
	if j.EffectivePolicy.Processes == nil {
		j.EffectivePolicy.Processes = &lanes
	}
	// Lanes above the limit end their turns soon.
	j.ProcessesNow = min(j.ProcessesNow, lanes)
	j.Executing = min(j.Executing, int64(lanes)*int64(*j.EffectivePolicy.Threads))
	j.Inputs.Count, j.Inputs.Open = c.Total, !sealed
	c.Waiting = c.Total - c.Running - c.Done()
	j.CreatedAt = jobs.Time{Time: created}
	j.StartedAt, j.FinishedAt = jobTime(started), jobTime(finished)
	j.CPUSeconds, e.CPUSeconds = float64(cpu)/1e6, float64(earlierCPU)/1e6
	e.RetriedAt = jobTime(retried)
	rate(&j, now, since, sinceDone)
	facts := insight.WaitFacts{Job: &j}
	if halt != nil {
		facts.Halt = *halt
	}
	j.Explain(facts.Waiting())
	j.ExplainSeal()
	return &j, nil
}

func jobTime(t *time.Time) *jobs.Time {
	if t == nil {
		return nil
	}
	return &jobs.Time{Time: *t}
}

// rate fills in Rate and ETASeconds, measured since a time at which sinceDone tasks had
// ended, or over the whole run if none has ended since. The rate is 0 while nothing can
// end: measured by the clock it would keep falling.
func rate(j *jobs.Job, now time.Time, since *time.Time, sinceDone int64) {
	if j.StartedAt == nil || !j.State.Ended() && (j.State == jobs.Paused || j.Counts.Running == 0) {
		return
	}
	done := j.Counts.Succeeded + j.Counts.Failed
	elapsed := j.Elapsed(now).Seconds()
	if elapsed > 0 {
		j.Rate = float64(done-j.Earlier.Succeeded-j.Earlier.Failed) / elapsed
	}
	if j.State.Ended() {
		return
	}
	if since != nil && done > sinceDone {
		if window := now.Sub(*since).Seconds(); window > 0 {
			j.Rate = float64(done-sinceDone) / window
		}
	}
	if left := j.Counts.Total - j.Counts.Done(); j.Rate > 0 && j.State == jobs.Running {
		eta := float64(left) / j.Rate
		j.ETASeconds = &eta
	}
}

// DeleteJob deletes an ended job and everything stored of it. It returns ErrConflict
// while the job has not ended.
func (s *Store) DeleteJob(ctx context.Context, v Viewer, id string) error {
	if !ValidID(id) {
		return fmt.Errorf("delete job %q: %w", id, jobs.ErrNotFound)
	}
	if v.ReadOnly {
		return fmt.Errorf("delete job: %w", jobs.ErrForbidden)
	}
	return s.Tx(ctx, func(tx pgx.Tx) error {
		var ended bool
		err := tx.QueryRow(ctx, `
			select p.ended from progress p join jobs j on j.id = p.job_id
			where j.id = $1 and ($2 or j.owner_id = $3) for update`, id, v.All, v.UserID).Scan(&ended)
		if err != nil {
			return wrap("read job", err)
		}
		if !ended {
			return fmt.Errorf("the job has not ended; cancel it first: %w", jobs.ErrConflict)
		}
		return deleteJobs(ctx, tx, []string{id})
	})
}

// deleteJobs deletes jobs and everything stored of them except the answers of keys.
func deleteJobs(ctx context.Context, tx pgx.Tx, ids []string) error {
	if err := keepAnswers(ctx, tx, ids); err != nil {
		return err
	}
	var b pgx.Batch
	releaseBlobs(&b, ids)
	for _, table := range []string{"input_blocks", "backlog", "chunks", "outcomes", "failure_groups", "attempts", "logs", "runs", "recalls", "progress"} {
		b.Queue(`delete from `+table+` where job_id = any($1)`, ids)
	}
	b.Queue(`delete from jobs where id = any($1)`, ids)
	for _, id := range ids {
		b.Queue(`select pg_notify($1, $2)`, channel, id)
	}
	return wrap("delete jobs", tx.SendBatch(ctx, &b).Close())
}

// DeleteOld deletes at most limit jobs that ended longer than keep ago, the oldest
// first, and returns their number.
func (s *Store) DeleteOld(ctx context.Context, keep time.Duration, limit int) (n int, err error) {
	err = s.Tx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			select id::text from jobs where finished_at < now() - $1::bigint * interval '1 microsecond'
			order by finished_at limit $2 for update skip locked`, keep.Microseconds(), limit)
		if err != nil {
			return wrap("find old jobs", err)
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return wrap("find old jobs", err)
		}
		if n = len(ids); n == 0 {
			return nil
		}
		return deleteJobs(ctx, tx, ids)
	})
	return n, err
}

// A Work holds the facts of a job that a node needs to run its tasks. Only the number
// of inputs of an open job changes.
type Work struct {
	Job      string
	OwnerID  string
	Queue    string
	Priority int
	Program  jobs.Program
	Inputs   jobs.InputsShape
	Policy   jobs.Policy
}

// Work reads the Work of a job.
func (s *Store) Work(ctx context.Context, id string) (*Work, error) {
	return readWork(ctx, s.Pool, id)
}

// querier is a pool or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func readWork(ctx context.Context, q querier, id string) (*Work, error) {
	w := Work{Job: id}
	var program, inputs, policy []byte
	err := q.QueryRow(ctx, `select owner_id, queue, priority, program, inputs, policy from jobs where id = $1`, id).
		Scan(&w.OwnerID, &w.Queue, &w.Priority, &program, &inputs, &policy)
	if err != nil {
		return nil, wrap("read job", err)
	}
	for _, part := range []struct {
		data []byte
		into any
	}{{program, &w.Program}, {inputs, &w.Inputs}, {policy, &w.Policy}} {
		if err := json.Unmarshal(part.data, part.into); err != nil {
			return nil, fmt.Errorf("decode job %s: %w", id, err)
		}
	}
	return &w, nil
}

// A JobLabel identifies a job to users who may see it.
type JobLabel struct {
	ID, Name, OwnerID string
}

// JobLabels reads the labels of the jobs with the ids, by id.
func (s *Store) JobLabels(ctx context.Context, ids []string) (map[string]JobLabel, error) {
	rows, err := s.Pool.Query(ctx, `select id::text, name, owner_id::text from jobs where id = any($1::uuid[]) limit 10000`, ids)
	if err != nil {
		return nil, wrap("read names of jobs", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[JobLabel])
	if err != nil {
		return nil, wrap("read names of jobs", err)
	}
	labels := make(map[string]JobLabel, len(list))
	for _, label := range list {
		labels[label.ID] = label
	}
	return labels, nil
}
