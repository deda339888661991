package command

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/cgroup"
	"github.com/allcores/allcores/internal/jobs/executor/process"
	"github.com/allcores/allcores/internal/jobs/executor/updates"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// An Executor runs commands. The zero value is ready.
type Executor struct {
	Groups *cgroup.Tree // to hold memory limits; nil to limit each process by itself
}

const (
	inFlight   = 2 // chunks that run or wait
	maxBacklog = 2 // ended chunks that wait to be recorded before no further is taken
	logEvery   = 100 * time.Millisecond
)

// A turn is one call of Run.
type session struct {
	ctx      context.Context
	lane     executor.Lane
	program  *jobs.Command
	template template
	path     string // of the executable, when it is the same for every task
	lookPath string // the commands' PATH
	env      []string
	groups   *cgroup.Tree
	updates  *updates.Queue
	changed  chan struct{} // something that the turn's goroutine waits for

	mu      sync.Mutex
	work    sync.Cond // a chunk came, or none will
	flight  []*chunk
	running map[*process.Process]bool
	closed  bool // no more chunks
	stopped bool // no more tasks
	stops   sync.WaitGroup
	err     error
}

// A chunk is one in flight.
type chunk struct {
	executor.Chunk
	inputs   [][]byte
	next     int // offset of the next task to start
	end      int // given back from there on
	open     int // tasks in hand
	failures int64
	begun    time.Time
	outcomes []outcome
	logs     []jobs.LogLine
	usage    executor.Usage
}

// outcome is what a task ended with; line is nil before.
type outcome struct {
	line   []byte
	failed bool
	spent  time.Duration
}

// Run runs the chunks of a turn, as executor.Executor says.
func (e *Executor) Run(ctx context.Context, lane executor.Lane, in <-chan executor.Chunk, send func(executor.Update)) error {
	program := lane.Program.Command
	if program == nil || len(program.Argv) == 0 {
		return errors.New("not a command")
	}
	t := &session{
		ctx: ctx, lane: lane, program: program, groups: e.Groups,
		template: parse(program.Argv, program.Stdin),
		lookPath: process.Path(program.Env),
		env:      process.Environ(lane.CoreCount, program.Env, lane.Environ()),
		updates:  updates.New(send),
		changed:  make(chan struct{}, 1),
		running:  make(map[*process.Process]bool),
	}
	t.work.L = &t.mu
	if t.template.literal() {
		path, err := process.Look(program.Argv[0], t.lookPath)
		if err != nil {
			t.err = &executor.LoadError{TaskError: *notFound(program.Argv[0], err)}
		}
		t.path = path
	}
	var slots sync.WaitGroup
	if t.err == nil {
		for range max(lane.Threads, 1) {
			slots.Go(t.slot)
		}
	}
	t.loop(in)
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.work.Broadcast()
	slots.Wait()
	t.stops.Wait()
	for _, c := range t.flight {
		t.finish(c)
	}
	t.updates.Close()
	return t.err
}

func notFound(name string, err error) *jobs.TaskError {
	if errors.Is(err, fs.ErrPermission) {
		return &jobs.TaskError{Kind: jobs.KindExit, Type: "not executable", Message: name + ": it is not an executable file"}
	}
	return &jobs.TaskError{Kind: jobs.KindExit, Type: "not found", Message: name + ": no such command on this node; a file must be given by its absolute path"}
}

