package http

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/allcores/allcores/internal/http/live"
	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
)

type resultsInput struct {
	JobPath
	Format string   `query:"format" enum:"ndjson,outputs,csv" default:"ndjson" doc:"ndjson: one line per task; outputs: one JSON array of outputs, null for tasks that did not succeed; csv: index,state,output,error (RFC 4180), text outputs unchanged, other values as JSON."`
	Follow bool     `query:"follow" doc:"Continue until the job has ended."`
	Order  string   `query:"order" enum:"index,completion" default:"index" doc:"completion: the order in which tasks ended."`
	After  int64    `query:"after" minimum:"-1" maximum:"1000000000" default:"-1" doc:"Only tasks after this index, to continue a stream that broke; only with order=index."`
	State  []string `query:"state,explode" doc:"Only tasks in one of these states: succeeded, failed, cancelled; repeated or separated by commas."`
	Logs   int64    `query:"logs" minimum:"-1" default:"-1" doc:"Also the lines that tasks printed after this seq, each as {\"log\": {…, \"seq\": …}} before the outcome of its task; 0 for all. Only with follow, order=completion and format=ndjson. To continue a stream that broke, the seq of the last line; some lines may be repeated."`
	Group  string   `query:"group" doc:"Only tasks that failed in this group, the id of one of the job's errors."`

	group jobs.GroupID
}

// Resolve checks the parameters beyond their types.
func (in *resultsInput) Resolve(huma.Context) []error {
	var found jobs.Invalid
	for _, name := range commaList(in.State) {
		switch jobs.TaskState(name) {
		case jobs.TaskSucceeded, jobs.TaskFailed, jobs.TaskCancelled:
		default:
			found = append(found, jobs.Violation{Location: "query.state", Message: "must be one of succeeded, failed, cancelled", Value: name})
		}
	}
	if in.Group != "" {
		var err error
		if in.group, err = jobs.ParseGroupID(in.Group); err != nil {
			found = append(found, badGroup(in.Group)...)
		}
		if states := commaList(in.State); len(states) > 0 && !slices.Contains(states, string(jobs.TaskFailed)) {
			found = append(found, jobs.Violation{Location: "query.state", Message: "must be failed if group is given", Value: in.State[0]})
		}
	}
	if in.Order == orderCompletion && in.After >= 0 {
		found = append(found, jobs.Violation{Location: "query.after", Message: "requires order=index: tasks do not end in the order of their indexes", Value: in.After})
	}
	if in.Logs >= 0 && (!in.Follow || in.Order != orderCompletion || in.Format != "ndjson") {
		found = append(found, jobs.Violation{Location: "query.logs", Message: "requires follow=true, order=completion and format=ndjson", Value: in.Logs})
	}
	return unresolved(found)
}

// orderCompletion is the order in which tasks ended.
const orderCompletion = "completion"

