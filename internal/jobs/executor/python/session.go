package python

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/flight"
	"github.com/allcores/allcores/internal/jobs/executor/updates"
)

const (
	// maxChunkLogs is how many bytes of log lines are collected for one update.
	maxChunkLogs = 1 << 20
	// tick is how often the marks are read, and how long log lines stay in the
	// process.
	tick = 50 * time.Millisecond
	// calmTick is the tick of a session that has run for longer than settled and has
	// chunks of one task left: waking this program up costs more than the work of a
	// tick.
	calmTick = 2 * tick
	settled  = time.Second
	// settle is how long after a limit was lowered the process is sure to have
	// seen it, or to have shown in wordHigh that it was faster.
	settle = time.Millisecond
	// lastOutcomes is how long a process that is asked to flush before it is ended
	// has for that.
	lastOutcomes = 10 * time.Millisecond
)

// A session is one call of Run. All of its methods run on one goroutine, that of
// flight.Run. It waits nowhere else, except while acquire starts an interpreter,
// which a cancellation ends.
type session struct {
	pool *pool
	//lint:ignore containedctx a session is one call of Run
	ctx    context.Context
	lane   executor.Lane
	began  time.Time
	chunks flight.Chunks[*chunk] // handed to the process, or to be handed to the next one

	w        *worker // nil when there is none
	watch    watch   // of w
	reports  flight.Reports
	settleAt time.Time // when a lowered limit holds; zero when none was lowered
	deaths   int       // processes that ended one after the other with no task done
	err      error
}

// run serves a session.
func run(ctx context.Context, p *pool, lane executor.Lane, in <-chan executor.Chunk, send func(executor.Update)) error {
	queue := updates.New(send)
	s := &session{
		pool: p, ctx: ctx, lane: lane, began: time.Now(),
		chunks: flight.Chunks[*chunk]{Updates: queue},
	}
	flight.Run(ctx, lane, in, queue, s)
	s.finish()
	queue.Close()
	return s.err
}

// Status implements flight.Session.
func (s *session) Status() flight.Status {
	status := flight.Status{
		InFlight: len(s.chunks.List), Over: s.chunks.Over() || s.exhausted() && len(s.chunks.List) > 0, Stopped: s.chunks.Stopped, Failed: s.err != nil,
		Due: flight.Earliest(s.chunks.BudgetEnd(), s.settleAt, s.watch.overdue.killAt, s.watch.look.due, s.reports.Due),
	}
	if s.w != nil {
		status.Events = s.w.inbox.more
	}
	return status
}

// Take sends a chunk to the process, which is acquired for the first chunk.
func (s *session) Take(given executor.Chunk) {
	c := newChunk(given)
	if s.exhausted() && !s.replace(c) {
		return
	}
	s.chunks.List = append(s.chunks.List, c)
	s.watch.look.from(time.Now(), c)
	if s.w == nil && !s.start() {
		return
	}
	s.send(c)
}

// Halt gives back what was not started.
func (s *session) Halt() {
	s.chunks.Stopped = true
	s.cut(0)
}

// Cancel ends the session; finish gives back what was not started.
func (s *session) Cancel() {
	s.chunks.Stopped = true
	s.err = context.Cause(s.ctx)
}

// Handle handles the events of the process.
func (s *session) Handle() {
	for _, e := range s.w.inbox.take() {
		s.handle(e)
		if s.w == nil {
			break
		}
	}
	s.chunks.SendLogs(maxChunkLogs)
	if s.w != nil && slices.ContainsFunc(s.chunks.List, (*chunk).reportable) {
		s.reports.Came()
		s.report()
	}
}

// report sends the outcomes of chunks that go on, where they are due.
func (s *session) report() {
	if s.watch.broke != "" || !s.reports.Begin(s.chunks.Updates) {
		return
	}
	// What a task printed is never recorded after its outcome.
	s.w.lines.finishOf(func(number int64) bool {
		c := s.chunk(number)
		return c != nil && c.has(number)
	}, s.log)
	for _, c := range s.chunks.List {
		if c.reportable() {
			s.chunks.Report(c, c.outcomes())
		}
	}
}

