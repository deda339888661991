package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// Bounds of what a page holds of one task, in bytes.
const (
	rowValue = 1 << 10  // of an input and an output
	rowError = 64 << 10 // of an error
)

// A TaskQuery selects the tasks of a page: the first ones from index From on, or with
// Back the last ones before it.
type TaskQuery struct {
	From  int64
	Back  bool
	State jobs.TaskState // empty for all that have ended
	Group *GroupPick     // only failures of this group, where State is failed
	Limit int            // tasks
	Bytes int64          // of outputs to read; beyond them the page is cut short
}

// A GroupPick selects the failures of a group.
type GroupPick struct {
	ID     jobs.GroupID
	Groups Groups
}

// Has reports whether a failure with the group id is selected.
func (p *GroupPick) Has(id jobs.GroupID) bool { return p == nil || p.Groups.Of(id) == p.ID }

// A TaskPage is a page of ended tasks of a job, ascending.
type TaskPage struct {
	Rows []jobs.TaskRow
	// More is where the next page in the query's direction begins, or -1.
	More int64
}

// TaskPage reads a page of tasks with the first KiB of their inputs and outputs. Tasks
// without an outcome are listed if the job has ended: they were cancelled.
func (s *Store) TaskPage(ctx context.Context, job *jobs.Job, q TaskQuery) (TaskPage, error) {
	p := pageReader{store: s, job: job, q: q, more: -1}
	read := p.outcomes
	if q.State == jobs.TaskCancelled {
		read = p.cancelled
	}
	if err := read(ctx); err != nil {
		return TaskPage{}, err
	}
	if q.Back {
		slices.Reverse(p.rows)
	}
	if err := s.rowInputs(ctx, job, p.rows); err != nil {
		return TaskPage{}, err
	}
	return TaskPage{Rows: p.rows, More: p.more}, nil
}

// A pageReader collects the tasks of one page, in the query's direction.
type pageReader struct {
	store *Store
	job   *jobs.Job
	q     TaskQuery
	rows  []jobs.TaskRow
	read  int64 // bytes of outputs
	more  int64
}

// add adds a task. When the page is full it reports false, and the task begins the
// next page.
func (p *pageReader) add(row jobs.TaskRow) bool {
	if len(p.rows) == p.q.Limit {
		p.more = row.Index
		if p.q.Back {
			p.more++
		}
		return false
	}
	p.rows = append(p.rows, row)
	return true
}

// full reports whether the page has read as many outputs as it may.
func (p *pageReader) full() bool { return len(p.rows) > 0 && p.read > p.q.Bytes }

// gap adds the tasks in [first, end), which have no outcome, if they are wanted. It
// reports false when the page is full.
func (p *pageReader) gap(first, end int64) bool {
	if !p.job.State.Ended() || p.q.State != "" {
		return true
	}
	return p.addCancelled(first, end)
}

// addCancelled adds the tasks in [first, end), which were cancelled. It reports false
// when the page is full.
func (p *pageReader) addCancelled(first, end int64) bool {
	for n := first; n < end; n++ {
		index := n
		if p.q.Back {
			index = end - 1 - (n - first)
		}
		if !p.add(jobs.TaskRow{Task: jobs.Task{Job: p.job.ID, Index: index, State: jobs.TaskCancelled}}) {
			return false
		}
	}
	return true
}

// outcomes collects the tasks of blocks and those between blocks.
func (p *pageReader) outcomes(ctx context.Context) error {
	at, end := p.q.From, p.job.Counts.Total // what has not been read yet
	if p.q.Back {
		at, end = 0, min(p.q.From, end)
	}
	for at < end {
		blocks, err := p.blocks(ctx, at, end)
		if err != nil {
			return err
		}
		for _, b := range blocks {
			if p.full() {
				p.more = at
				if p.q.Back {
					p.more = end
				}
				return nil
			}
			after := b.First + int64(b.Count)
			more := true
			if p.q.Back {
				more = p.gap(min(after, end), end)
				end = min(after, end)
			} else {
				more = p.gap(at, max(b.First, at))
				at = max(b.First, at)
			}
			if !more {
				return nil
			}
			if more, err = p.block(ctx, b, at, end); err != nil || !more {
				return err
			}
			if p.q.Back {
				end = b.First
			} else {
				at = after
			}
		}
		if len(blocks) == 0 {
			p.gap(at, end)
			return nil
		}
	}
	return nil
}

