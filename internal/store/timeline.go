package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/timeline"
)

// Every statement here serves one job (@job) and all jobs (@job is null). It is
// planned for its very parameters, with plan_cache_mode set to
// force_custom_plan: the planner folds `@job is null or` and picks the index of
// the job's chunks or of all chunks.
const customPlan = `select set_config('plan_cache_mode', 'force_custom_plan', true)`

const (
	// mostChunks is how many chunks a timeline reads one by one, beside leased
	// and long ones. Of more it reads a sample of about this many.
	mostChunks = 200_000
	// longChunk is the least duration of the chunks in the index chunks_long.
	longChunk = 10 * time.Second
)

// A chunkScan is the window of a timeline with the chunks to read.
type chunkScan struct {
	timeline.Window
	job    *string // nil for all
	viewer Viewer

	lo, hi int64   // ids of all chunks that were leased in the window, or up to longChunk before
	step   int64   // one chunk is read of this many ids
	about  float64 // how many chunks the ids have, where step is not 1
}

func (c *chunkScan) args() pgx.NamedArgs {
	var since *time.Time
	if !c.Since.IsZero() {
		since = &c.Since
	}
	return pgx.NamedArgs{
		"job": c.job, "all": c.viewer.All, "viewer": c.viewer.UserID,
		"from": c.From, "to": c.To, "lower": c.Lower(), "since": since, "unit": c.Unit,
		"until": c.Until, "lo": c.lo, "hi": c.hi, "step": c.step, "most": mostChunks,
		"goals": []time.Time{c.Lower().Add(-longChunk - timeline.Slack), c.To.Add(timeline.Slack)},
	}
}

// oneIn returns how many chunks each of the chunks that were read stands for.
func (c *chunkScan) oneIn(read int64) float64 {
	if c.step == 1 || read == 0 {
		return 1
	}
	return max(c.about/float64(read), 1)
}

// scanRow runs a statement that returns one row, planned for its parameters.
func (s *Store) scanRow(ctx context.Context, sql string, args pgx.NamedArgs, dest ...any) error {
	var b pgx.Batch
	b.Queue(customPlan)
	b.Queue(sql, args).QueryRow(func(row pgx.Row) error { return row.Scan(dest...) })
	return s.Pool.SendBatch(ctx, &b).Close()
}

// openTimeline fills in the query's times, finds the ids of the chunks in the
// window and, where they are many, makes the unit fit the rows.
func (s *Store) openTimeline(ctx context.Context, v Viewer, q timeline.Query) (*chunkScan, error) {
	c := &chunkScan{viewer: v, step: 1}
	if q.Job != nil {
		c.job = &q.Job.ID
	}
	var now time.Time
	var first *time.Time
	err := s.scanRow(ctx, `
		select clock_timestamp(), (
			select leased_at from chunks where (@job::uuid is null or job_id = @job) order by id limit 1)`,
		c.args(), &now, &first)
	if err != nil {
		return nil, wrap("read clock", err)
	}
	c.Window = q.Window(now, first)
	if err := s.findChunks(ctx, c); err != nil {
		return nil, err
	}
	if q.Width == 0 || !c.Since.IsZero() || c.hi-c.lo <= timeline.MaxRects {
		return c, nil
	}
	// The first chunks show how many rows there are.
	var rows int
	err = s.scanRow(ctx, `
		select count(distinct (node_id, core, case when core is null then lane end)) from (
			select node_id, core, lane from chunks
			where (@job::uuid is null or job_id = @job) and id >= @lo and id < @hi order by id limit 4096
		) c`, c.args(), &rows)
	if err != nil {
		return nil, wrap("count rows of timeline", err)
	}
	c.FitRows(rows)
	return c, nil
}

// findChunks fills in which ids to read. Ids grow with the time of the lease, so
// a bisection over the index finds the bounds: a window in a long history costs
// no more than one at its end.
func (s *Store) findChunks(ctx context.Context, c *chunkScan) error {
	err := s.scanRow(ctx, `
		with recursive extent as (
			select min(id) as lo, max(id) + 1 as hi from chunks where (@job::uuid is null or job_id = @job)
		), b as (
			select goal, n, lo, hi from extent, unnest(@goals::timestamptz[]) with ordinality as goals (goal, n)
			union all
			select b.goal, b.n,
				case when at.leased_at < b.goal then at.id + 1 else b.lo end,
				case when at.leased_at < b.goal then b.hi else (b.lo + b.hi) / 2 end
			from b, lateral (
				select id, leased_at from chunks
				where (@job::uuid is null or job_id = @job) and id >= (b.lo + b.hi) / 2 order by id limit 1
			) at
			where b.lo < b.hi
		)
		select coalesce(max(lo) filter (where n = 1), 0), coalesce(max(lo) filter (where n = 2), 0) from b`,
		c.args(), &c.lo, &c.hi)
	if err != nil || c.hi-c.lo <= mostChunks {
		return wrap("find chunks", err)
	}
	var count, last int64
	err = s.scanRow(ctx, `
		select count(*), coalesce(max(id), 0) from (
			select id from chunks
			where (@job::uuid is null or job_id = @job) and id >= @lo and id < @hi order by id limit @most + 1
		) c`, c.args(), &count, &last)
	if err != nil || count <= mostChunks {
		return wrap("count chunks", err)
	}
	c.step = (c.hi - c.lo + mostChunks - 1) / mostChunks
	// Other jobs take ids too. The ids that were counted show how densely.
	c.about = float64(count) / float64(last-c.lo+1) * float64(c.hi-c.lo)
	return nil
}

