package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// Bounds of what one call of Outcomes holds in memory: of the last row it may be
// as much again.
const (
	maxOutcomeRows  = 256
	maxOutcomeBytes = 1 << 20
)

// A Block is a run of outcomes as stored.
type Block struct {
	outcomes.Encoded
	Seq    int64          // order of completion within the job, from 1
	Groups []jobs.GroupID // of each of Failed
	Size   int64          // bytes of all its Outputs, which has the first MiB at most of those not packed; see [Store.MoreOutputs]
}

// scan takes the columns first, count, seq, failed, groups, outputs, their
// length, durations and more, and unpacks them: Outputs are lines.
func (b *Block) scan(row pgx.Row, more ...any) error {
	var groups []int64
	columns := append([]any{&b.First, &b.Count, &b.Seq, &b.Failed, &groups, &b.Outputs, &b.Size, &b.Durations}, more...)
	if err := row.Scan(columns...); err != nil {
		return err
	}
	b.Groups = make([]jobs.GroupID, len(groups))
	for i, id := range groups {
		b.Groups[i] = jobs.GroupID(id)
	}
	b.Durations = outcomes.UnpackDurations(b.Durations, b.Count)
	if outcomes.Packed(b.Outputs) {
		b.Outputs = outcomes.Text(b.Outputs)
		b.Size = int64(len(b.Outputs))
	}
	return nil
}

// $5 is the longest line of a packed number.
const boundedBlocks = `
	select first, count, seq, failed, groups, substr(outputs, 1, $4::int), octet_length(outputs), durations from (
		select *, sum(size) over (order by %[1]s) - size as before
		from (select *, greatest(octet_length(outputs), count * $5::int) as size from outcomes where job_id = $1 and %[2]s order by %[1]s limit $3) page
	) page where before < $4::int order by %[1]s`

// A Pick says which blocks Outcomes reads: those with a failure, and those with
// one of a group.
type Pick struct {
	Failed bool
	Group  jobs.GroupID // 0 for any
}

// Outcomes reads the next outcomes of a job in the order of their indexes, from
// task index from on; the first block may begin before it. It holds no
// transaction afterwards.
func (s *Store) Outcomes(ctx context.Context, job string, from int64, pick Pick) ([]Block, error) {
	condition := `first >= coalesce((select max(o.first) from outcomes o where o.job_id = $1 and o.first <= $2), 0)
		and first + count > $2`
	switch {
	case pick.Group != 0:
		condition = fmt.Sprintf(`first + count > $2 and failed <> '{}' and %d = any(groups)`, int64(pick.Group))
	case pick.Failed:
		condition = `first + count > $2 and failed <> '{}'`
	}
	return s.blocks(ctx, fmt.Sprintf(boundedBlocks, "first", condition), job, from)
}

// JobWithOutcomes reads a job as Job does, and in the same round trip what
// Outcomes would read from its first task on if it has ended and has at most
// small tasks.
func (s *Store) JobWithOutcomes(ctx context.Context, v Viewer, id string, small int64) (job *jobs.Job, first []Block, err error) {
	if !ValidID(id) {
		return nil, nil, fmt.Errorf("read job %q: %w", id, jobs.ErrNotFound)
	}
	var b pgx.Batch
	const condition = `first >= $2 and (select p.ended and p.total <= $6 from progress p where p.job_id = $1)`
	b.Queue(fmt.Sprintf(boundedBlocks, "first", condition), id, 0, maxOutcomeRows, maxOutcomeBytes, outcomes.MaxNumberLine, small).
		Query(func(rows pgx.Rows) (err error) {
			first, err = collectBlocks(rows)
			return err
		})
	// After its outcomes: a job that is deleted in between is not found, rather
	// than found without outcomes.
	b.Queue(oneJob, id, v.All, v.UserID).QueryRow(func(row pgx.Row) (err error) {
		job, err = scanJob(row)
		return err
	})
	if err := s.Pool.SendBatch(ctx, &b).Close(); err != nil {
		return nil, nil, wrap("read job", err)
	}
	return job, first, nil
}

