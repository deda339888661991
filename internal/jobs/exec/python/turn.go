package python

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/exec"
	"github.com/allcores/allcores/internal/jobs/exec/process"
	"github.com/allcores/allcores/internal/jobs/exec/reports"
)

const (
	// inFlight is how many chunks a process has: one that runs, one that waits.
	inFlight = 2
	// maxBacklog is how many ended chunks may wait to be recorded before no
	// further one is taken.
	maxBacklog = 2
	// tick is how often the marks are looked at, and the longest that log
	// lines and outcomes stay in the process.
	tick = 50 * time.Millisecond
	// settle is how long after a limit was lowered the process is sure to have
	// seen it, or to have said in cellHigh that it was faster.
	settle = time.Millisecond
	// maxDeaths is how many processes may die one after the other with no task
	// in hand and none done.
	maxDeaths = 3
)

// A turn is one call of Run.
type turn struct {
	e       *Executor
	ctx     context.Context
	lane    exec.Lane
	in      <-chan exec.Chunk // nil once it is closed
	halt    <-chan struct{}   // nil once it is closed
	reports *reports.Queue

	w      *worker
	flight []*chunk // handed to the process or to be handed to the next one, in order
	seen   []seen   // by thread
	asked  int64    // w.served when a flush was last asked for
	deaths int      // in a row, with nothing done

	culprit int64 // number of the task that ran out of time, or -1
	stopped bool  // no more tasks: halted or cancelled
	err     error
}

// seen is since when a thread has had a task in hand.
type seen struct {
	number int64
	since  time.Time
}

// Run runs the chunks of a turn, as exec.Executor says.
func (e *Executor) Run(ctx context.Context, lane exec.Lane, in <-chan exec.Chunk, report func(exec.Report)) error {
	if lane.Program.Python == nil {
		return errors.New("not a Python program")
	}
	lane.Threads = min(max(lane.Threads, 1), maxThreads)
	t := &turn{
		e: e, ctx: ctx, lane: lane, in: in, halt: lane.Halt,
		reports: reports.New(report),
		seen:    make([]seen, lane.Threads),
		culprit: -1,
	}
	t.loop()
	t.finish()
	t.reports.Close()
	return t.err
}

