package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/insight"
)

// Bounds of what is read to explain why a job waits. Positions beyond them are
// unknown: reading 100,000 turns would take a tenth of a second.
const (
	lineSeen    = 5000   // turns of a queue
	placesSeen  = 1000   // of each queue's, for lists of jobs
	backlogSeen = 10_000 // spans of a job's backlog
	rivalsSeen  = 100    // other jobs that are read in full
	leasedSeen  = 20_000 // leased chunks and running turns
)

// Waiting returns why a job waits now or has fewer processes than it may have; nil if
// nothing limits it. It reads, in one round trip, only if the job itself does not
// answer that.
func (s *Store) Waiting(ctx context.Context, job *jobs.Job) (*jobs.Waiting, error) {
	if !job.Unexplained() {
		return job.Waiting, nil
	}
	var l insight.WaitLine
	f := insight.WaitFacts{Job: job, Line: &l}
	var q insight.WaitQueue
	var b pgx.Batch
	addWaitQueues(&b, job.Queue, func(found insight.WaitQueue) { q, f.Queue = found, &q })
	addWaitNodes(&b, &f.Nodes)
	addTasks(&b, &f)
	addLine(&b, &f)
	addFailing(&b, &f)
	if err := s.Pool.SendBatch(ctx, &b).Close(); err != nil {
		return nil, wrap("find out why the job waits", err)
	}
	return f.Waiting(), nil
}

// addWaitQueues reads the queue with the name, or every queue if it is empty.
func addWaitQueues(b *pgx.Batch, name string, found func(insight.WaitQueue)) {
	b.Queue(`
		select q.name, q.per_core, q.pinned, q.max_processes, `+paused+`, q.deleted
		from queues q `+pausesInRiver+`
		where $1 in ('', q.name) limit 1000`, name).
		Query(func(rows pgx.Rows) error {
			var q insight.WaitQueue
			_, err := pgx.ForEachRow(rows, []any{&q.Name, &q.PerCore, &q.Pinned, &q.MaxProcesses, &q.Paused, &q.Deleted}, func() error {
				found(q)
				return nil
			})
			return err
		})
}

// addWaitNodes reads the living nodes that run tasks.
func addWaitNodes(b *pgx.Batch, into *[]insight.WaitNode) {
	b.Queue(`
		select host, cores, serves, draining, coalesce((status->>'low_memory')::boolean, false),
			coalesce((status->'memory'->>'total_bytes')::bigint, 0), coalesce((status->'memory'->>'available_bytes')::bigint, 0)
		from nodes
		where state = 'alive' and role <> 'web' and cores > 0
			and heartbeat_at > clock_timestamp() - $1::bigint * interval '1 microsecond'
		order by host, id limit 1000`, NodeLease.Microseconds()).
		Query(func(rows pgx.Rows) (err error) {
			*into, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (n insight.WaitNode, err error) {
				err = row.Scan(&n.Host, &n.Cores, &n.Serves, &n.Draining, &n.LowMemory, &n.Memory.Total, &n.Memory.Available)
				return n, err
			})
			return err
		})
}

// addTasks reads which of the job's tasks can run, and in how many processes.
func addTasks(b *pgx.Batch, f *insight.WaitFacts) {
	b.Queue(`
		with b as (
			select count, due_at <= clock_timestamp() as due, due_at, losses >= 2 as suspect
			from backlog where job_id = $1 order by due_at limit $2
		), apart as (
			select exists (select from chunks where job_id = $1 and state = 'leased' and losses >= 2) as held
		)
		select coalesce(p.halt, ''), p.lanes, not p.lanes_auto,
			p.total - p.cursor + coalesce((select sum(count) from b where due and (not suspect or not (select held from apart))), 0)::bigint,
			coalesce((select sum(count) from b where due and suspect and (select held from apart)), 0)::bigint,
			coalesce((select sum(count) from b where not due), 0)::bigint,
			(select min(due_at) from b where not due),
			(select count(*) from b) = $2
		from progress p where p.job_id = $1`, f.Job.ID, backlogSeen).
		Query(func(rows pgx.Rows) error {
			l := f.Line
			var due *time.Time
			_, err := pgx.ForEachRow(rows, []any{&f.Halt, &l.Lanes, &l.Fixed, &l.Ready, &l.Suspects, &l.Later, &due, &l.More}, func() error {
				if due != nil {
					l.Due = *due
				}
				return nil
			})
			return err
		})
}