// Unchanged makes sure that the outcomes which job had when it was read are still
// there. It is ErrNotFound when the job was deleted since, and ErrConflict when it
// had ended and was retried.
func (s *Store) Unchanged(ctx context.Context, job *jobs.Job) error {
	var finished *time.Time
	err := s.Pool.QueryRow(ctx, `select finished_at from jobs where id = $1`, job.ID).Scan(&finished)
	if err != nil {
		return wrap("read job", err)
	}
	if job.FinishedAt != nil && (finished == nil || !finished.Equal(job.FinishedAt.Time)) {
		return fmt.Errorf("the job was retried: %w", jobs.ErrConflict)
	}
	return nil
}

// Completed reads the next outcomes of a job in the order of their completion,
// from those after the block with sequence number after.
func (s *Store) Completed(ctx context.Context, job string, after int64) ([]Block, error) {
	return s.blocks(ctx, fmt.Sprintf(boundedBlocks, "seq", "seq > $2"), job, after)
}

func (s *Store) blocks(ctx context.Context, sql, job string, from int64) ([]Block, error) {
	rows, err := s.Pool.Query(ctx, sql, job, from, maxOutcomeRows, maxOutcomeBytes, outcomes.MaxNumberLine)
	if err != nil {
		return nil, wrap("read outcomes", err)
	}
	blocks, err := collectBlocks(rows)
	return blocks, wrap("read outcomes", err)
}

func collectBlocks(rows pgx.Rows) ([]Block, error) {
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (b Block, err error) {
		return b, b.scan(row)
	})
}

// MoreOutputs reads the next MiB at most of a block's Outputs, from byte from on.
// It is ErrNotFound when the block is not there any more because its job was
// retried or deleted.
func (s *Store) MoreOutputs(ctx context.Context, job string, seq, from int64) (data []byte, err error) {
	err = s.Pool.QueryRow(ctx, `select substr(outputs, $3::int, $4::int) from outcomes where job_id = $1 and seq = $2`,
		job, seq, from+1, maxOutcomeBytes).Scan(&data)
	return data, wrap("read outputs", err)
}

// A Cell is a stretch of neighbouring tasks and how many of them are in which
// state; what is in none of them is waiting.
type Cell struct {
	First, Count                          int64
	Succeeded, Failed, Running, Cancelled int64
}

// Strip divides the tasks of a job into at most n cells of equal size.
func (s *Store) Strip(ctx context.Context, job *jobs.Job, n int) ([]Cell, error) {
	total := job.Counts.Total
	if total == 0 || n < 1 {
		return nil, nil
	}
	size := (total + int64(n) - 1) / int64(n)
	cells := make([]Cell, (total+size-1)/size)
	for i := range cells {
		cells[i].First = int64(i) * size
		cells[i].Count = min(size, total-cells[i].First)
	}
	spread := func(first, count int64, add func(*Cell, int64)) {
		for at, end := first, min(first+count, total); at < end; {
			cell := &cells[at/size]
			n := min(end, cell.First+cell.Count) - at
			add(cell, n)
			at += n
		}
	}
	// Blocks that lie within one cell are added up by the database, so that the
	// rows that come back are bounded by the cells and the blocks across them.
	rows, err := s.Pool.Query(ctx, `
		select min(first), sum(count), sum(cardinality(failed)), null::integer[] from outcomes
			where job_id = $1 and first / $2 = (first + count - 1) / $2 group by first / $2
		union all
		select first, count, cardinality(failed), failed from outcomes
			where job_id = $1 and first / $2 <> (first + count - 1) / $2`, job.ID, size)
	if err != nil {
		return nil, wrap("read strip", err)
	}
	var first, count, failed int64
	var offsets []int32
	_, err = pgx.ForEachRow(rows, []any{&first, &count, &failed, &offsets}, func() error {
		if offsets == nil {
			cell := &cells[first/size]
			cell.Succeeded += count - failed
			cell.Failed += failed
			return nil
		}
		spread(first, count, func(c *Cell, n int64) { c.Succeeded += n })
		for _, offset := range offsets {
			cell := &cells[(first+int64(offset))/size]
			cell.Succeeded--
			cell.Failed++
		}
		return nil
	})
	if err != nil {
		return nil, wrap("read strip", err)
	}
	if job.State.Ended() {
		if err := s.Unchanged(ctx, job); err != nil {
			return nil, err
		}
		for i := range cells {
			c := &cells[i]
			c.Cancelled = c.Count - c.Succeeded - c.Failed
		}
		return cells, nil
	}
	rows, err = s.Pool.Query(ctx, `select first, count from chunks where job_id = $1 and state = 'leased' limit 10000`, job.ID)
	if err != nil {
		return nil, wrap("read strip", err)
	}
	_, err = pgx.ForEachRow(rows, []any{&first, &count}, func() error {
		spread(first, count, func(c *Cell, n int64) { c.Running = min(c.Running+n, c.Count-c.Succeeded-c.Failed) })
		return nil
	})
	return cells, wrap("read strip", err)
}