// Due sends outcomes of chunks that go on, gives back what a cut chunk will not start,
// ends a process whose task is overdue, and cuts a chunk whose time budget has ended.
func (s *session) Due() {
	now := time.Now()
	s.report()
	s.lookDue(now)
	if !s.settleAt.IsZero() && !now.Before(s.settleAt) {
		s.settle()
	}
	if at := s.watch.overdue.killAt; !at.IsZero() && !now.Before(at) {
		s.watchTasks(now)
	}
	if i := s.chunks.Spent(now); i >= 0 {
		s.cut(i)
	}
}

// Tick looks at what the process does.
func (s *session) Tick() {
	if s.w == nil || len(s.chunks.List) == 0 {
		return
	}
	s.watchLoad()
	if s.chunks.Over() {
		s.reclaim()
	}
	high := s.high()
	for _, c := range s.chunks.List {
		if c.Begun.IsZero() && high > c.base {
			c.Begun = time.Now()
		}
	}
	s.chunks.SendLogs(0)
	now := time.Now()
	s.look(now)
	s.watchTasks(now)
	s.watchProgress(now)
}

// NextTick is how long it is until the next tick. All sessions tick at the same
// time, to wake this program up less often.
func (s *session) NextTick() time.Duration {
	every := tick
	if s.lane.Timeout > 0 {
		every = min(every, max(s.lane.Timeout/4, 5*time.Millisecond))
	}
	if every == tick && !s.chunks.Over() && time.Since(s.began) > settled && !slices.ContainsFunc(s.chunks.List, (*chunk).several) {
		every = calmTick
	}
	return every - time.Duration(time.Now().UnixNano())%every
}

// start acquires a process. Where it cannot, the session ends with the error.
func (s *session) start() bool {
	w, err := s.pool.acquire(s.ctx, s.lane)
	if err != nil {
		s.err = err
		return false
	}
	s.w = w
	s.watch = newWatch(s.lane.Threads)
	return true
}

// send sends a chunk to the process.
func (s *session) send(c *chunk) {
	w := s.w
	c.base = w.next
	c.end = c.base + int64(c.Count)
	c.limit = w.chunks % limitWords
	w.next += int64(c.Count)
	w.chunks++
	s.fit(c)
	w.shared.store(wordLimit+c.limit, min(c.cut(), c.base+c.recalled))
	w.shared.store(wordBegun+c.limit, c.base)
	if c.recalled < notRecalled {
		s.settleAt = time.Now().Add(settle)
	}
	c.sent = time.Now()
	if w.loaded && s.chunks.List[0] == c {
		c.Begun = c.sent
	}
	head := appendChunk(make([]byte, 0, chunkHeadSize+len(c.Inputs)), c)
	if !w.outbox.send(append(head, c.Inputs...)) {
		s.breach("the process reads nothing of what it is sent")
	}
}

// cut lowers the limits of chunk i and of later ones that have not begun, so that
// none of their tasks starts any more. Due gives back those that did not start.
func (s *session) cut(i int) {
	if s.w == nil || i >= len(s.chunks.List) {
		return
	}
	high := s.high()
	for _, c := range s.chunks.ToCut(i, func(c *chunk) bool { return high > c.base }) {
		c.Over = true
		s.w.shared.store(wordLimit+c.limit, c.base)
	}
	s.settleAt = time.Now().Add(settle)
}

// settle gives back what will not start, now that the lowered limits hold.
func (s *session) settle() {
	s.settleAt = time.Time{}
	if s.w == nil || !s.answerRecalls() {
		return
	}
	s.reclaim()
	s.w.flush() // a batch that has begun is cut short
}