// lineSQL finds a job's place among the turns of its queue. Turns are fetched in the
// order of priority, scheduled_at and id. A fetched turn without a leased chunk waits
// for a slot, before all turns that are still in River's queue.
//
// $1 is the job, $2 its queue, $3 its priority, $4 whether it has started, $5
// lineSeen, $6 leasedSeen and $7 rivalsSeen.
var lineSQL = `
with held as materialized (
	select job_id, node_id, lane, min(leased_at) as since
	from (select job_id, node_id, lane, leased_at from chunks where state = 'leased' limit $6) c
	group by job_id, node_id, lane
), lanes as materialized (
	select j.id::text as job, j.priority, count(*) as lanes, min(h.since) as since,
		count(*) * coalesce((j.policy->>'cores_per_process')::int, 1) as slots
	from held h join jobs j on j.id = h.job_id where j.queue = $2 group by j.id
), fetched as materialized (
	select job, priority, count(*) - coalesce((select lanes from lanes l where l.job = r.job), 0) as turns
	from (` + turnsFetched(`$2`, `$6`) + `) r
	group by job, priority
), walk as materialized (
	select job, priority, row_number() over (order by priority, scheduled_at, id) as place
	from (` + turnsInLine(`$2`, `$5`) + `) r
), mine as materialized (
	select case when f.turns > 0 then 0 else w.place end as place, w.turns + coalesce(f.turns, 0) as turns
	from (select min(place) as place, count(*) as turns from walk where job = $1) w
	left join (select sum(greatest(turns, 0)) as turns from fetched where job = $1) f on true
), others as materialized (
	select job, min(priority) as priority, sum(ahead) as ahead, sum(waits) as waits, sum(lanes) as lanes, min(since) as since
	from (
		select job, min(priority) as priority, count(*) filter (where place < coalesce((select place from mine), $5 + 1)) as ahead,
			count(*) as waits, 0 as lanes, null::timestamptz as since
		from walk group by job
		union all
		select job, priority, case when (select place from mine) = 0 then 0 else turns end, turns, 0, null from fetched where turns > 0
		union all
		select job, priority, 0, 0, lanes, since from lanes
	) t where job <> $1 group by job
), rivals as materialized (
	select * from others where lanes > 0 or ahead > 0 or $4 and waits > 0 and priority <= $3
), all_in_all as (
	select coalesce((select lanes from lanes where job = $1), 0) as running,
		mine.turns, mine.place is null and (select count(*) from walk) = $5 as beyond,
		coalesce((select sum(slots) from lanes), 0) as used,
		(select count(*) from others where ahead > 0) as ahead,
		coalesce((select sum(ahead) from others), 0) as turned,
		(select count(*) from others where waits > 0 and priority <= $3) as waiters,
		(select count(*) from rivals) as before
	from mine
)
select a.running::int, a.turns::int, a.beyond, a.used::int, a.ahead, a.turned::bigint, a.waiters, a.before,
	r.urgent, r.ahead::bigint, r.lanes::int, coalesce(extract(epoch from clock_timestamp() - r.since) * 1000000, 0)::bigint,
	r.unended, r.task_us
from all_in_all a left join lateral (
	select r.priority < $3 as urgent, r.ahead, r.lanes, r.since, p.total - p.succeeded - p.failed as unended,
		case when p.succeeded + p.failed > 0 then
			greatest(p.tasks_us / (p.succeeded + p.failed) / coalesce((j.policy->>'threads')::int, 1), 1) else 0 end as task_us
	from (select * from rivals order by priority < $3 desc, lanes desc, ahead desc, job limit $7) r
	join jobs j on j.id = r.job::uuid join progress p on p.job_id = j.id
) r on true`

