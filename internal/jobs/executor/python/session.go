package python

import (
	"context"
	"errors"
	"time"

	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/updates"
)

const (
	// inFlight is how many chunks a process has: one that runs, one that waits.
	inFlight = 2
	// maxBacklog is how many ended chunks may wait to be recorded before no
	// further one is taken.
	maxBacklog = 2
	// maxLogs is how many bytes of log lines may wait to be recorded before no more
	// are taken, and maxChunkLogs how many are collected for one report.
	maxLogs, maxChunkLogs = 32 << 20, 1 << 20
	// tick is how often the marks are looked at, and how long log lines stay in
	// the process.
	tick = 50 * time.Millisecond
	// calm is the tick of a turn that has run for longer than settled, as what
	// wakes this program up costs more than what a tick does.
	calm    = 2 * tick
	settled = time.Second
	// settle is how long after a limit was lowered the process is sure to have
	// seen it, or to have said in cellHigh that it was faster.
	settle = time.Millisecond
	// maxDeaths is how many processes may die one after the other with no task
	// in hand and none done.
	maxDeaths = 3
	// shortLoad is how long a program may always load, however short the timeout
	// of its tasks is, and longLoad how long where they have none.
	shortLoad, longLoad = 5 * time.Second, 5 * time.Minute
)

// loadLimit is how long a program may load whose tasks have that timeout, or 0.
func loadLimit(timeout time.Duration) time.Duration {
	if timeout <= 0 {
		return longLoad
	}
	return max(timeout, shortLoad)
}

// A turn is one call of Run.
type session struct {
	e *Executor
	//lint:ignore containedctx a session is one call of Run
	ctx     context.Context
	lane    executor.Lane
	in      <-chan executor.Chunk // nil once it is closed
	halt    <-chan struct{}       // nil once it is closed
	updates *updates.Queue

	w      *worker
	flight []*chunk // handed to the process or to be handed to the next one, in order
	seen   []seen   // by thread
	asked  int64    // w.served when a flush was last asked for
	deaths int      // in a row, with nothing done

	late      bool          // the program has been loading for too long
	slow      bool          // its process is ended for that
	broke     string        // what the process did that no runner of ours does, or empty
	idle      time.Duration // since when it has tasks but runs none
	quiet     time.Duration // since when it has tasks but none has ended
	looked    time.Time     // when that was last looked at
	throttled bool          // nothing of the process is taken in, as too much of it waits to be recorded
	strays    int           // what it said that belongs to no chunk in flight
	empty     int           // chunks in a row that ended with no task done
	culprit   int64         // number of the task that ran out of time, or -1
	stuck     bool          // one did, but another may hold it up
	query     time.Time     // when it was asked whether that is so; zero before
	answers   int64         // what cellAnswers was then
	stopped   bool          // no more tasks: halted or cancelled
	err       error
}

// seen is since when a thread has had a task in hand.
type seen struct {
	number int64
	since  time.Time
}

// Run runs the chunks of a turn, as executor.Executor says.
func (e *Executor) Run(ctx context.Context, lane executor.Lane, in <-chan executor.Chunk, send func(executor.Update)) error {
	if lane.Program.Python == nil {
		return errors.New("not a Python program")
	}
	lane.Threads = min(max(lane.Threads, 1), maxThreads)
	t := &session{
		e: e, ctx: ctx, lane: lane, in: in, halt: lane.Halt,
		updates: updates.New(send),
		seen:    make([]seen, lane.Threads),
		culprit: -1,
	}
	t.loop()
	t.finish()
	t.updates.Close()
	return t.err
}