// endedChunks has the chunks that ended and reach into the window, in three
// parts. The first two exclude each other, and the planner drops the other one.
//
//  1. Those leased in the window or shortly before.
//  2. Of very many, a sample: one chunk of every @step ids, at any place among
//     them. Lanes take turns, so at the same place the sample might meet the
//     same lane each time.
//  3. Those leased longer before. `offset 0` keeps the planner from any index
//     but chunks_long.
const endedChunks = `
	with candidates as (
		select c.* from chunks c
		where @step::bigint = 1 and (@job::uuid is null or job_id = @job) and id >= @lo and id < @hi and state <> 'leased'
		union all
		select c.* from generate_series(@lo::bigint, @hi::bigint - 1, @step::bigint) at cross join lateral (
			select * from chunks
			where (@job::uuid is null or job_id = @job) and id >= at + (hashint8(at) & 2147483647) % @step::bigint and id < at + @step::bigint
			order by id limit 1
		) c
		where @step::bigint > 1 and state <> 'leased'
		union all
		select c.* from (
			select * from chunks
			where finished_at - leased_at > interval '10 seconds' and finished_at > @lower and finished_at <= @until
				and leased_at < @lower::timestamptz - interval '10 seconds'
			offset 0
		) c
		where (@job::uuid is null or job_id = @job) and id < @lo
	), ended as (
		select *, coalesce(started_at, leased_at) as s, finished_at as e from candidates
		where coalesce(started_at, leased_at) < @to and finished_at >= @from
			and (finished_at > coalesce(started_at, leased_at) or count > 0)
			and (@since::timestamptz is null or coalesce(started_at, leased_at) >= @since)
	)`

// readChunks reads the leased chunks of a scan and then, with a statement that
// begins with endedChunks, what has ended: a chunk that ends meanwhile is seen
// twice rather than never.
func (s *Store) readChunks(ctx context.Context, c *chunkScan, ended string, read func(pgx.Rows) error) ([]timeline.Lease, error) {
	var leases []timeline.Lease
	var b pgx.Batch
	b.Queue(customPlan)
	b.Queue(`
		select c.node_id::text, coalesce(n.host, ''), c.core, c.lane, c.job_id::text, c.leased_at, c.first, c.count + c.recorded, c.id
		from chunks c join jobs j on j.id = c.job_id left join nodes n on n.id = c.node_id
		where c.state = 'leased' and (c.job_id = @job or @job::uuid is null and (@all or j.owner_id = @viewer))`, c.args()).
		Query(func(rows pgx.Rows) error {
			for rows.Next() {
				var l timeline.Lease
				if err := rows.Scan(&l.Node, &l.Host, &l.Core, &l.Lane, &l.Job, &l.At, &l.First, &l.Count, &l.ID); err != nil {
					return err
				}
				leases = append(leases, l)
			}
			return rows.Err()
		})
	// Sorting the chunks to group them, which the planner prefers when it expects
	// too many groups, would go by the disk.
	b.Queue(`select set_config('enable_sort', 'off', true)`)
	b.Queue(ended, c.args()).Query(read)
	return leases, wrap("read timeline", s.Pool.SendBatch(ctx, &b).Close())
}