// results streams the outcomes of a job's tasks.
func (s *Site) results(ctx context.Context, in *resultsInput) (live.WriteFunc, error) {
	q := resultQuery{site: s, resultWriter: resultWriter{format: formats[in.Format]}, resultPlace: resultPlace{next: in.After + 1}}
	for _, name := range commaList(in.State) {
		q.only = append(q.only, jobs.TaskState(name))
	}
	byCompletion := in.Order == orderCompletion
	job, err := s.one(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	q.job = job.ID
	if in.Group != "" {
		if err := q.pick(ctx, in.group); err != nil {
			return nil, err
		}
	}
	viewer := store.As(callOf(ctx).user)
	return func(ctx context.Context, w *live.Writer) error {
		w.Header.Set("Content-Type", q.format.mime)
		q.write = func(p []byte) error { _, err := w.Write(p); return err }
		if in.Logs >= 0 {
			q.logs = &logsQuery{site: s, job: q.job, after: in.Logs, encoder: json.NewEncoder(w), amongResults: true}
			q.logs.encoder.SetEscapeHTML(false)
		}
		if !in.Follow {
			if byCompletion {
				return q.completedWhole(ctx, job)
			}
			return q.whole(ctx, job)
		}
		return q.follow(ctx, w, viewer, byCompletion)
	}, nil
}

// A resultQuery writes outcomes of a job. It holds a few MiB of outcomes at a time,
// and neither a connection nor a transaction.
type resultQuery struct {
	site  *Site
	job   string
	only  []jobs.TaskState // empty for all
	group *store.GroupPick // nil for all
	logs  *logsQuery       // writes log lines before outcomes; nil for none

	gapsOnly bool // not those cancelled tasks that have an outcome

	// seen is the job as it was last read. Conclusions from a missing outcome hold
	// only while it is unchanged: see verify.
	seen     *jobs.Job
	verified bool // since the last outcomes were read

	resultPlace
	resultWriter
}

// A resultPlace is where a query has come to.
type resultPlace struct {
	first   []store.Block // blocks that were read already, from the first task on
	next    int64         // index of the next task, in index order
	seq     int64         // of the last block, in order of completion
	blocked bool          // the task at next had no outcome when last seen
	found   int           // blocks written since it was set to 0
}

// pick narrows the query to the failures of a group.
func (q *resultQuery) pick(ctx context.Context, id jobs.GroupID) error {
	groups, err := q.site.store.Groups(ctx, q.job)
	if err != nil {
		return err
	}
	if !groups[id] {
		return fmt.Errorf("the job has no group %v of errors: %w", id, jobs.ErrNotFound)
	}
	q.only, q.group = []jobs.TaskState{jobs.TaskFailed}, &store.GroupPick{ID: id, Groups: groups}
	return nil
}

func (q *resultQuery) wants(state jobs.TaskState) bool {
	return len(q.only) == 0 || slices.Contains(q.only, state)
}

// whole writes all outcomes in index order.
func (q *resultQuery) whole(ctx context.Context, job *jobs.Job) error {
	if err := q.forward(ctx, job, false); err != nil {
		return err
	}
	return q.end(ctx)
}

// completedWhole is whole in order of completion.
func (q *resultQuery) completedWhole(ctx context.Context, job *jobs.Job) error {
	q.seen = job
	if err := q.completed(ctx); err != nil {
		return err
	}
	if err := q.cancelled(ctx, job); err != nil {
		return err
	}
	return q.end(ctx)
}

// follow writes outcomes as they come until the job has ended.
func (q *resultQuery) follow(ctx context.Context, w *live.Writer, v store.Viewer, byCompletion bool) error {
	if err := w.Push(); err != nil { // the headers, so that the client knows that it is connected
		return err
	}
	ended := false
	look := func() (found int, err error) {
		job, err := q.site.store.Job(ctx, v, q.job)
		if err != nil {
			return 0, err
		}
		q.seen, q.verified, q.found = job, false, 0
		if byCompletion {
			err = q.completed(ctx)
			if err == nil && job.State.Ended() {
				err = q.cancelled(ctx, job)
			}
		} else {
			err = q.forward(ctx, job, true)
		}
		if err != nil {
			return q.found, err
		}
		if job.State.Ended() {
			ended = true
			return q.found, live.ErrDone
		}
		return q.found, w.Push()
	}
	if err := q.site.streams.Follow(ctx, live.Watch{Job: q.job, Outcomes: true, Gap: 2 * time.Millisecond, Tick: time.Second}, look); err != nil {
		return err
	}
	if !ended {
		return errors.New("cut before the job has ended")
	}
	return q.end(ctx)
}

// forward writes outcomes in index order from next on. With strict it stops at
// the first task that has none yet.
func (q *resultQuery) forward(ctx context.Context, job *jobs.Job, strict bool) error {
	q.seen = job
	ended := job.State.Ended()
	strict = strict && !ended
	if strict && q.blocked {
		has, err := q.site.store.HasOutcome(ctx, q.job, q.next)
		if err != nil || !has {
			return err
		}
	}
	var pick store.Pick
	if !strict && len(q.only) == 1 && q.only[0] == jobs.TaskFailed {
		pick.Failed = true
		if q.group != nil {
			pick = q.group.Groups.Pick(q.group.ID)
		}
	}
	for q.next < job.Counts.Total {
		blocks := q.first
		q.first = nil
		if len(blocks) == 0 {
			var err error
			q.verified = false
			if blocks, err = q.site.store.Outcomes(ctx, q.job, q.next, pick); err != nil {
				return err
			}
		}
		if len(blocks) == 0 {
			break
		}
		for _, b := range blocks {
			if b.First > q.next {
				if strict {
					q.blocked = true
					return nil
				}
				if err := q.gap(ctx, b.First, ended); err != nil {
					return err
				}
			}
			if err := q.block(ctx, b); err != nil {
				return err
			}
			q.next = b.First + int64(b.Count)
		}
	}
	q.blocked = true
	if ended {
		return q.gap(ctx, job.Counts.Total, true)
	}
	return nil
}

// completed writes outcomes in the order of their completion. Log lines are read after
// the outcomes, with which they are committed, and written before them.
func (q *resultQuery) completed(ctx context.Context) error {
	for first := true; ; first = false {
		q.verified = false
		blocks, err := q.site.store.Completed(ctx, q.job, q.seq)
		if err != nil {
			return err
		}
		if q.logs != nil && (first || len(blocks) > 0) {
			if _, err := q.logs.forward(ctx); err != nil {
				return err
			}
		}
		if len(blocks) == 0 {
			return nil
		}
		for _, b := range blocks {
			if err := q.block(ctx, b); err != nil {
				return err
			}
			q.seq = b.Seq
		}
	}
}

// cancelled writes the tasks of an ended job that have no outcome.
func (q *resultQuery) cancelled(ctx context.Context, job *jobs.Job) error {
	if !job.State.Ended() || job.Counts.Cancelled == 0 || !q.wants(jobs.TaskCancelled) {
		return nil
	}
	rest := *q
	rest.next, rest.only, rest.gapsOnly = 0, []jobs.TaskState{jobs.TaskCancelled}, true
	err := rest.forward(ctx, job, false)
	q.begun, q.wrote = rest.begun, rest.wrote
	return err
}

// block writes the outcomes of b from next on. In order of completion next is 0.
// It holds a part of a large block at a time.
func (q *resultQuery) block(ctx context.Context, b store.Block) error {
	q.found++
	index, data, read := b.First, b.Outputs, int64(len(b.Outputs))
	groups := b.Groups
	var begun []byte // a line whose end is in the next part
	for {
		if end := bytes.IndexByte(data, '\n'); len(begun) > 0 && end >= 0 {
			if err := q.outcome(index, outcomes.Line(append(begun, data[:end]...)), &groups); err != nil {
				return err
			}
			index, data, begun = index+1, data[end+1:], nil
		}
		whole := bytes.LastIndexByte(data, '\n') + 1
		for _, line := range outcomes.Lines(data[:whole]) {
			if err := q.outcome(index, line, &groups); err != nil {
				return err
			}
			index++
		}
		if read >= b.Size {
			return nil
		}
		begun = append(begun, data[whole:]...)
		var err error
		if data, err = q.site.store.MoreOutputs(ctx, q.job, b.Seq, read); err != nil {
			return err
		}
		if len(data) == 0 {
			return fmt.Errorf("outputs of task %d end at byte %d of %d", index, read, b.Size)
		}
		read += int64(len(data))
	}
}

// outcome writes one outcome. groups are those of the failures from it on.
func (q *resultQuery) outcome(index int64, line outcomes.Line, groups *[]jobs.GroupID) error {
	state := line.State()
	if line.Failed() && len(*groups) > 0 {
		group := (*groups)[0]
		*groups = (*groups)[1:]
		if !q.group.Has(group) {
			return nil
		}
	}
	if index < q.next || !q.wants(state) || q.gapsOnly && state == jobs.TaskCancelled {
		return nil
	}
	return q.put(index, state, line.Value())
}

// gap advances to task to, past tasks without an outcome. In an ended job they are
// cancelled. Otherwise they have no line, except null in a JSON array of all
// outputs, where the position gives the index.
func (q *resultQuery) gap(ctx context.Context, to int64, ended bool) error {
	for ; q.next < to; q.next++ {
		if ended && !q.wants(jobs.TaskCancelled) || !ended && (!q.format.places || len(q.only) > 0) {
			q.next = to
			return nil
		}
		if err := q.verify(ctx); err != nil {
			return err
		}
		if q.next%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := q.put(q.next, jobs.TaskCancelled, nil); err != nil {
			return err
		}
	}
	return nil
}

// verify checks that missing outcomes were never recorded, rather than removed in
// the meantime because the job was deleted or retried. Outcomes never change
// otherwise.
func (q *resultQuery) verify(ctx context.Context) error {
	if q.verified {
		return nil
	}
	err := q.site.store.Unchanged(ctx, q.seen)
	q.verified = err == nil
	return err
}

// end verifies that nothing is missing and writes the end of the answer.
func (q *resultQuery) end(ctx context.Context) error {
	if err := q.verify(ctx); err != nil {
		return err
	}
	if !q.begun {
		if err := q.write([]byte(q.format.begin)); err != nil {
			return err
		}
	}
	return q.write([]byte(q.format.end))
}
