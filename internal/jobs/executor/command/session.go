package command

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/flight"
	"github.com/allcores/allcores/internal/jobs/executor/process"
	"github.com/allcores/allcores/internal/jobs/executor/updates"
)

// logEvery is how often log lines are sent.
const logEvery = 100 * time.Millisecond

// A session is one call of Run: a loop that takes chunks in (see package flight),
// and a runner for each thread of the lane, which starts one task after the other.
type session struct {
	*plan
	//lint:ignore containedctx a session is one call of Run
	ctx     context.Context
	changed chan struct{} // receives after a runner changed what the loop waits for

	mu        sync.Mutex // guards what follows
	more      sync.Cond  // a chunk came, or none will
	chunks    flight.Chunks[*chunk]
	reports   flight.Reports
	exhausted bool // no chunk will come
	processes processes
	err       error
}

// processes are those that run, so that a cancellation finds them.
type processes struct {
	running  map[*process.Process]bool
	stopping sync.WaitGroup
}

// run serves a session. With an error of its plan it runs nothing.
func run(ctx context.Context, p *plan, err error, in <-chan executor.Chunk, send func(executor.Update)) error {
	queue := updates.New(send)
	s := &session{
		plan: p, ctx: ctx, changed: make(chan struct{}, 1), err: err,
		chunks:    flight.Chunks[*chunk]{Updates: queue},
		processes: processes{running: make(map[*process.Process]bool)},
	}
	s.more.L = &s.mu
	var runners sync.WaitGroup
	if err == nil {
		for range max(p.lane.Threads, 1) {
			runners.Go(s.runTasks)
		}
	}
	flight.Run(ctx, p.lane, in, queue, s)
	s.mu.Lock()
	s.exhausted = true
	s.mu.Unlock()
	s.more.Broadcast()
	runners.Wait()
	s.processes.stopping.Wait()
	for _, c := range slices.Clone(s.chunks.List) {
		s.chunks.End(c, c.last())
	}
	queue.Close()
	return s.err
}

// Status implements flight.Session.
func (s *session) Status() flight.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return flight.Status{
		InFlight: len(s.chunks.List), Over: s.chunks.Over(), Stopped: s.chunks.Stopped,
		Failed: s.err != nil, Events: s.changed, Due: flight.Earliest(s.chunks.BudgetEnd(), s.reports.Due),
	}
}

// Take puts a chunk in flight.
func (s *session) Take(c executor.Chunk) {
	n := newChunk(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chunks.List = append(s.chunks.List, n)
	s.more.Broadcast()
}

// Halt gives back what was not started.
func (s *session) Halt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop()
}

// Recall gives back tasks of a chunk that were not started.
func (s *session) Recall(r executor.Recall) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, found := s.chunks.Find(r.Chunk)
	if !found {
		return false
	}
	s.chunks.AnswerRecall(c, max(c.next, int(r.First-c.First)))
	if c.ended() {
		s.end(c)
	}
	return true
}

// Cancel gives back what was not started and stops the commands that run.
func (s *session) Cancel() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = context.Cause(s.ctx)
	}
	s.stop()
	for p := range s.processes.running {
		s.processes.stopping.Go(func() { p.Stop(executor.KillGrace) })
	}
}

// Handle has nothing to do: Status has what changed.
func (s *session) Handle() {}

// Due cuts the chunk whose time budget has ended, and sends outcomes of chunks that go
// on.
func (s *session) Due() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reports.Begin(s.chunks.Updates) {
		for _, c := range s.chunks.List {
			if c.reportable() {
				s.chunks.Report(c, c.unreported())
			}
		}
	}
	if i := s.chunks.Spent(time.Now()); i >= 0 {
		s.cut(i)
	}
}

// Tick sends log lines.
func (s *session) Tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chunks.SendLogs(0)
}

// NextTick is the time between ticks.
func (s *session) NextTick() time.Duration { return logEvery }

// stop lets no further task start. mu must be held.
func (s *session) stop() {
	s.chunks.Stopped = true
	s.cut(0)
}

// cut gives back the untouched tail of chunk i, and later chunks that have not
// begun. mu must be held.
func (s *session) cut(i int) {
	if i >= len(s.chunks.List) {
		return
	}
	for _, c := range s.chunks.ToCut(i, (*chunk).begun) {
		s.giveBack(c)
	}
}

// giveBack gives back the tasks of a chunk that were not started, and ends the
// chunk where none runs. mu must be held.
func (s *session) giveBack(c *chunk) {
	if c.next < c.Cut {
		c.Over = true
		s.chunks.GiveBack(c, c.next)
	}
	if c.open == 0 {
		s.end(c)
	}
}

// end ends a chunk. mu must be held.
func (s *session) end(c *chunk) {
	s.chunks.End(c, c.last())
	s.wake()
}

// wake makes the loop read the status again.
func (s *session) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// fail ends the session because the machine failed. mu must be held.
func (s *session) fail(err error) {
	if s.err == nil {
		s.err = err
	}
	s.chunks.Stopped = true
	s.wake()
}

// next waits for a task to start. It returns a nil chunk when none will come.
func (s *session) next() (*chunk, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if s.chunks.Stopped {
			return nil, 0
		}
		c := s.startable()
		switch {
		case c == nil && s.exhausted:
			return nil, 0
		case c == nil:
			s.more.Wait()
		case c.Failures >= 0 && c.failures > c.Failures:
			s.giveBack(c)
		default:
			return c, s.startNext(c)
		}
	}
}

// startable returns the first chunk with a task to start, or nil. mu must be held.
func (s *session) startable() *chunk {
	for _, c := range s.chunks.List {
		if c.next < c.Cut {
			return c
		}
	}
	return nil
}

// startNext notes that the next task of a chunk starts, and returns its offset. mu
// must be held.
func (s *session) startNext(c *chunk) int {
	if c.Begun.IsZero() {
		c.Begun = time.Now()
		s.wake() // its budget begins
	}
	i := c.next
	c.next++
	c.open++
	if c.next == c.Cut {
		c.Budget = 0 // it bounds which tasks start
	}
	return i
}

// runTasks runs one task after the other until no more come.
func (s *session) runTasks() {
	r, err := newRunner(s)
	if err != nil {
		s.mu.Lock()
		s.fail(err)
		s.mu.Unlock()
		return
	}
	defer r.close()
	for {
		c, i := s.next()
		if c == nil {
			return
		}
		s.finish(c, i, r.run(c, i))
	}
}

// finish records the end of task i of a chunk.
func (s *session) finish(c *chunk, i int, r result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.open--
	c.add(i, r)
	if r.err != nil {
		s.fail(r.err)
	}
	switch {
	case c.ended():
		s.end(c)
	case c.reportable() && s.reports.Due.IsZero():
		s.reports.Came()
		s.wake()
	}
}

// logAt adds a line to what task k of a chunk wrote to standard error.
func (s *session) logAt(c *chunk, k task, line string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.Log(jobs.LogLine{Task: k.index, Stream: "stderr", Line: line, At: jobs.Time{Time: at}})
}

// began and ended let a cancellation find the process.

func (s *session) began(p *process.Process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.processes.running[p] = true
	if s.ctx.Err() != nil {
		s.processes.stopping.Go(p.Kill) // it started after the others were stopped
	}
}

func (s *session) ended(p *process.Process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.processes.running, p)
}
