// Package executortest runs sessions of an executor in tests, and checks the
// promises that executor.Executor makes about its updates.
package executortest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/cgroup"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// Groups returns the ways to hold memory limits on this machine: control groups,
// where they can be made, and, as nil, resource limits.
func Groups(t *testing.T) []*cgroup.Tree {
	t.Helper()
	tree, err := cgroup.Open()
	if err != nil {
		t.Logf("with resource limits only: %v", err)
		return []*cgroup.Tree{nil}
	}
	return []*cgroup.Tree{tree, nil}
}

// Held returns the part of a failure's message that names what held the limit.
func Held(groups *cgroup.Tree) string {
	if groups != nil {
		return "(held by a control group, with all that it started)"
	}
	return "(held by a resource limit of each process)"
}

// Numbers is a chunk of the inputs first, first+1, ….
func Numbers(id, first int64, count int) executor.Chunk {
	return executor.Chunk{ID: id, First: first, Count: count, Range: &jobs.Range{Start: first, Step: 1}, Failures: -1}
}

// Values is a chunk of inputs given as JSON.
func Values(id, first int64, inputs ...string) executor.Chunk {
	return executor.Chunk{ID: id, First: first, Count: len(inputs), Inputs: []byte(strings.Join(inputs, "\n") + "\n"), Failures: -1}
}

// A Record holds a session's updates, with every promise of executor.Executor about
// updates checked.
type Record struct {
	Tasks
	Order []int64 // chunks in the order of their end
	Ended map[int64]executor.Update
	// Recalled are the answers to recalls.
	Recalled []executor.Update
	Logs     []jobs.LogLine

	t      *testing.T
	mu     sync.Mutex
	chunks map[int64]executor.Chunk
	more   chan struct{} // closed and replaced at each update
}

// Tasks are the results of tasks, by index.
type Tasks struct {
	Outputs  map[int64]string         // of tasks that succeeded
	Failed   map[int64]jobs.TaskError // of tasks that failed
	Packed   int                      // outputs that came packed
	Spent    map[int64]time.Duration
	Back     map[int64]bool
	Suspects map[int64]bool
	Lost     map[int64]bool
}

// NewRecord makes an empty record.
func NewRecord(t *testing.T) *Record {
	return &Record{
		t: t, chunks: map[int64]executor.Chunk{}, Ended: map[int64]executor.Update{}, more: make(chan struct{}),
		Tasks: Tasks{
			Outputs: map[int64]string{}, Failed: map[int64]jobs.TaskError{}, Spent: map[int64]time.Duration{},
			Back: map[int64]bool{}, Suspects: map[int64]bool{}, Lost: map[int64]bool{},
		},
	}
}

// add records an update.
func (r *Record) add(u executor.Update) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.chunks[u.Chunk]
	if !ok {
		r.t.Errorf("update of unknown chunk %d", u.Chunk)
	}
	if _, ok := r.Ended[u.Chunk]; ok {
		r.t.Errorf("update of chunk %d after its end", u.Chunk)
	}
	if u.Usage != (executor.Usage{StartedAt: u.Usage.StartedAt}) && !u.Ended {
		r.t.Errorf("chunk %d: usage before its end", u.Chunk)
	}
	last := int64(-1)
	for _, run := range u.Outcomes {
		if run.First <= last {
			r.t.Errorf("chunk %d: runs do not ascend", u.Chunk)
		}
		last = run.First + int64(run.Count) - 1
		r.addOutcomes(c, run)
	}
	r.addSpans(c, u.Back, r.Back)
	r.addSpans(c, u.Lost, r.Lost)
	for _, s := range u.Suspects {
		r.claim(c, s)
		r.Suspects[s] = true
	}
	if u.Recalled {
		r.Recalled = append(r.Recalled, u)
	}
	r.Logs = append(r.Logs, u.Logs...)
	if u.Ended {
		r.Ended[u.Chunk] = u
		r.Order = append(r.Order, u.Chunk)
		for i := range int64(c.Count) {
			if task := c.First + i; !r.has(task) {
				r.t.Errorf("chunk %d: task %d is missing", u.Chunk, task)
			}
		}
	}
	close(r.more)
	r.more = make(chan struct{})
}

// claim checks that a task is of the chunk and in no update before.
func (r *Record) claim(c executor.Chunk, task int64) {
	if task < c.First || task >= c.First+int64(c.Count) {
		r.t.Errorf("chunk %d: task %d is not in it", c.ID, task)
	}
	if r.has(task) {
		r.t.Errorf("chunk %d: task %d is in updates twice", c.ID, task)
	}
}

// addSpans records the tasks of spans.
func (r *Record) addSpans(c executor.Chunk, spans []executor.Span, tasks map[int64]bool) {
	for _, s := range spans {
		for i := range int64(s.Count) {
			r.claim(c, s.First+i)
			tasks[s.First+i] = true
		}
	}
}