func (t *session) loop() {
	every := tick
	if t.lane.Timeout > 0 {
		every = min(every, max(t.lane.Timeout/4, 5*time.Millisecond))
	}
	began := time.Now()
	ticks := time.NewTimer(untilTick(every))
	defer ticks.Stop()
	budget := time.NewTimer(time.Hour)
	defer budget.Stop()
	cancelled := t.ctx.Done()
	for t.err == nil && (t.in != nil || len(t.flight) > 0) {
		var events <-chan struct{}
		if t.w != nil {
			events = t.w.more
		}
		in, room := t.in, (<-chan struct{})(nil)
		if t.throttled = t.updates.LogBytes() > maxLogs; t.throttled {
			events, room = nil, t.updates.Room
		}
		switch {
		case t.stopped: // what comes goes back at once
		case len(t.flight) >= inFlight || t.over():
			in = nil
		case t.updates.Backlog() > maxBacklog:
			in, room = nil, t.updates.Room
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
			for _, c := range t.flight {
				if c.logBytes > maxChunkLogs {
					t.reportLogs(c)
				}
			}
			t.arm(budget)
		case <-room:
		case <-ticks.C:
			t.tick()
			if every == tick && !t.over() && time.Since(began) > settled {
				ticks.Reset(untilTick(calm))
			} else {
				ticks.Reset(untilTick(every))
			}
		case <-budget.C:
			t.exhausted()
			t.arm(budget)
		}
	}
}

// untilTick is how long it is until the next tick. All turns tick at the same
// time, to wake this program up less often.
func untilTick(every time.Duration) time.Duration {
	return every - time.Duration(time.Now().UnixNano())%every
}

// over reports whether the chunk in hand may start no more tasks, so that one
// that came now could only wait.
func (t *session) over() bool {
	for _, c := range t.flight {
		if c.over {
			return true
		}
	}
	return false
}

// take accepts a chunk and hands it to the process.
func (t *session) take(c executor.Chunk) {
	if t.stopped || t.ctx.Err() != nil {
		t.updates.Add(executor.Update{Chunk: c.ID, Ended: true, Back: []executor.Span{{First: c.First, Count: c.Count}}})
		return
	}
	t.flight = append(t.flight, newChunk(c))
	if t.w == nil && !t.start() {
		return
	}
	t.send(t.flight[len(t.flight)-1])
}

// start gets a process for the turn.
func (t *session) start() bool {
	w, err := t.e.acquire(t.ctx, t.lane)
	if err != nil {
		t.err = err
		return false
	}
	t.w = w
	clear(t.seen)
	t.asked = -1
	t.late, t.slow, t.broke = false, false, ""
	t.culprit, t.stuck, t.query = -1, false, time.Time{}
	t.empty = 0
	t.progressed()
	return true
}

// send hands a chunk to the process.
func (t *session) send(c *chunk) {
	w := t.w
	c.base = w.next
	c.end = c.base + int64(c.Count)
	c.cut = c.end
	c.cell = w.chunks % limitWords
	w.next += int64(c.Count)
	w.chunks++
	w.shared.store(wordLimit+c.cell, c.end)
	c.sent = time.Now()
	if w.loaded && t.flight[0] == c {
		c.begun = c.sent
	}
	head := appendChunk(make([]byte, 0, chunkHeadSize+len(c.Inputs)), c.base, c.Count, c.cell, c.Failures, c.Range, len(c.Inputs))
	if !w.send(append(head, c.Inputs...)) {
		t.breach("the process reads nothing of what it is sent")
	}
}

// tick looks at what the process does.
func (t *session) tick() {
	if t.w == nil || len(t.flight) == 0 {
		return
	}
	t.watchLoad()
	if t.over() {
		t.reclaim()
	}
	high := t.high()
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
	now := time.Now()
	t.watch(now)
	t.stall(now)
}