// Timeline reads the chunks of a job as bars, in the order in which they were
// claimed, from after the chunk numbered after on, at most limit.
func (s *Store) Timeline(ctx context.Context, job string, after int64, limit int) ([]jobs.Bar, error) {
	rows, err := s.Pool.Query(ctx, `
		select c.id, c.node_id::text, coalesce(n.host, ''), c.core, c.lane, c.first, c.count, c.state, c.failed,
			coalesce(c.started_at, c.leased_at), c.finished_at,
			c.user_us, c.system_us, c.tasks_us, c.moving_us, c.waiting_us, c.peak_memory
		from chunks c left join nodes n on n.id = c.node_id
		where c.job_id = $1 and c.id > $2 and c.count > 0 order by c.id limit $3`, job, after, limit)
	if err != nil {
		return nil, wrap("read timeline", err)
	}
	bars, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (b jobs.Bar, err error) {
		var finished *time.Time
		var user, system, tasks, moving, waiting int64
		err = row.Scan(&b.Chunk, &b.NodeID, &b.Node, &b.Core, &b.Lane, &b.First, &b.Count, &b.State, &b.Failed,
			&b.StartedAt.Time, &finished, &user, &system, &tasks, &moving, &waiting, &b.PeakMemory)
		b.FinishedAt = jobTime(finished)
		b.UserMS, b.SystemMS = float64(user)/1000, float64(system)/1000
		b.TasksMS, b.MovingMS, b.WaitingMS = float64(tasks)/1000, float64(moving)/1000, float64(waiting)/1000
		return b, err
	})
	return bars, wrap("read timeline", err)
}