// addLine reads the turns of the job's queue and the job's place among them.
func addLine(b *pgx.Batch, f *insight.WaitFacts) {
	job := f.Job
	b.Queue(lineSQL, job.ID, job.Queue, job.Priority, job.StartedAt != nil, lineSeen, leasedSeen, rivalsSeen).
		Query(func(rows pgx.Rows) error {
			l := f.Line
			var urgent *bool
			var turns, unended, task *int64
			var lanes *int
			var held int64
			_, err := pgx.ForEachRow(rows, []any{&l.Running, &l.Turns, &l.Beyond, &l.Used, &l.Ahead, &l.Turned, &l.Waiters, &l.Before,
				&urgent, &turns, &lanes, &held, &unended, &task}, func() error {
				if urgent != nil {
					l.Rivals = append(l.Rivals, insight.WaitRival{
						Urgent: *urgent, Turns: *turns, Lanes: *lanes, Left: *unended,
						Held: time.Duration(held) * time.Microsecond, Task: time.Duration(*task) * time.Microsecond,
					})
				}
				return nil
			})
			return err
		})
}

// addFailing reads the job's turns that failed because of their node. Turns that
// are running again are recognised by their errors.
func addFailing(b *pgx.Batch, f *insight.WaitFacts) {
	job := f.Job
	b.Queue(turnsFailing, job.ID, job.Queue, lineSeen, job.Priority).
		Query(func(rows pgx.Rows) error {
			l := f.Line
			var now int
			var next *time.Time
			_, err := pgx.ForEachRow(rows, []any{&l.Failing, &now, &next, &l.Error}, func() error {
				l.Turns -= min(now, l.Turns)
				if next != nil {
					l.Next = *next
				}
				return nil
			})
			return err
		})
}

// Lines are the limits of jobs, as far as they are known without reading each job:
// queues, nodes, and the first turns of each queue.
type Lines struct {
	At     time.Time // when it was read, by this process's clock
	queues map[string]insight.WaitQueue
	nodes  []insight.WaitNode
	places map[string]int64 // of jobs in their queues' lines, from 1
}

// Lines reads Lines.
func (s *Store) Lines(ctx context.Context) (*Lines, error) {
	l := &Lines{At: time.Now(), queues: make(map[string]insight.WaitQueue), places: make(map[string]int64)}
	var b pgx.Batch
	addWaitQueues(&b, "", func(q insight.WaitQueue) { l.queues[q.Name] = q })
	addWaitNodes(&b, &l.nodes)
	b.Queue(`
		with held as materialized (
			select distinct job_id::text as job from (select job_id from chunks where state = 'leased' limit $2) c
		)
		select q.name, r.job from queues q, lateral (
			(select 0 as part, t.* from (`+turnsFetched(`q.name`, `$1`)+`) t)
			union all
			(select 1, t.* from (`+turnsInLine(`q.name`, `$1`)+`) t)
		) r
		where r.part = 1 or r.job not in (select job from held)
		order by q.name, r.part, r.priority, r.scheduled_at, r.id limit $2`, placesSeen, leasedSeen).
		Query(func(rows pgx.Rows) error {
			var queue, job, last string
			var place int64
			_, err := pgx.ForEachRow(rows, []any{&queue, &job}, func() error {
				if queue != last {
					last, place = queue, 0
				}
				if l.places[job] == 0 {
					place++
					l.places[job] = place
				}
				return nil
			})
			return err
		})
	if err := s.Pool.SendBatch(ctx, &b).Close(); err != nil {
		return nil, wrap("read the queues' lines", err)
	}
	return l, nil
}

// Why returns what limits the job by what l knows, or nil. With place it includes the
// job's place in its queue.
func (l *Lines) Why(j *jobs.Job, place bool) *jobs.Waiting {
	if !j.Unexplained() {
		return j.Waiting
	}
	f := insight.WaitFacts{Job: j, Nodes: l.nodes}
	if q, ok := l.queues[j.Queue]; ok {
		f.Queue = &q
	}
	w := f.Waiting()
	if n := l.places[j.ID]; w == nil && place && n > 0 && j.Counts.Running == 0 {
		w = insight.InLine(j.Queue, n)
	}
	return w
}