// unsent reports whether the process has something for us.
func (t *session) unsent() bool {
	cells := t.w.shared
	if cells.load(wordDirty) != 0 || t.over() && cells.load(wordHigh) > cells.mark(0)+1 {
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

// watchLoad ends a process that loads its program for too long. It waits for one
// more tick, so that an acknowledgement that lies in the pipe is read before, and
// longer for one that says that it has begun a task.
func (t *session) watchLoad() {
	limit := loadLimit(t.lane.Timeout)
	if t.w.shared.load(wordHigh) > 0 {
		limit += t.e.bounds.stall
	}
	switch {
	case t.w.loaded || t.slow || t.broke != "":
	case time.Since(t.w.asked) <= limit:
	case !t.late:
		t.late = true
	default:
		t.slow = true
		t.w.kill()
	}
}

// watch notes what is in hand, and ends the process when a task has been for
// too long.
func (t *session) watch(now time.Time) {
	if t.culprit >= 0 || t.stuck || t.broke != "" {
		return
	}
	overdue := false
	for i := range t.seen {
		mark := t.inHand(i)
		s := &t.seen[i]
		if mark < 0 || mark != s.number || s.since.IsZero() {
			*s = seen{mark, now}
			continue
		}
		t.chunk(mark).slow = mark
		if t.lane.Timeout <= 0 || now.Sub(s.since) < t.lane.Timeout {
			continue
		}
		overdue = true
		answered := true
		if len(t.seen) > 1 {
			if answered = t.answered(now); !answered && now.Sub(t.query) < patience {
				return
			}
		} else if t.unsent() {
			t.w.flush()
			time.Sleep(5 * time.Millisecond)
		}
		if t.inHand(i) != mark {
			continue
		}
		if answered {
			t.culprit = mark
		} else {
			t.stuck = true
		}
		t.w.kill()
		return
	}
	if !overdue {
		t.query = time.Time{}
	}
}

// patience is how long a process of several tasks at once may take to show that
// none of them holds up the others.
const patience = 200 * time.Millisecond

// answered reports whether a task that is overdue could have ended: another one
// may hold the interpreter lock, or the event loop. The first call asks the
// process, which answers when neither is so.
func (t *session) answered(now time.Time) bool {
	answers := t.w.shared.load(wordAnswers)
	if t.query.IsZero() {
		t.query, t.answers = now, answers
		t.w.flush()
	}
	return answers != t.answers
}

// handle takes in what the process says.
func (t *session) handle(e event) {
	switch {
	case e.exit != nil:
		t.exited(e.exit)
	case e.log != nil:
		t.w.printedLines(true, *e.log, t.log)
	case e.bad != nil:
		t.breach(brokeProtocol(e.bad))
	case t.broke == "":
		if err := t.frame(e.frame); err != nil {
			t.breach(brokeProtocol(err))
		}
	}
}

// chunk is the one in flight that has the task of that number, or nil.
func (t *session) chunk(number int64) *chunk {
	for _, c := range t.flight {
		if number >= c.base && number < c.end {
			return c
		}
	}
	return nil
}

// log collects a line for the next report.
func (t *session) log(number int64, stream, text string, at time.Time) {
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
	c.logBytes += len(text) + updates.LineCost
}

func (t *session) reportLogs(c *chunk) {
	if len(c.logs) > 0 {
		t.updates.Add(executor.Update{Chunk: c.ID, Logs: c.logs})
		c.logs, c.logBytes = nil, 0
	}
}

// end reports a chunk of which nothing more will be heard.
func (t *session) end(c *chunk, usage executor.Usage) {
	t.updates.Add(executor.Update{Chunk: c.ID, Ended: true, Outcomes: c.runs(), Logs: c.logs, Usage: usage})
}

// cancel gives back what was not started and stops the process.
func (t *session) cancel() {
	t.stopped = true
	t.err = context.Cause(t.ctx)
}

// finish ends the turn: the process is kept when it is well, and ended when it
// is not, and every chunk that is still in flight is reported.
func (t *session) finish() {
	w := t.w
	if w == nil {
		for _, c := range t.flight {
			t.updates.Add(executor.Update{Chunk: c.ID, Ended: true, Outcomes: c.runs(), Back: c.missing(nil), Logs: c.logs})
		}
		return
	}
	if t.err == nil || t.ctx.Err() != nil && w.loaded && len(t.flight) == 0 {
		// It has nothing in hand, even if the turn was cancelled.
		t.w = nil
		t.e.release(w, t.lane)
		return
	}
	if t.ctx.Err() != nil {
		t.cut(0)
		if t.unsent() {
			w.flush()
			time.Sleep(10 * time.Millisecond)
		}
		t.e.living.Go(func() { w.process.Stop(executor.KillGrace) })
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
