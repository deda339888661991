package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/insight"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// Bounds of what a report reads. It ignores rows beyond them: only jobs of many
// millions of tasks in chunks of one have so many.
const (
	maxReportChunks = 5_000_000
	maxReportBlocks = 5_000_000
)

// Report makes the speed-up report of a job's newest run. It reads the times of chunks
// and the durations of tasks row by row, without holding them.
func (s *Store) Report(ctx context.Context, job *jobs.Job) (*insight.Report, error) {
	p := job.EffectivePolicy
	facts := insight.ReportFacts{
		Ended: job.State.Ended(), Total: job.RunCounts().Total, Left: job.Counts.Waiting > 0, Paused: job.State == jobs.Paused,
		Threads: *p.Threads, Interpreter: job.Program.Python != nil, FixedChunks: p.ChunkSize != nil,
		MostLanes: mostLanes(job),
		Lanes:     insight.NewLaneTimes(0), Durations: insight.NewDurations(),
	}
	if job.StartedAt == nil {
		return facts.Report(), nil
	}
	var end time.Time
	if job.FinishedAt != nil {
		end = job.FinishedAt.Time
	} else if err := s.Pool.QueryRow(ctx, `select clock_timestamp()`).Scan(&end); err != nil {
		return nil, wrap("read clock", err)
	}
	facts.Wall = end.Sub(job.StartedAt.Time)
	run, err := s.laneTimes(ctx, job, end)
	if err != nil {
		return nil, err
	}
	facts.Lanes = run.times
	if facts.Cores, err = s.coresOf(ctx, run, *p.CoresPerProcess); err != nil {
		return nil, err
	}
	facts.OutputBytes, err = s.durations(ctx, job, facts.Durations)
	if err != nil {
		return nil, err
	}
	if job.Inputs.Range == nil && job.Run == 1 {
		err := s.Pool.QueryRow(ctx, `select coalesce(sum(octet_length(data)), 0) from input_blocks where job_id = $1`, job.ID).Scan(&facts.InputBytes)
		if err != nil {
			return nil, wrap("measure inputs", err)
		}
	}
	return facts.Report(), nil
}

// lanes holds the lane times and the cores of the chunks of a job's newest run.
type lanes struct {
	times *insight.LaneTimes
	nodes map[[16]byte]map[int32]bool // the cores that chunks were pinned to, by node; -1 for none
}

func (s *Store) laneTimes(ctx context.Context, job *jobs.Job, end time.Time) (lanes, error) {
	start := job.StartedAt.Time
	r := lanes{times: insight.NewLaneTimes(end.Sub(start)), nodes: make(map[[16]byte]map[int32]bool)}
	rows, err := s.Pool.Query(ctx, `
		select lane, node_id, coalesce(core, -1), first, count + recorded, leased_at, coalesce(started_at, leased_at), coalesce(finished_at, leased_at),
			state = 'leased', user_us, system_us, tasks_us, moving_us, waiting_us, peak_memory
		from chunks where job_id = $1 and state <> 'lost' and id > $2
		order by id limit $3`, job.ID, job.Earlier.LastChunk, maxReportChunks)
	if err != nil {
		return r, wrap("read chunks", err)
	}
	var (
		node                                 [16]byte
		core                                 int32
		leased, started, finished            time.Time
		user, system, tasks, moving, waiting int64
		c                                    insight.ChunkTime
	)
	us := func(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
	_, err = pgx.ForEachRow(rows, []any{&c.Lane, &node, &core, &c.First, &c.Count, &leased, &started, &finished,
		&c.Claimed, &user, &system, &tasks, &moving, &waiting, &c.PeakMemory}, func() error {
		if r.nodes[node] == nil {
			r.nodes[node] = make(map[int32]bool)
		}
		r.nodes[node][core] = true
		c.Leased, c.Started, c.Finished = leased.Sub(start), started.Sub(start), finished.Sub(start)
		c.User, c.System, c.Tasks, c.Moving, c.Waited = us(user), us(system), us(tasks), us(moving), us(waiting)
		r.times.Add(c)
		return nil
	})
	return r, wrap("read chunks", err)
}

// coresOf returns how many cores a run had: those that its processes were pinned to,
// otherwise all of its nodes.
func (s *Store) coresOf(ctx context.Context, r lanes, perProcess int) (int, error) {
	nodes := make([][16]byte, 0, len(r.nodes))
	for node := range r.nodes {
		nodes = append(nodes, node)
	}
	rows, err := s.Pool.Query(ctx, `select id, cores from nodes where id = any($1) limit $2`, nodes, len(nodes))
	if err != nil {
		return 0, wrap("read nodes", err)
	}
	var node [16]byte
	var cores, sum int
	_, err = pgx.ForEachRow(rows, []any{&node, &cores}, func() error {
		if pinned := r.nodes[node]; !pinned[-1] {
			cores = min(cores, len(pinned)*perProcess)
		}
		sum += cores
		return nil
	})
	return sum, wrap("read nodes", err)
}

// durations adds the durations of the outcomes of a job's newest run and returns the
// bytes of their outputs, which it does not read.
func (s *Store) durations(ctx context.Context, job *jobs.Job, into *insight.Durations) (outputs int64, err error) {
	rows, err := s.Pool.Query(ctx, `
		select first, count, durations, octet_length(outputs) from outcomes where job_id = $1 and chunk_id > $2 and not cancelled limit $3`, job.ID, job.Earlier.LastChunk, maxReportBlocks)
	if err != nil {
		return 0, wrap("read durations", err)
	}
	var at, size int64
	var count int
	var codes pgtype.DriverBytes
	_, err = pgx.ForEachRow(rows, []any{&at, &count, &codes, &size}, func() error {
		into.Add(at, outcomes.UnpackDurations(codes, count))
		outputs += size
		return nil
	})
	return outputs, wrap("read durations", err)
}

// mostLanes returns how many lanes a job may have had at once; 0 if its queue may have
// changed that.
func mostLanes(job *jobs.Job) int {
	if n := job.Policy.Processes; n != nil {
		return *n
	}
	return 0
}
