// Package executortest runs turns of an executor in tests, and checks the promises
// that executor.Executor makes about its reports.
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

// Groups are the ways to hold memory limits that can be had here: by control
// groups, unless none can be made, and, with nil, by resource limits.
func Groups(t *testing.T) []*cgroup.Tree {
	t.Helper()
	tree, err := cgroup.Open()
	if err != nil {
		t.Logf("with resource limits only: %v", err)
		return []*cgroup.Tree{nil}
	}
	return []*cgroup.Tree{tree, nil}
}

// Held is the part of a failure's message that says how the limit was held.
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

// A Record is what a turn reported, with every promise of executor.Executor about
// reports checked.
type Record struct {
	t *testing.T

	mu       sync.Mutex
	chunks   map[int64]executor.Chunk
	Order    []int64 // chunks in the order of their end
	Ended    map[int64]executor.Update
	Outputs  map[int64]string         // of tasks that succeeded
	Failed   map[int64]jobs.TaskError // of tasks that failed
	Packed   int                      // outputs that came packed
	Spent    map[int64]time.Duration
	Back     map[int64]bool
	Suspects map[int64]bool
	Lost     map[int64]bool
	Logs     []jobs.LogLine
	more     chan struct{} // closed and replaced at each report
}

// NewRecord makes an empty record.
func NewRecord(t *testing.T) *Record {
	return &Record{
		t: t, chunks: map[int64]executor.Chunk{}, Ended: map[int64]executor.Update{},
		Outputs: map[int64]string{}, Failed: map[int64]jobs.TaskError{}, Spent: map[int64]time.Duration{},
		Back: map[int64]bool{}, Suspects: map[int64]bool{}, Lost: map[int64]bool{}, more: make(chan struct{}),
	}
}

func (r *Record) report(p executor.Update) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.chunks[p.Chunk]
	if !ok {
		r.t.Errorf("report of unknown chunk %d", p.Chunk)
	}
	if _, ok := r.Ended[p.Chunk]; ok {
		r.t.Errorf("report of chunk %d after its end", p.Chunk)
	}
	if len(p.Outcomes) > 0 && !p.Ended {
		r.t.Errorf("chunk %d: outcomes before its end", p.Chunk)
	}
	claim := func(task int64) {
		if task < c.First || task >= c.First+int64(c.Count) {
			r.t.Errorf("chunk %d: task %d is not in it", p.Chunk, task)
		}
		if r.told(task) {
			r.t.Errorf("chunk %d: task %d is reported twice", p.Chunk, task)
		}
	}
	last := int64(-1)
	for _, run := range p.Outcomes {
		if run.First <= last {
			r.t.Errorf("chunk %d: runs do not ascend", p.Chunk)
		}
		last = run.First + int64(run.Count) - 1
		if len(run.Durations) != 2*run.Count {
			r.t.Errorf("chunk %d: %d bytes of durations for %d tasks", p.Chunk, len(run.Durations), run.Count)
		}
		if outcomes.Packed(run.Outputs) {
			r.Packed += run.Count
			if run.Count > outcomes.MaxPacked || len(run.Failed) > 0 {
				r.t.Errorf("chunk %d: %d outputs packed, %d of them failed", p.Chunk, run.Count, len(run.Failed))
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
			claim(task)
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
			r.t.Errorf("chunk %d: %d lines for %d tasks", p.Chunk, n, run.Count)
		}
	}
	for _, s := range p.Back {
		for i := range int64(s.Count) {
			claim(s.First + i)
			r.Back[s.First+i] = true
		}
	}
	for _, s := range p.Lost {
		for i := range int64(s.Count) {
			claim(s.First + i)
			r.Lost[s.First+i] = true
		}
	}
	for _, s := range p.Suspects {
		claim(s)
		r.Suspects[s] = true
	}
	r.Logs = append(r.Logs, p.Logs...)
	if p.Ended {
		r.Ended[p.Chunk] = p
		r.Order = append(r.Order, p.Chunk)
		for i := range int64(c.Count) {
			task := c.First + i
			if !r.told(task) {
				r.t.Errorf("chunk %d: task %d is missing", p.Chunk, task)
			}
		}
	}
	close(r.more)
	r.more = make(chan struct{})
}

// told reports whether it was said what became of a task.
func (r *Record) told(task int64) bool {
	_, ok := r.Outputs[task]
	_, bad := r.Failed[task]
	return ok || bad || r.Back[task] || r.Suspects[task] || r.Lost[task]
}

// Await waits until what holds of the record holds.
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

// Text is what was printed, line by line: task, stream and text.
func (r *Record) Text() []string {
	var lines []string
	for _, l := range r.Logs {
		lines = append(lines, fmt.Sprintf("%d %s %s", l.Task, l.Stream, l.Line))
	}
	return lines
}

// A Session is a Run in progress.
type Session struct {
	*Record
	in     chan executor.Chunk
	Cancel context.CancelFunc
	done   chan error
}

// Begin starts a turn on an executor.
func Begin(t *testing.T, e executor.Executor, l executor.Lane) *Session {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	b := &Session{Record: NewRecord(t), in: make(chan executor.Chunk), Cancel: cancel, done: make(chan error, 1)}
	go func() { b.done <- e.Run(ctx, l, b.in, b.report) }()
	t.Cleanup(cancel)
	return b
}

// Give hands over a chunk.
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

// End closes the turn and waits for its end; every chunk must be reported.
func (b *Session) End() error {
	b.t.Helper()
	close(b.in)
	return b.Wait()
}

func (b *Session) Wait() error {
	b.t.Helper()
	select {
	case err := <-b.done:
		b.mu.Lock()
		defer b.mu.Unlock()
		for id := range b.chunks {
			if _, ok := b.Ended[id]; !ok {
				b.t.Errorf("chunk %d was never reported as ended", id)
			}
		}
		return err
	case <-time.After(20 * time.Second):
		b.t.Fatal("Run does not return")
		return nil
	}
}

// Run runs chunks in one turn.
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

// Lock and Unlock guard the record's fields while the turn runs.
func (r *Record) Lock()   { r.mu.Lock() }
func (r *Record) Unlock() { r.mu.Unlock() }

// Eventually waits until something outside of a turn holds.
func Eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long until %s", what)
		}
	}
}