// addOutcomes records outcomes of a chunk.
func (r *Record) addOutcomes(c executor.Chunk, run outcomes.Encoded) {
	if len(run.Durations) != 2*run.Count {
		r.t.Errorf("chunk %d: %d bytes of durations for %d tasks", c.ID, len(run.Durations), run.Count)
	}
	if outcomes.Packed(run.Outputs) {
		r.Packed += run.Count
		if run.Count > outcomes.MaxPacked || len(run.Failed) > 0 {
			r.t.Errorf("chunk %d: %d outputs packed, %d of them failed", c.ID, run.Count, len(run.Failed))
		}
	}
	failed := map[int32]bool{}
	for _, i := range run.Failed {
		failed[i] = true
	}
	n := 0
	for i, line := range outcomes.Lines(run.Outputs) {
		n++
		task := run.First + int64(i)
		r.claim(c, task)
		if line.Failed() != failed[int32(i)] {
			r.t.Errorf("task %d: Failed says %v, its line is %s", task, failed[int32(i)], line)
		}
		if 2*i+2 <= len(run.Durations) {
			r.Spent[task] = outcomes.DecodeDuration(uint16(run.Durations[2*i]) | uint16(run.Durations[2*i+1])<<8)
		}
		if !line.Failed() {
			r.Outputs[task] = string(line.Value())
			continue
		}
		var e jobs.TaskError
		if err := json.Unmarshal(line.Value(), &e); err != nil {
			r.t.Errorf("task %d: %v in %s", task, err, line)
		}
		r.Failed[task] = e
	}
	if n != run.Count {
		r.t.Errorf("chunk %d: %d lines for %d tasks", c.ID, n, run.Count)
	}
}

// has reports whether an update had the task.
func (t *Tasks) has(task int64) bool {
	_, ok := t.Outputs[task]
	_, bad := t.Failed[task]
	return ok || bad || t.Back[task] || t.Suspects[task] || t.Lost[task]
}

// Await waits until holds returns true of the record.
func (r *Record) Await(what string, holds func() bool) {
	r.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		r.mu.Lock()
		ok, more := holds(), r.more
		r.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-more:
		case <-deadline:
			r.t.Fatalf("waited too long until %s", what)
		}
	}
}

// Text returns the log lines as task, stream and text.
func (r *Record) Text() []string {
	var lines []string
	for _, l := range r.Logs {
		lines = append(lines, fmt.Sprintf("%d %s %s", l.Task, l.Stream, l.Line))
	}
	return lines
}

// A Session is a call of Run in progress.
type Session struct {
	*Record
	in     chan executor.Chunk
	Cancel context.CancelFunc
	done   chan error
}

// Begin starts a session.
func Begin(t *testing.T, e executor.Executor, l executor.Lane) *Session {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	b := &Session{Record: NewRecord(t), in: make(chan executor.Chunk), Cancel: cancel, done: make(chan error, 1)}
	go func() { b.done <- e.Run(ctx, l, b.in, b.add) }()
	t.Cleanup(cancel)
	return b
}

// Give passes a chunk to the session.
func (b *Session) Give(c executor.Chunk) {
	b.t.Helper()
	b.mu.Lock()
	b.chunks[c.ID] = c
	b.mu.Unlock()
	select {
	case b.in <- c:
	case err := <-b.done:
		b.t.Fatalf("Run ended before it took chunk %d: %v", c.ID, err)
	case <-time.After(20 * time.Second):
		b.t.Fatalf("Run did not take chunk %d", c.ID)
	}
}

// End lets no further chunk come and waits for the session's end.
func (b *Session) End() error {
	b.t.Helper()
	close(b.in)
	return b.Wait()
}

// Wait waits for the session's end and returns its error. Every chunk must have
// ended.
func (b *Session) Wait() error {
	b.t.Helper()
	select {
	case err := <-b.done:
		b.mu.Lock()
		defer b.mu.Unlock()
		for id := range b.chunks {
			if _, ok := b.Ended[id]; !ok {
				b.t.Errorf("chunk %d never ended", id)
			}
		}
		return err
	case <-time.After(20 * time.Second):
		b.t.Fatal("Run does not return")
		return nil
	}
}

// Run runs chunks in one session.
func Run(t *testing.T, e executor.Executor, l executor.Lane, chunks ...executor.Chunk) (*Record, error) {
	t.Helper()
	b := Begin(t, e, l)
	for _, c := range chunks {
		b.mu.Lock()
		b.chunks[c.ID] = c
		b.mu.Unlock()
		select {
		case b.in <- c:
			continue
		case err := <-b.done:
			b.mu.Lock()
			delete(b.chunks, c.ID)
			b.mu.Unlock()
			b.done <- err
			return b.Record, b.Wait()
		}
	}
	return b.Record, b.End()
}

// Lock and Unlock guard the record's fields while the session runs.
func (r *Record) Lock()   { r.mu.Lock() }
func (r *Record) Unlock() { r.mu.Unlock() }

// Eventually waits until something outside of a session holds.
func Eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long until %s", what)
		}
	}
}