// loop takes chunks in until none comes any more, and looks after those in
// flight until they have ended.
func (t *session) loop(in <-chan executor.Chunk) {
	ticker := time.NewTicker(logEvery)
	defer ticker.Stop()
	budget := time.NewTimer(time.Hour)
	defer budget.Stop()
	halt, cancelled := t.lane.Halt, t.ctx.Done()
	for {
		t.mu.Lock()
		flight, over, failed := len(t.flight), t.over(), t.err != nil
		stopped := t.stopped
		t.arm(budget)
		t.mu.Unlock()
		if failed || in == nil && flight == 0 {
			return
		}
		from, room := in, (<-chan struct{})(nil)
		switch {
		case stopped: // what comes goes back at once
		case flight >= inFlight || over:
			from = nil
		case t.updates.Backlog() > maxBacklog:
			from, room = nil, t.updates.Room
		}
		select {
		case <-cancelled:
			t.cancel()
			return
		case <-halt:
			halt = nil
			t.mu.Lock()
			t.stopped = true
			t.cut(0)
			t.mu.Unlock()
		case c, ok := <-from:
			if !ok {
				in = nil
				break
			}
			t.take(c)
		case <-t.changed:
		case <-room:
		case <-ticker.C:
			t.mu.Lock()
			for _, c := range t.flight {
				if len(c.logs) > 0 {
					t.updates.Add(executor.Update{Chunk: c.ID, Logs: c.logs})
					c.logs = nil
				}
			}
			t.mu.Unlock()
		case <-budget.C:
			t.mu.Lock()
			now := time.Now()
			for i, c := range t.flight {
				if c.exhausted(now) {
					t.cut(i)
					break
				}
			}
			t.mu.Unlock()
		}
	}
}

func (c *chunk) exhausted(now time.Time) bool {
	return c.Budget > 0 && c.next < c.end && !c.begun.IsZero() && now.Sub(c.begun) >= c.Budget
}

// over reports whether a chunk has given back its tail, so that one that came
// now might only wait. mu must be held.
func (t *session) over() bool {
	for _, c := range t.flight {
		if c.end < c.Count {
			return true
		}
	}
	return false
}

// arm sets the timer to the next end of a budget. mu must be held.
func (t *session) arm(timer *time.Timer) {
	var first time.Time
	for _, c := range t.flight {
		if c.Budget > 0 && c.next < c.end && !c.begun.IsZero() {
			if end := c.begun.Add(c.Budget); first.IsZero() || end.Before(first) {
				first = end
			}
		}
	}
	if first.IsZero() {
		timer.Stop()
		return
	}
	timer.Reset(time.Until(first))
}

func (t *session) take(c executor.Chunk) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := &chunk{Chunk: c, end: c.Count, outcomes: make([]outcome, c.Count)}
	t.flight = append(t.flight, n)
	if t.stopped {
		t.cut(len(t.flight) - 1)
		return
	}
	if c.Range == nil {
		n.inputs = splitLines(c.Inputs, c.Count)
	}
	t.work.Broadcast()
}

func splitLines(b []byte, count int) [][]byte {
	lines := make([][]byte, 0, count)
	for _, line := range outcomes.Lines(b) {
		lines = append(lines, line)
	}
	for len(lines) < count {
		lines = append(lines, nil)
	}
	return lines
}

// cut gives back the untouched tail of chunk i, and later ones that have not
// begun. mu must be held.
func (t *session) cut(i int) {
	for j, c := range slices.Clone(t.flight[i:]) {
		if !t.stopped && j > 0 && c.next > 0 {
			continue // it has a budget of its own
		}
		t.giveBack(c)
		if c.open == 0 {
			t.remove(c)
		}
	}
}

// giveBack gives back what of a chunk was not started. mu must be held.
func (t *session) giveBack(c *chunk) {
	if c.next < c.end {
		t.updates.Add(executor.Update{Chunk: c.ID, Back: []executor.Span{{First: c.First + int64(c.next), Count: c.end - c.next}}})
		c.end = c.next
	}
}

// remove ends a chunk. mu must be held.
func (t *session) remove(c *chunk) {
	if i := slices.Index(t.flight, c); i >= 0 {
		t.flight = slices.Delete(t.flight, i, i+1)
		t.finish(c)
		t.wake()
	}
}

func (t *session) wake() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// cancel ends the commands in hand.
func (t *session) cancel() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = context.Cause(t.ctx)
	}
	t.stopped = true
	t.cut(0)
	for p := range t.running {
		t.stops.Go(func() { p.Stop(executor.KillGrace) })
	}
}

// fail ends the turn because of the machine. mu must be held.
func (t *session) fail(err error) {
	if t.err == nil {
		t.err = err
	}
	t.stopped = true
	t.wake()
}