// blocks reads the next blocks with a task in [first, end), with at most the first MiB
// of their outputs.
func (p *pageReader) blocks(ctx context.Context, first, end int64) ([]Block, error) {
	where := "true"
	switch {
	case p.q.State == jobs.TaskFailed && p.q.Group != nil && p.q.Group.Groups.Pick(p.q.Group.ID).Group != 0:
		where = fmt.Sprintf("failed <> '{}' and %d = any(groups)", int64(p.q.Group.ID))
	case p.q.State == jobs.TaskFailed:
		where = "failed <> '{}'"
	case p.q.State == jobs.TaskSucceeded:
		where = "cardinality(failed) < count and not cancelled"
	}
	order := "first"
	if p.q.Back {
		order = "first desc"
	}
	rows, err := p.store.Pool.Query(ctx, fmt.Sprintf(`
		select first, count, seq, failed, groups, substr(outputs, 1, $4::int), octet_length(outputs), durations from outcomes
		where job_id = $1 and first < $3 and first + count > $2
			and first >= coalesce((select max(o.first) from outcomes o where o.job_id = $1 and o.first <= $2), 0) and %s
		order by %s limit 16`, where, order), p.job.ID, first, end, maxOutcomeBytes)
	if err != nil {
		return nil, wrap("read outcomes", err)
	}
	blocks, err := collectBlocks(rows)
	return blocks, wrap("read outcomes", err)
}

// block collects the tasks of a block in [first, end). It reports false when the page
// is full.
func (p *pageReader) block(ctx context.Context, b Block, first, end int64) (more bool, err error) {
	var found []jobs.TaskRow
	groups := b.Groups
	index := b.First
	more = true
	line := func(text []byte, size int64) bool {
		l := outcomes.Line(text)
		group, hasGroup := jobs.GroupID(0), false
		if l.Failed() && len(groups) > 0 {
			group, groups, hasGroup = groups[0], groups[1:], true
		}
		if index >= first && index < end && p.wants(l, group, hasGroup) {
			row := p.row(b, index, l, size)
			switch {
			case p.q.Back:
				found = append(found, row)
			case p.full():
				p.more, more = index, false
			default:
				more = p.add(row)
			}
		}
		index++
		return more && index < end
	}
	if err := p.lines(ctx, b, line); err != nil {
		return false, err
	}
	for i := len(found) - 1; i >= 0 && more; i-- {
		more = p.add(found[i])
	}
	return more, nil
}

func (p *pageReader) wants(l outcomes.Line, group jobs.GroupID, hasGroup bool) bool {
	switch p.q.State {
	case jobs.TaskSucceeded:
		return l.State() == jobs.TaskSucceeded
	case jobs.TaskFailed:
		return l.Failed() && (p.q.Group == nil || hasGroup && p.q.Group.Has(group))
	default:
		return true
	}
}

func (p *pageReader) row(b Block, index int64, l outcomes.Line, size int64) jobs.TaskRow {
	row := jobs.TaskRow{Task: jobs.Task{Job: p.job.ID, Index: index, State: l.State()}}
	if row.State == jobs.TaskCancelled {
		return row
	}
	if took, known := b.Duration(int(index - b.First)); known {
		ms := took.Seconds() * 1000
		row.DurationMS = &ms
	}
	if l.Failed() {
		row.Error = readCutFailure(l)
		row.Error.Payload = ""
		return row
	}
	row.Output, row.OutputBytes = cutValue(l.Value()), size
	return row
}

// cutValue returns the beginning of a JSON value, for people.
func cutValue(value []byte) json.RawMessage {
	return jobs.AppendUnicode(nil, value[:min(len(value), rowValue)])
}

