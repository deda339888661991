package python_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/exec"
	"github.com/allcores/allcores/internal/jobs/exec/python"
)

func TestMain(m *testing.M) {
	shared = python.New(python.Options{})
	code := m.Run()
	shared.Close()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// shared is the executor of tests that need none of their own.
var shared *python.Executor

// lane is a lane of one thread that runs function f of the source.
func lane(source string) exec.Lane {
	return exec.Lane{
		Job: "job", Owner: "owner", Threads: 1,
		Program: jobs.Program{Python: &jobs.Python{Source: source, Function: "f", Call: jobs.CallValue}},
	}
}

// numbers is a chunk of the inputs first, first+1, ….
func numbers(id, first int64, count int) exec.Chunk {
	return exec.Chunk{ID: id, First: first, Count: count, Range: &jobs.Range{Start: first, Step: 1}, Failures: -1}
}

// values is a chunk of inputs given as JSON.
func values(id, first int64, inputs ...string) exec.Chunk {
	return exec.Chunk{ID: id, First: first, Count: len(inputs), Inputs: []byte(strings.Join(inputs, "\n") + "\n"), Failures: -1}
}

// A record is what a turn reported, with every promise of exec.Executor about
// reports checked.
type record struct {
	t *testing.T

	mu       sync.Mutex
	chunks   map[int64]exec.Chunk
	order    []int64 // chunks in the order of their end
	ended    map[int64]exec.Report
	outputs  map[int64]string         // of tasks that succeeded
	failed   map[int64]jobs.TaskError // of tasks that failed
	spent    map[int64]time.Duration
	back     map[int64]bool
	suspects map[int64]bool
	logs     []jobs.LogLine
	more     chan struct{} // closed and replaced at each report
}

func newRecord(t *testing.T) *record {
	return &record{
		t: t, chunks: map[int64]exec.Chunk{}, ended: map[int64]exec.Report{},
		outputs: map[int64]string{}, failed: map[int64]jobs.TaskError{}, spent: map[int64]time.Duration{},
		back: map[int64]bool{}, suspects: map[int64]bool{}, more: make(chan struct{}),
	}
}

func (r *record) report(p exec.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.chunks[p.Chunk]
	if !ok {
		r.t.Errorf("report of unknown chunk %d", p.Chunk)
	}
	if _, ok := r.ended[p.Chunk]; ok {
		r.t.Errorf("report of chunk %d after its end", p.Chunk)
	}
	if len(p.Runs) > 0 && !p.Ended {
		r.t.Errorf("chunk %d: outcomes before its end", p.Chunk)
	}
	claim := func(task int64) {
		if task < c.First || task >= c.First+int64(c.Count) {
			r.t.Errorf("chunk %d: task %d is not in it", p.Chunk, task)
		}
		_, ok := r.outputs[task]
		_, bad := r.failed[task]
		if ok || bad || r.back[task] || r.suspects[task] {
			r.t.Errorf("chunk %d: task %d is reported twice", p.Chunk, task)
		}
	}
	last := int64(-1)
	for _, run := range p.Runs {
		if run.First <= last {
			r.t.Errorf("chunk %d: runs do not ascend", p.Chunk)
		}
		last = run.First + int64(run.Count) - 1
		if len(run.Durations) != 2*run.Count {
			r.t.Errorf("chunk %d: %d bytes of durations for %d tasks", p.Chunk, len(run.Durations), run.Count)
		}
		failed := map[int32]bool{}
		for _, i := range run.Failed {
			failed[i] = true
		}
		n := 0
		for i, line := range jobs.Lines(run.Outputs) {
			n++
			task := run.First + int64(i)
			claim(task)
			if line.Failed() != failed[int32(i)] {
				r.t.Errorf("task %d: Failed says %v, its line is %s", task, failed[int32(i)], line)
			}
			if 2*i+2 <= len(run.Durations) {
				r.spent[task] = jobs.DecodeDuration(uint16(run.Durations[2*i]) | uint16(run.Durations[2*i+1])<<8)
			}
			if !line.Failed() {
				r.outputs[task] = string(line.Value())
				continue
			}
			var e jobs.TaskError
			if err := json.Unmarshal(line.Value(), &e); err != nil {
				r.t.Errorf("task %d: %v in %s", task, err, line)
			}
			r.failed[task] = e
		}
		if n != run.Count {
			r.t.Errorf("chunk %d: %d lines for %d tasks", p.Chunk, n, run.Count)
		}
	}
	for _, s := range p.Back {
		for i := range int64(s.Count) {
			claim(s.First + i)
			r.back[s.First+i] = true
		}
	}
	for _, s := range p.Suspects {
		claim(s)
		r.suspects[s] = true
	}
	r.logs = append(r.logs, p.Logs...)
	if p.Ended {
		r.ended[p.Chunk] = p
		r.order = append(r.order, p.Chunk)
		for i := range int64(c.Count) {
			task := c.First + i
			_, ok := r.outputs[task]
			_, bad := r.failed[task]
			if !ok && !bad && !r.back[task] && !r.suspects[task] {
				r.t.Errorf("chunk %d: task %d is missing", p.Chunk, task)
			}
		}
	}
	close(r.more)
	r.more = make(chan struct{})
}

// await waits until what holds of the record holds.
func (r *record) await(what string, holds func() bool) {
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

// text is what was printed, line by line: task, stream and text.
func (r *record) text() []string {
	var lines []string
	for _, l := range r.logs {
		lines = append(lines, fmt.Sprintf("%d %s %s", l.Task, l.Stream, l.Line))
	}
	return lines
}

// A turn is a Run in progress.
type turn struct {
	*record
	in     chan exec.Chunk
	cancel context.CancelFunc
	done   chan error
}

// begin starts a turn on an executor.
func begin(t *testing.T, e exec.Executor, l exec.Lane) *turn {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	b := &turn{record: newRecord(t), in: make(chan exec.Chunk), cancel: cancel, done: make(chan error, 1)}
	go func() { b.done <- e.Run(ctx, l, b.in, b.report) }()
	t.Cleanup(cancel)
	return b
}

// give hands over a chunk.
func (b *turn) give(c exec.Chunk) {
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

// end closes the turn and waits for its end; every chunk must be reported.
func (b *turn) end() error {
	b.t.Helper()
	close(b.in)
	return b.wait()
}

func (b *turn) wait() error {
	b.t.Helper()
	select {
	case err := <-b.done:
		b.mu.Lock()
		defer b.mu.Unlock()
		for id := range b.chunks {
			if _, ok := b.ended[id]; !ok {
				b.t.Errorf("chunk %d was never reported as ended", id)
			}
		}
		return err
	case <-time.After(20 * time.Second):
		b.t.Fatal("Run does not return")
		return nil
	}
}

// run runs chunks in one turn.
func run(t *testing.T, e exec.Executor, l exec.Lane, chunks ...exec.Chunk) (*record, error) {
	t.Helper()
	b := begin(t, e, l)
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
			return b.record, b.wait()
		}
	}
	return b.record, b.end()
}

// must runs chunks in one turn that must not end in an error.
func must(t *testing.T, l exec.Lane, chunks ...exec.Chunk) *record {
	t.Helper()
	r, err := run(t, shared, l, chunks...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSquares(t *testing.T) {
	t.Parallel()
	r := must(t, lane("def f(x):\n    return x * x\n"), numbers(1, 0, 1000), numbers(2, 1000, 1), numbers(3, 1001, 99))
	for i := range int64(1100) {
		if want := fmt.Sprint(i * i); r.outputs[i] != want {
			t.Errorf("f(%d) = %s, want %s", i, r.outputs[i], want)
		}
	}
}