func (t *turn) loop() {
	every := tick
	if t.lane.Timeout > 0 {
		every = min(every, max(t.lane.Timeout/4, 5*time.Millisecond))
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	budget := time.NewTimer(time.Hour)
	defer budget.Stop()
	cancelled := t.ctx.Done()
	for t.err == nil && (t.in != nil || len(t.flight) > 0) {
		var events <-chan struct{}
		if t.w != nil {
			events = t.w.more
		}
		in, room := t.in, (<-chan struct{})(nil)
		switch {
		case t.stopped: // what comes goes back at once
		case len(t.flight) >= inFlight || t.over():
			in = nil
		case t.reports.Backlog() > maxBacklog:
			in, room = nil, t.reports.Room
		}
		select {
		case <-cancelled:
			cancelled = nil
			t.cancel()
		case <-t.halt:
			t.halt = nil
			t.stopped = true
			t.cut(0)
		case c, ok := <-in:
			if !ok {
				t.in = nil
				break
			}
			t.take(c)
			t.arm(budget)
		case <-events:
			for _, e := range t.w.events() {
				t.handle(e)
				if t.w == nil {
					break
				}
			}
			t.arm(budget)
		case <-room:
		case <-ticker.C:
			t.tick()
		case <-budget.C:
			t.exhausted()
			t.arm(budget)
		}
	}
}

// over reports whether the chunk in hand may start no more tasks, so that one
// that came now could only wait.
func (t *turn) over() bool {
	for _, c := range t.flight {
		if c.over {
			return true
		}
	}
	return false
}

// take accepts a chunk and hands it to the process.
func (t *turn) take(c exec.Chunk) {
	if t.stopped || t.ctx.Err() != nil {
		t.reports.Add(exec.Report{Chunk: c.ID, Ended: true, Back: []exec.Span{{First: c.First, Count: c.Count}}})
		return
	}
	t.flight = append(t.flight, newChunk(c))
	if t.w == nil && !t.start() {
		return
	}
	t.send(t.flight[len(t.flight)-1])
}

// start gets a process for the turn.
func (t *turn) start() bool {
	w, err := t.e.acquire(t.ctx, t.lane)
	if err != nil {
		t.err = err
		return false
	}
	t.w = w
	clear(t.seen)
	t.asked = -1
	t.culprit = -1
	return true
}

// send hands a chunk to the process.
func (t *turn) send(c *chunk) {
	w := t.w
	c.base = w.next
	c.end = c.base + int64(c.Count)
	c.cut = c.end
	c.cell = w.chunks % limitCells
	w.next += int64(c.Count)
	w.chunks++
	w.cells.store(cellLimit+c.cell, c.end)
	if w.loaded && t.flight[0] == c {
		c.begun = time.Now()
	}
	head := appendChunk(make([]byte, 0, chunkHeadSize+len(c.Inputs)), c.base, c.Count, c.cell, c.Failures, c.Range, len(c.Inputs))
	w.send(append(head, c.Inputs...))
}

// arm sets the timer to when the first chunk runs out of its time budget.
func (t *turn) arm(timer *time.Timer) {
	var first time.Time
	for _, c := range t.flight {
		if c.Budget > 0 && !c.over && !c.begun.IsZero() {
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

// exhausted cuts from the first chunk on whose budget is used up.
func (t *turn) exhausted() {
	now := time.Now()
	for i, c := range t.flight {
		if c.Budget > 0 && !c.over && !c.begun.IsZero() && now.Sub(c.begun) >= c.Budget {
			t.cut(i)
			return
		}
	}
}

// cut sees to it that neither chunk i of the flight nor a later one that waits
// starts another task, and gives back what will not be started.
func (t *turn) cut(i int) {
	if t.w == nil || i >= len(t.flight) {
		return
	}
	high := t.w.cells.load(cellHigh)
	for j, c := range t.flight[i:] {
		// A later one that has begun has a budget of its own.
		if t.stopped || j == 0 || high <= c.base {
			c.over = true
			t.w.cells.store(cellLimit+c.cell, c.base)
		}
	}
	time.Sleep(settle)
	t.reclaim()
	t.w.flush() // a batch that has begun is cut short
}

// reclaim gives back the tasks that a cut chunk will not start.
func (t *turn) reclaim() {
	high := t.w.cells.load(cellHigh)
	kept := t.flight[:0]
	for _, c := range t.flight {
		if c.over {
			t.giveBack(c, max(high, c.base))
		}
		if c.over && c.cut == c.base {
			t.end(c, exec.Usage{})
			continue
		}
		kept = append(kept, c)
	}
	t.flight = kept
}

// giveBack returns the tasks of a chunk from a number on.
func (t *turn) giveBack(c *chunk, from int64) {
	if from >= c.cut {
		return
	}
	t.reports.Add(exec.Report{Chunk: c.ID, Back: []exec.Span{{First: c.index(from), Count: int(c.cut - from)}}})
	c.cut = from
}

// tick looks at what the process does.
func (t *turn) tick() {
	if t.w == nil || len(t.flight) == 0 {
		return
	}
	cells := t.w.cells
	if t.over() {
		t.reclaim()
	}
	high := cells.load(cellHigh)
	for _, c := range t.flight {
		if c.begun.IsZero() && high > c.base {
			c.begun = time.Now()
		}
		t.reportLogs(c)
	}
	if served := t.w.served.Load(); served == t.asked && t.unsent() {
		t.w.flush()
	} else {
		t.asked = served
	}
	t.watch(time.Now())
}

// unsent reports whether the process has something for us.
func (t *turn) unsent() bool {
	cells := t.w.cells
	if cells.load(cellDirty) != 0 || t.over() && cells.load(cellHigh) > cells.mark(0)+1 {
		return true
	}
	if len(t.seen) > 1 {
		return false
	}
	for _, c := range t.flight {
		if mark := cells.mark(0); mark >= c.base && mark < c.end {
			return mark-c.base > int64(c.received)
		}
	}
	return false
}

// watch notes what is in hand, and ends the process when a task has been for
// too long.
func (t *turn) watch(now time.Time) {
	if t.culprit >= 0 {
		return
	}
	for i := range t.seen {
		mark := t.w.cells.mark(i)
		s := &t.seen[i]
		if mark < 0 || mark != s.number || s.since.IsZero() {
			*s = seen{mark, now}
			continue
		}
		if c := t.chunk(mark); c != nil {
			c.slow = mark
		}
		if t.lane.Timeout <= 0 || now.Sub(s.since) < t.lane.Timeout {
			continue
		}
		if t.unsent() {
			t.w.flush()
			time.Sleep(5 * time.Millisecond)
		}
		if t.w.cells.mark(i) != mark {
			continue
		}
		t.culprit = mark
		t.w.kill()
		return
	}
}

// handle takes in what the process says.
func (t *turn) handle(e event) {
	switch {
	case e.exit != nil:
		t.exited(e.exit)
	case e.log != nil:
		t.w.printedLines("raw "+e.log.stream, *e.log, t.log)
	default:
		if err := t.frame(e.frame); err != nil {
			t.w.kill()
			t.err = err
		}
	}
}

func (t *turn) frame(f frame) error {
	switch f.kind {
	case frameLoaded:
		if len(f.body) > 1 {
			t.loadFailed(f.body[1:])
		}
		t.w.loaded = true
		if len(t.flight) > 0 {
			t.flight[0].begun = time.Now()
		}
	case frameOutcomes:
		o, err := parseOutcomes(f.body)
		if err != nil {
			return err
		}
		if c := t.chunk(o.first); c != nil {
			return c.add(o)
		}
	case frameOutcome:
		r := reader{rest: f.body}
		for len(r.rest) > 0 {
			o, err := r.outcome()
			if err != nil {
				return err
			}
			if c := t.chunk(o.number); c != nil {
				c.addOne(o)
			}
		}
	case frameLogs:
		r := reader{rest: f.body}
		for len(r.rest) > 0 {
			l, err := r.log()
			if err != nil {
				return err
			}
			t.w.printedLines(l.stream, l, t.log)
		}
	case frameEnd:
		e, err := parseEnding(f.body)
		if err != nil {
			return err
		}
		t.ended(e)
	}
	return nil
}

// chunk is the one in flight that has the task of that number, or nil.
func (t *turn) chunk(number int64) *chunk {
	for _, c := range t.flight {
		if number >= c.base && number < c.end {
			return c
		}
	}
	return nil
}

// log collects a line for the next report.
func (t *turn) log(number int64, stream, text string, at time.Time) {
	c := t.chunk(number)
	if c == nil {
		// Printed while the program was loaded, or by a thread that outlived
		// its task: the chunk at hand shows it with its first task.
		if len(t.flight) == 0 {
			return
		}
		c = t.flight[0]
		number = c.base
	}
	c.logs = append(c.logs, logLine(c.index(number), stream, text, at))
}

func (t *turn) reportLogs(c *chunk) {
	if len(c.logs) > 0 {
		t.reports.Add(exec.Report{Chunk: c.ID, Logs: c.logs})
		c.logs = nil
	}
}

// ended finishes the chunk of which the process says that it has ended.
func (t *turn) ended(e ending) {
	w := t.w
	usage := exec.Usage{
		StartedAt: e.began, FinishedAt: time.Now(),
		User: e.user - w.user, System: e.system - w.system,
		InTasks: e.inTasks, Moving: e.moving, PeakMemory: e.peak,
	}
	for i, c := range t.flight {
		if c.base != e.base {
			continue // one that was given back as a whole has left the flight
		}
		w.user, w.system = e.user, e.system
		w.finishLines(c.base+e.done, t.log)
		t.flight = append(t.flight[:i:i], t.flight[i+1:]...)
		t.giveBack(c, c.base+e.done)
		t.end(c, usage)
		t.deaths = 0
		break
	}
	if len(t.flight) > 0 && t.flight[0].begun.IsZero() {
		t.flight[0].begun = time.Now()
	}
}

// end reports a chunk of which nothing more will be heard.
func (t *turn) end(c *chunk, usage exec.Usage) {
	t.reports.Add(exec.Report{Chunk: c.ID, Ended: true, Runs: c.runs(), Logs: c.logs, Usage: usage})
}

// exited finds out what the end of the process means for the tasks in flight.
func (t *turn) exited(exit *exitInfo) {
	w := t.w
	cells := w.cells
	w.finishLines(w.next, t.log)
	high := cells.load(cellHigh)
	var inHand []int64
	for i := range t.seen {
		if m := cells.mark(i); m >= 0 {
			if c := t.chunk(m); c != nil && !c.has(m) {
				inHand = append(inHand, m)
			}
		}
	}
	failure := t.verdict(exit)
	alone := int64(-1)
	switch {
	case t.ctx.Err() != nil || t.err != nil:
		inHand = nil
	case t.culprit >= 0:
		alone, inHand = t.culprit, nil
	case len(inHand) == 1:
		alone, inHand = inHand[0], nil
	}
	if t.err == nil && t.ctx.Err() == nil {
		switch {
		case !w.loaded:
			t.err = &exec.LoadError{TaskError: jobs.TaskError{
				Kind: jobs.KindCrash, Type: failure.Type,
				Message: "the process ended while the program was loaded: " + describeExit(exit.Status),
			}}
		case exit.err != nil:
			t.err = fmt.Errorf("run Python: %w", exit.err)
		}
	}
	progress := alone >= 0 || len(inHand) > 0
	var waiting []*chunk
	for _, c := range t.flight {
		if t.err == nil && t.ctx.Err() == nil && !c.over && high <= c.base && c.received == 0 {
			waiting = append(waiting, c)
			continue
		}
		progress = progress || c.received > 0
		if c2 := t.chunk(alone); alone >= 0 && c2 == c {
			c.addOne(outcome{number: alone, spent: t.spent(alone), failed: true, line: jobs.AppendFailure(nil, failure)})
		}
		t.abandon(c, inHand, exit)
	}
	t.flight = waiting
	t.w = nil
	t.e.living.Go(w.bury)
	if progress {
		t.deaths = 0
	} else if t.deaths++; t.deaths >= maxDeaths && t.err == nil && t.ctx.Err() == nil {
		t.err = fmt.Errorf("run Python: the process ended %d times between tasks: %s", t.deaths, describeExit(exit.Status))
	}
	if len(t.flight) > 0 && t.err == nil && t.ctx.Err() == nil && t.start() {
		for _, c := range t.flight {
			c.begun = time.Time{}
			t.send(c)
		}
	}
}

// abandon ends a chunk whose process has ended: what has an outcome keeps it,
// what may be to blame is suspect, the rest goes back.
func (t *turn) abandon(c *chunk, inHand []int64, exit *exitInfo) {
	var suspects []int64
	suspect := make(map[int64]bool)
	for _, n := range inHand {
		if n >= c.base && n < c.cut {
			suspects = append(suspects, c.index(n))
			suspect[n] = true
		}
	}
	now := time.Now()
	usage := exec.Usage{
		StartedAt: c.begun, FinishedAt: now,
		User: exit.User - t.w.user, System: exit.System - t.w.system,
		InTasks: now.Sub(c.begun), PeakMemory: exit.Peak,
	}
	if c.begun.IsZero() {
		usage = exec.Usage{}
	}
	t.w.user, t.w.system = exit.User, exit.System
	t.reports.Add(exec.Report{
		Chunk: c.ID, Ended: true,
		Runs: c.runs(), Back: c.missing(suspect), Suspects: suspects, Logs: c.logs, Usage: usage,
	})
}

// spent is how long a task has been in hand, as far as it was seen.
func (t *turn) spent(number int64) time.Duration {
	for _, s := range t.seen {
		if s.number == number && !s.since.IsZero() {
			return time.Since(s.since)
		}
	}
	return 0
}

// verdict is the failure of the task that is to blame for the end of its process.
func (t *turn) verdict(exit *exitInfo) *jobs.TaskError {
	status := exit.Status
	switch {
	case t.culprit >= 0:
		return &jobs.TaskError{
			Kind: jobs.KindTimeout, Type: "timeout",
			Message: fmt.Sprintf("still running after %v", t.lane.Timeout),
		}
	case t.lane.MemoryLimit > 0 && exit.Peak >= t.lane.MemoryLimit/10*9:
		return &jobs.TaskError{
			Kind: jobs.KindMemory, Type: exitType(exit),
			Message: fmt.Sprintf("the process took more than the memory limit of %d bytes: %s", t.lane.MemoryLimit, describeExit(status)),
		}
	}
	return &jobs.TaskError{Kind: jobs.KindCrash, Type: exitType(exit), Message: "the process died under the task: " + describeExit(status)}
}

func exitType(exit *exitInfo) string {
	if exit.Status.Signaled() {
		return process.SignalName(exit.Status.Signal())
	}
	return fmt.Sprintf("exit %d", exit.Status.ExitStatus())
}

// loadFailed notes why the program cannot be loaded.
func (t *turn) loadFailed(body []byte) {
	var failure jobs.TaskError
	if err := json.Unmarshal(body, &failure); err != nil {
		t.err = fmt.Errorf("read load error: %w", err)
		return
	}
	t.err = &exec.LoadError{TaskError: failure}
}

// cancel gives back what was not started and stops the process.
func (t *turn) cancel() {
	t.stopped = true
	t.err = context.Cause(t.ctx)
}

// finish ends the turn: the process is kept when it is well, and ended when it
// is not, and every chunk that is still in flight is reported.
func (t *turn) finish() {
	w := t.w
	if w == nil {
		for _, c := range t.flight {
			t.reports.Add(exec.Report{Chunk: c.ID, Ended: true, Runs: c.runs(), Back: c.missing(nil), Logs: c.logs})
		}
		return
	}
	if t.err == nil {
		t.w = nil
		t.e.release(w)
		return
	}
	if t.ctx.Err() != nil {
		t.cut(0)
		if t.unsent() {
			w.flush()
			time.Sleep(10 * time.Millisecond)
		}
		t.e.living.Go(func() { w.process.Stop(exec.KillGrace) })
	} else {
		t.e.living.Go(w.kill)
	}
	for t.w != nil {
		<-w.more
		for _, e := range w.events() {
			t.handle(e)
			if t.w == nil {
				break
			}
		}
	}
}