// lines yields at most rowError bytes of each line of a block, and the line's size,
// until yield returns false. It holds a part of a large block at a time.
func (p *pageReader) lines(ctx context.Context, b Block, yield func(line []byte, size int64) bool) error {
	data, read := b.Outputs, int64(len(b.Outputs))
	p.read += read
	var begun []byte // start of a line that ends in a later part
	var size int64   // of that line
	for {
		for len(data) > 0 {
			part, rest, ended := bytes.Cut(data, []byte{'\n'})
			data = rest
			size += int64(len(part))
			if len(begun) > 0 || !ended {
				begun = append(begun, part[:min(len(part), max(rowError-len(begun), 0))]...)
				part = begun
			}
			if !ended {
				break
			}
			if !yield(part[:min(len(part), rowError)], size) {
				return nil
			}
			begun, size = begun[:0], 0
		}
		if read >= b.Size {
			return nil
		}
		var err error
		if data, err = p.store.MoreOutputs(ctx, p.job.ID, b.Seq, read); err != nil {
			return err
		}
		if len(data) == 0 {
			return fmt.Errorf("outputs of block %d end at byte %d of %d", b.First, read, b.Size)
		}
		read += int64(len(data))
		p.read += int64(len(data))
	}
}

// cancelled collects cancelled tasks: those that have such an outcome, and in an ended
// job all without an outcome. Others' outcomes are what is between them.
func (p *pageReader) cancelled(ctx context.Context) error {
	order, where := "gap", "next > $2"
	if p.q.Back {
		order, where = "gap desc", "gap < $2"
	}
	spans := `
		select first + count as gap, lead(first, 1, $3) over (order by first, count) as next
		from (select first, count from outcomes where job_id = $1 and not cancelled union all select 0, 0) o`
	if !p.job.State.Ended() {
		spans = `select first as gap, least(first + count, $3) as next from outcomes where job_id = $1 and cancelled`
	}
	rows, err := p.store.Pool.Query(ctx, fmt.Sprintf(`
		select gap, next from (%s) gaps where gap < next and %s order by %s limit $4`, spans, where, order),
		p.job.ID, p.q.From, p.job.Counts.Total, p.q.Limit+1)
	if err != nil {
		return wrap("read cancelled tasks", err)
	}
	type span struct{ first, end int64 }
	gaps, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (g span, err error) { return g, row.Scan(&g.first, &g.end) })
	if err != nil {
		return wrap("read cancelled tasks", err)
	}
	for _, g := range gaps {
		if p.q.Back {
			g.end = min(g.end, p.q.From)
		} else {
			g.first = max(g.first, p.q.From)
		}
		if !p.addCancelled(g.first, g.end) {
			break
		}
	}
	return nil
}

// rowInputs fills in the inputs of tasks, which must ascend.
func (s *Store) rowInputs(ctx context.Context, job *jobs.Job, tasks []jobs.TaskRow) error {
	if len(tasks) == 0 {
		return nil
	}
	if r := job.Inputs.Range; r != nil {
		for i := range tasks {
			tasks[i].Input = fmt.Append(nil, r.At(tasks[i].Index))
			tasks[i].InputBytes = int64(len(tasks[i].Input))
		}
		return nil
	}
	indexes := make([]int64, len(tasks))
	for i, t := range tasks {
		indexes[i] = t.Index
	}
	rows, err := s.Pool.Query(ctx, `
		select b.first, b.data from input_blocks b where b.job_id = $1 and b.first in (
			select (select c.first from input_blocks c where c.job_id = $1 and c.first <= i order by c.first desc limit 1)
			from unnest($2::bigint[]) i)
		order by b.first`, job.ID, indexes)
	if err != nil {
		return wrap("read inputs", err)
	}
	var first int64
	var data []byte
	next := 0
	_, err = pgx.ForEachRow(rows, []any{&first, &data}, func() error {
		for i, line := range outcomes.Lines(data) {
			if next == len(tasks) {
				break
			}
			if tasks[next].Index == first+int64(i) {
				tasks[next].Input, tasks[next].InputBytes = cutValue(line), int64(len(line))
				next++
			}
		}
		return nil
	})
	return wrap("read inputs", err)
}