// Task reads one task of a job, with its last log lines.
func (s *Store) Task(ctx context.Context, job *jobs.Job, index int64) (*jobs.Task, error) {
	if index < 0 || index >= job.Counts.Total {
		return nil, fmt.Errorf("the job has no task %d: %w", index, jobs.ErrNotFound)
	}
	t := &jobs.Task{Job: job.ID, Index: index, State: jobs.TaskWaiting, Logs: []jobs.LogLine{}}
	if err := s.taskInput(ctx, job, t); err != nil {
		return nil, err
	}
	var (
		first, chunk       int64
		count              int
		outputs, durations []byte
		attempt            *int
		node, host         *string
		started, finished  *time.Time
	)
	err := s.Pool.QueryRow(ctx, `
		select o.first, o.count, o.outputs, o.durations, o.chunk_id, c.attempt, c.node_id::text, n.host, c.core, c.started_at, c.finished_at
		from outcomes o left join chunks c on c.id = o.chunk_id left join nodes n on n.id = c.node_id
		where o.job_id = $1 and o.first <= $2 order by o.first desc limit 1`, job.ID, index).
		Scan(&first, &count, &outputs, &durations, &chunk, &attempt, &node, &host, &t.Core, &started, &finished)
	switch {
	case err == nil && index < first+int64(count):
		outcome(t, int(index-first), outputs, outcomes.UnpackDurations(durations, count), started, finished)
		t.Attempts = 1
		if attempt != nil {
			t.Attempts = *attempt
		}
		if node != nil {
			t.NodeID = *node
		}
		if host != nil {
			t.Node = *host
		}
	case err != nil && err != pgx.ErrNoRows:
		return nil, wrap("read task", err)
	case job.State.Ended():
		t.State = jobs.TaskCancelled
		t.Core = nil
		if err := s.Unchanged(ctx, job); err != nil {
			return nil, err
		}
	default:
		t.Core = nil
		if err := s.taskInHand(ctx, t); err != nil {
			return nil, err
		}
	}
	if t.Earlier, err = s.attempts(ctx, job.ID, index); err != nil {
		return nil, err
	}
	page, err := s.Logs(ctx, job.ID, LogFilter{Task: &index}, 0)
	if err != nil {
		return nil, err
	}
	t.Logs = append(t.Logs, page.Lines...)
	return t, nil
}

// outcome fills in what the task at an offset of a run ended with. Within a
// chunk tasks follow each other, so a task began when those before it were done.
func outcome(t *jobs.Task, offset int, outputs, durations []byte, started, finished *time.Time) {
	for i, line := range outcomes.Lines(outputs) {
		if i != offset {
			continue
		}
		if !line.Failed() {
			t.State = jobs.TaskSucceeded
			t.Output = jobs.AppendUnicode(nil, line.Value())
			break
		}
		t.State = jobs.TaskFailed
		t.Error = new(jobs.TaskError)
		if err := json.Unmarshal(line.Value(), t.Error); err != nil {
			t.Error = &jobs.TaskError{Kind: jobs.KindCrash, Message: "its error could not be read: " + err.Error()}
		}
		t.Traceback = t.Error.Traceback
		break
	}
	run := outcomes.Encoded{Durations: durations}
	var before time.Duration
	for i := range offset {
		took, _ := run.Duration(i)
		before += took
	}
	took, known := run.Duration(offset)
	if !known {
		return
	}
	ms := took.Seconds() * 1000
	t.DurationMS = &ms
	t.StartedAt = startedAt(started, finished, before, took)
}

func (s *Store) taskInput(ctx context.Context, job *jobs.Job, t *jobs.Task) error {
	if r := job.Inputs.Range; r != nil {
		t.Input = json.RawMessage(fmt.Append(nil, r.At(t.Index)))
		return nil
	}
	var first int64
	var data []byte
	err := s.Pool.QueryRow(ctx, `
		select first, data from input_blocks where job_id = $1 and first <= $2 order by first desc limit 1`, job.ID, t.Index).
		Scan(&first, &data)
	if err != nil {
		return wrap("read input", err)
	}
	line := appendLines(nil, data, first, t.Index, t.Index+1)
	t.Input = jobs.Unicode(line[:max(len(line)-1, 0)])
	return nil
}

// taskInHand fills in where a task without an outcome is, if it was claimed.
func (s *Store) taskInHand(ctx context.Context, t *jobs.Task) error {
	var leased time.Time
	err := s.Pool.QueryRow(ctx, `
		select c.attempt, c.node_id::text, coalesce(n.host, ''), c.core, c.leased_at
		from chunks c left join nodes n on n.id = c.node_id
		where c.job_id = $1 and c.state = 'leased' and c.first <= $2 and c.first + c.count > $2 limit 1`, t.Job, t.Index).
		Scan(&t.Attempts, &t.NodeID, &t.Node, &t.Core, &leased)
	if err == pgx.ErrNoRows {
		return nil
	}
	t.State = jobs.TaskRunning
	return wrap("read task", err)
}