// next waits for a task to start; nil when there will be none.
func (t *session) next() (*chunk, int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		if t.stopped {
			return nil, 0
		}
		for _, c := range t.flight {
			if c.next >= c.end {
				continue
			}
			if c.Failures >= 0 && c.failures > c.Failures {
				t.giveBack(c)
				if c.open == 0 {
					t.remove(c)
				}
				break
			}
			if c.begun.IsZero() {
				c.begun = time.Now()
				t.wake() // its budget begins
			}
			i := c.next
			c.next++
			c.open++
			return c, i
		}
		if t.closed {
			return nil, 0
		}
		if len(t.flight) == 0 || t.flight[len(t.flight)-1].next >= t.flight[len(t.flight)-1].end {
			t.work.Wait()
		}
	}
}

// slot runs one task after the other.
func (t *session) slot() {
	s, err := newSlot(t)
	if err != nil {
		t.mu.Lock()
		t.fail(err)
		t.mu.Unlock()
		return
	}
	defer s.close()
	for {
		c, i := t.next()
		if c == nil {
			return
		}
		r := s.run(c, i)
		t.mu.Lock()
		c.open--
		if r.err != nil {
			t.fail(r.err)
		} else if r.line != nil {
			c.outcomes[i] = r.outcome
			if r.failed {
				c.failures++
			}
		}
		if r.line != nil || r.exit.Peak > 0 {
			c.usage.User += r.exit.User
			c.usage.System += r.exit.System
			c.usage.PeakMemory = max(c.usage.PeakMemory, r.exit.Peak)
			c.usage.InTasks += r.spent
			c.usage.Moving += r.moving
		}
		if c.open == 0 && c.next >= c.end {
			t.remove(c)
		}
		t.mu.Unlock()
	}
}

// logAt adds a line to what task k of a chunk wrote to standard error.
func (t *session) logAt(c *chunk, k task, line string, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.logs = append(c.logs, jobs.LogLine{Task: k.index, Stream: "stderr", Line: line, At: jobs.Time{Time: at}})
}

// finish reports the end of a chunk: outcomes, and back what has none.
func (t *session) finish(c *chunk) {
	r := executor.Update{Chunk: c.ID, Ended: true, Logs: c.logs, Usage: c.usage}
	if !c.begun.IsZero() {
		r.Usage.StartedAt, r.Usage.FinishedAt = c.begun, time.Now()
	}
	var run *outcomes.Encoded
	var span *executor.Span
	for i, o := range c.outcomes[:c.end] {
		index := c.First + int64(i)
		if o.line == nil {
			run = nil
			if span == nil {
				r.Back = append(r.Back, executor.Span{First: index})
				span = &r.Back[len(r.Back)-1]
			}
			span.Count++
			continue
		}
		span = nil
		if run == nil {
			r.Outcomes = append(r.Outcomes, outcomes.Encoded{First: index})
			run = &r.Outcomes[len(r.Outcomes)-1]
		}
		if o.failed {
			run.Failed = append(run.Failed, int32(run.Count))
		}
		run.Count++
		run.Outputs = append(run.Outputs, o.line...)
		code := outcomes.EncodeDuration(o.spent)
		run.Durations = append(run.Durations, byte(code), byte(code>>8))
	}
	t.updates.Add(r)
}

// Check says what is wrong with a command on this node: its program is not
// there or not executable. What depends on the input is accepted.
func (e *Executor) Check(_ context.Context, p jobs.Command) ([]jobs.Violation, error) {
	if len(p.Argv) == 0 || !parse(p.Argv, p.Stdin).literal() {
		return nil, nil
	}
	if _, err := process.Look(p.Argv[0], process.Path(p.Env)); err != nil {
		return []jobs.Violation{{Location: "program.command.argv[0]", Message: notFound(p.Argv[0], err).Message, Value: p.Argv[0]}}, nil
	}
	return nil, nil
}

// inputOf is the input of task i of a chunk as text.
func (c *chunk) inputOf(i int) (string, error) {
	if c.Range != nil {
		return strconv.FormatInt(c.Range.At(int64(i)), 10), nil
	}
	return inputText(c.inputs[i])
}