// reclaim gives back the tasks that cut chunks will not start.
func (s *session) reclaim() {
	if !s.settleAt.IsZero() {
		return // the limits do not hold yet
	}
	for _, c := range slices.Clone(s.chunks.List) {
		if !c.Over {
			continue
		}
		s.giveBack(c, s.begun(c))
		if c.Cut == 0 {
			s.end(c, executor.Usage{})
		}
	}
}

// giveBack gives back the tasks of a chunk from a number on.
func (s *session) giveBack(c *chunk, from int64) {
	s.chunks.GiveBack(c, int(min(from-c.base, math.MaxInt32)))
}

// end ends a chunk that the process has done with.
func (s *session) end(c *chunk, usage executor.Usage) {
	s.chunks.End(c, executor.Update{Outcomes: c.outcomes(), Usage: usage})
}

// unsent reports whether the process has something that it has not sent.
func (s *session) unsent() bool {
	shared := s.w.shared
	if shared.load(wordDirty) != 0 || s.chunks.Over() && shared.load(wordHigh) > shared.mark(0)+1 {
		return true
	}
	if s.lane.Threads > 1 {
		return false
	}
	for _, c := range s.chunks.List {
		if mark := shared.mark(0); mark >= c.base && mark < c.end {
			return mark-c.base > int64(c.received)
		}
	}
	return false
}

// handle handles one event.
func (s *session) handle(e event) {
	switch {
	case e.exit != nil:
		s.exited(e.exit)
	case e.log != nil:
		s.w.lines.add(true, *e.log, s.log)
	case e.bad != nil:
		s.breach(brokeProtocol(e.bad))
	case s.watch.broke == "":
		if err := s.frame(e.frame); err != nil {
			s.breach(brokeProtocol(err))
		}
	}
}

// chunk returns the chunk in flight that has the task of that number, or nil.
func (s *session) chunk(number int64) *chunk {
	for _, c := range s.chunks.List {
		if number >= c.base && number < c.end {
			return c
		}
	}
	return nil
}

// log adds a line to the next update of a task's chunk.
func (s *session) log(number int64, stream, text string, at time.Time) {
	c := s.chunk(number)
	if c == nil {
		// Printed while the program was loaded, or by a thread that outlived its
		// task: the first task of the running chunk shows it.
		if len(s.chunks.List) == 0 {
			return
		}
		c = s.chunks.List[0]
		number = c.base
	}
	c.Log(logLine(c.index(number), stream, text, at))
}

// finish ends the session: a healthy process is kept, any other is ended, and
// every chunk that is still in flight ends.
func (s *session) finish() {
	w := s.w
	switch {
	case w == nil:
		for _, c := range slices.Clone(s.chunks.List) {
			s.chunks.End(c, executor.Update{Outcomes: c.outcomes(), Back: c.missing(nil)})
		}
		return
	case s.err == nil || s.ctx.Err() != nil && w.loaded && len(s.chunks.List) == 0:
		// It runs no task, even if the session was cancelled.
		used := s.exhausted()
		s.w = nil
		if used {
			s.pool.living.Go(w.retire)
			return
		}
		s.pool.release(w, s.lane)
		return
	case s.ctx.Err() != nil:
		s.cut(0)
		s.pool.living.Go(s.stopper())
	default:
		s.pool.living.Go(w.kill)
	}
	due := time.NewTimer(time.Until(s.settleAt))
	defer due.Stop()
	for s.w != nil {
		select {
		case <-w.inbox.more:
			s.Handle()
		case <-due.C:
			s.settle()
		}
	}
}

// stopper returns what stops the process of a cancelled session. Where that has
// outcomes to send, they are asked for first.
func (s *session) stopper() func() {
	w := s.w
	if !s.unsent() {
		return func() { w.process.Stop(executor.KillGrace) }
	}
	w.flush()
	return func() {
		if !w.goneWithin(lastOutcomes) {
			w.process.Stop(executor.KillGrace)
		}
	}
}