// Timeline reads what ran in a window. The caller has made sure that the viewer
// may see the query's job.
func (s *Store) Timeline(ctx context.Context, v Viewer, q timeline.Query) (*timeline.Timeline, error) {
	c, err := s.openTimeline(ctx, v, q)
	if err != nil {
		return nil, err
	}
	var groups []timeline.Group
	var read int64
	leases, err := s.readChunks(ctx, c, endedChunks+`
		select coalesce(n.host, ''), g.core, g.lane, g.job_id::text, g.state, g.s, g.e, g.busy, g.first, g.last, g.count, g.chunks, g.failed
		from (
			select node_id, job_id, core, case when core is null then lane end as lane, state,
				min(s) as s, max(e) as e, extract(epoch from sum(e - s))::float8 as busy,
				min(first) as first, max(first + greatest(count, 1)) - 1 as last, sum(count) as count, count(*) as chunks, sum(failed) as failed
			from ended
			group by node_id, job_id, core, case when core is null then lane end, state, date_bin(@unit, s, 'epoch'::timestamptz)
		) g
		join jobs j on j.id = g.job_id left join nodes n on n.id = g.node_id
		where g.job_id = @job or @job::uuid is null and (@all or j.owner_id = @viewer)`,
		func(rows pgx.Rows) error {
			for rows.Next() {
				var g timeline.Group
				if err := rows.Scan(&g.Host, &g.Core, &g.Lane, &g.Job, &g.State, &g.Start, &g.End, &g.Busy,
					&g.First, &g.Last, &g.Count, &g.Chunks, &g.Failed); err != nil {
					return err
				}
				read += g.Chunks
				groups = append(groups, g)
			}
			return rows.Err()
		})
	if err != nil {
		return nil, err
	}
	cores, err := s.timelineCores(ctx, q)
	if err != nil {
		return nil, err
	}
	running := c.Running(leases)
	layout := timeline.Arrange(c.Window, append(groups, running...), cores)
	list, err := s.timelineJobs(ctx, q.Job, layout.Jobs())
	if err != nil {
		return nil, err
	}
	return layout.Timeline(list, c.oneIn(read+int64(len(running)))), nil
}

// TimelineTotals adds up a timeline row by row. oneIn is as in
// [timeline.Timeline].
func (s *Store) TimelineTotals(ctx context.Context, v Viewer, q timeline.Query) (totals []timeline.Total, oneIn float64, err error) {
	c, err := s.openTimeline(ctx, v, q)
	if err != nil {
		return nil, 0, err
	}
	cores, err := s.timelineCores(ctx, q)
	if err != nil {
		return nil, 0, err
	}
	sums := timeline.NewTotals(c.Window, cores)
	var read int64
	leases, err := s.readChunks(ctx, c, endedChunks+`
		select coalesce(n.host, ''), g.core, g.lane, g.job_id::text, g.busy, g.chunks, g.tasks, g.failed, g.lost, g.longest
		from (
			select node_id, job_id, core, case when core is null then lane end as lane,
				coalesce(extract(epoch from sum(least(e, @to) - greatest(s, @from)) filter (where state <> 'lost')) * 1000000, 0)::bigint as busy,
				count(*) as chunks, coalesce(sum(count) filter (where state <> 'lost'), 0) as tasks, sum(failed) as failed,
				count(*) filter (where state = 'lost') as lost,
				max(array[extract(epoch from e - s) * 1000000, first, count]::bigint[]) filter (where state <> 'lost') as longest
			from ended
			group by node_id, job_id, core, case when core is null then lane end
		) g
		join jobs j on j.id = g.job_id left join nodes n on n.id = g.node_id
		where g.job_id = @job or @job::uuid is null and (@all or j.owner_id = @viewer)`,
		func(rows pgx.Rows) error {
			for rows.Next() {
				var (
					at      timeline.Place
					busy    int64 // µs
					longest []int64
					t       timeline.Total
				)
				if err := rows.Scan(&at.Host, &at.Core, &at.Lane, &t.Longest.Job, &busy, &t.Chunks, &t.Tasks, &t.Failed, &t.Lost, &longest); err != nil {
					return err
				}
				if longest != nil {
					t.Longest.Took = time.Duration(longest[0]) * time.Microsecond
					t.Longest.First, t.Longest.Count = longest[1], longest[2]
				}
				read += t.Chunks
				sums.Add(at, time.Duration(busy)*time.Microsecond, t)
			}
			return rows.Err()
		})
	if err != nil {
		return nil, 0, err
	}
	sums.AddRunning(c.Running(leases))
	oneIn = c.oneIn(read)
	return sums.Rows(oneIn), oneIn, nil
}

// timelineCores returns the cores that have a row though they are idle: those
// of live nodes, in a timeline of all jobs.
func (s *Store) timelineCores(ctx context.Context, q timeline.Query) ([]timeline.Place, error) {
	if q.Job != nil {
		return nil, nil
	}
	nodes, err := s.Nodes(ctx)
	return timeline.LiveCores(nodes), err
}

// timelineJobs names the jobs of a timeline, in the order of their ids.
func (s *Store) timelineJobs(ctx context.Context, job *jobs.Job, ids []string) ([]timeline.JobName, error) {
	if job != nil {
		return []timeline.JobName{{ID: job.ID, Name: job.Name}}, nil
	}
	rows, err := s.Pool.Query(ctx, `select id::text, name from jobs where id = any($1::uuid[]) order by id`, ids)
	if err != nil {
		return nil, wrap("read names of jobs", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[timeline.JobName])
	return list, wrap("read names of jobs", err)
}
