package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
)

// A lane is one turn in progress: it claims chunks, hands them to the executor
// and records what the executor reports. It owns the leases of its chunks.
type lane struct {
	engine   *Engine
	work     *store.Work
	queue    *queue
	priority int
	number   int
	executor executor.Executor
	cores    []int
	began    time.Time
	waited   time.Duration
	stats    *stats

	cancel    context.CancelCauseFunc // ends the processes
	preempted atomic.Bool             // the slot goes to a turn that must not wait
	evicted   atomic.Bool             // there is no slot for the lane any more
	haltOnce  sync.Once
	halted    chan struct{} // closed when nothing more may be claimed or started

	// view guards leases for those who only look. mu is held over round trips
	// to the database, so nobody but the lane itself may wait for it.
	view   sync.Mutex
	leases map[int64]*held // chunks whose lease is ours: at the executor or being recorded

	mu        sync.Mutex
	in        chan executor.Chunk // to the executor; closed when no further chunk will come
	closed    bool
	atHand    int   // chunks at the executor
	claimed   bool  // the turn's first claim was made
	failures  int64 // that the job may still have; negative for any number
	unclaimed int64 // tasks at the job's cursor, as last heard
	lanes     int   // that the job may have, as last heard
	overdue   bool  // tasks came back because others take long, which still run
	yield     bool  // the turn goes back to the line
	loaded    bool  // the program could be loaded
	ended     bool  // the job has ended
	failed    error // why the lane cannot go on
	logs      []jobs.LogLine
	logsOf    int64 // the chunk whose tasks printed last
	logBytes  int
	logsSince time.Time
}

// held is a lease at the executor.
type held struct {
	store.Lease
	left int  // tasks still under the lease
	cut  bool // part of it was given back
}

// halt makes the lane claim and start nothing more.
func (l *lane) halt() { l.haltOnce.Do(func() { close(l.halted) }) }

func (l *lane) isHalted() bool {
	select {
	case <-l.halted:
		return true
	default:
		return false
	}
}

// preempt makes the lane give up its slot when the tasks in hand are done.
func (l *lane) preempt() {
	l.preempted.Store(true)
	l.halt()
}

// evict makes the lane end its turn when the tasks in hand are done.
func (l *lane) evict() {
	l.evicted.Store(true)
	l.halt()
}

// yielding reports whether the turn must go back to the line: its quantum is
// over, there is no slot for it any more, or the node drains.
func (l *lane) yielding() bool {
	select {
	case <-l.engine.draining:
		return true
	default:
		return l.yield || l.evicted.Load()
	}
}

// run claims and executes until nothing can be claimed, the quantum is over or
// the lane is halted. first is what was claimed for the lane already, or nil.
func (l *lane) run(ctx context.Context, first *store.Claimed) error {
	l.in = make(chan executor.Chunk, 2)
	l.closed = false
	if first == nil {
		if l.isHalted() {
			return nil
		}
		claimed, err := l.claimChunk(ctx)
		if err != nil || claimed.Lease == nil {
			return err
		}
		first = &claimed
	} else {
		l.claimed = true
	}
	l.mu.Lock()
	l.push(ctx, *first)
	l.mu.Unlock()
	executed := make(chan error, 1)
	go func() { executed <- l.executor.Run(ctx, l.order(), l.in, func(r executor.Update) { l.report(ctx, r) }) }()
	l.mu.Lock()
	l.fill(ctx)
	l.mu.Unlock()
	err := <-executed

	l.mu.Lock()
	defer l.mu.Unlock()
	l.returnUnread(ctx)
	l.flushLogs(ctx)
	if l.failed != nil {
		return l.failed
	}
	if cause := context.Cause(ctx); cause != nil && errors.Is(cause, errLeaseLost) {
		return cause
	}
	var load *executor.LoadError
	if errors.As(err, &load) {
		return l.notLoaded(ctx, load)
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("execute: %w", err)
	}
	return nil
}

// returnUnread gives back the chunks that an executor which ended early left in
// its channel.
func (l *lane) returnUnread(ctx context.Context) {
	if !l.closed {
		l.closed = true
		close(l.in)
	}
	for chunk := range l.in {
		l.atHand--
		h := l.leases[chunk.ID]
		if h == nil || errors.Is(context.Cause(ctx), errLeaseLost) {
			continue
		}
		l.record(ctx, h, executor.Update{Chunk: chunk.ID, Ended: true, Back: []executor.Span{{First: h.First, Count: h.left}}})
	}
}

// order is what the executor must know of the lane.
func (l *lane) order() executor.Lane {
	p := l.work.Policy
	count := min(*p.CoresPerProcess, len(l.engine.Cores))
	if len(l.cores) > 0 {
		count = len(l.cores)
	}
	return executor.Lane{
		Job: l.work.Job, Number: l.number, Owner: l.work.OwnerID, Program: l.work.Program,
		Threads: *p.Threads, Limits: executor.Limits{Timeout: p.Timeout.Value(), MemoryLimit: p.MemoryLimit.Value()},
		Cores: l.cores, CoreCount: count, Halt: l.halted, Rest: l.rest,
	}
}

// rest is what is left of the job when the executor has run all that it was given.
func (l *lane) rest() executor.Rest {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.ended:
		return executor.Over
	case l.yield || l.isHalted():
		return executor.GoesOn
	}
	return executor.Exhausted
}

// claim is the lane's next claim.
func (l *lane) claim() *store.Claim {
	c := &store.Claim{
		Job: l.work.Job, Node: l.engine.node.ID, Lane: l.number,
		Ranged: l.work.Inputs.Range != nil,
		First:  !l.claimed, Waited: l.waited,
	}
	if l.claimed {
		c.Waited = 0
	}
	l.claimed = true
	if len(l.cores) > 0 {
		c.Core = &l.cores[0]
	}
	if fixed := l.work.Policy.ChunkSize; fixed != nil {
		c.Want, c.Floor, c.Fixed = *fixed, *fixed, true
	} else {
		c.Want, c.Floor = l.stats.size(*l.work.Policy.Threads, l.aim())
	}
	return c
}

// aim is how much work the lane's next chunk should be.
func (l *lane) aim() time.Duration {
	if l.began.IsZero() {
		return firstAim
	}
	return aimAfter(time.Since(l.began))
}

// claimChunk makes the lane's next claim. Being cancelled does not interrupt it:
// its answer may be on the way, and nobody would know of the lease.
func (l *lane) claimChunk(ctx context.Context) (store.Claimed, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeeping)
	defer cancel()
	return l.engine.Store.Claim(ctx, *l.claim())
}

// push hands a claimed chunk to the executor. The channel holds as many chunks
// as fill lets be at the executor, so it never blocks.
func (l *lane) push(ctx context.Context, c store.Claimed) {
	lease := c.Lease
	l.unclaimed, l.lanes = c.Unclaimed, c.Lanes
	h := &held{Lease: *lease, left: lease.Count}
	l.view.Lock()
	l.leases[lease.ID] = h
	l.view.Unlock()
	if lease.Count == 1 && lease.Losses >= maxLosses {
		l.failLost(ctx, h)
		return
	}
	chunk := executor.Chunk{ID: lease.ID, First: lease.First, Count: lease.Count, Inputs: lease.Inputs, Failures: l.failures}
	if l.work.Policy.ChunkSize == nil {
		chunk.Budget = 2 * l.aim() // past it the untouched tail goes back
	}
	if r := l.work.Inputs.Range; r != nil {
		chunk.Range = &jobs.Range{Start: r.At(lease.First), Step: r.Step}
	}
	l.atHand++
	l.in <- chunk
}

// failLost records a task as failed that was alone in hand each time its node
// was lost: it is not run once more.
func (l *lane) failLost(ctx context.Context, h *held) {
	lost := &jobs.TaskError{Kind: jobs.KindLost, Type: "lost",
		Message: fmt.Sprintf("its node was lost %d times while nothing else was in hand there", h.Losses)}
	run := outcomes.Encoded{First: h.First, Count: 1, Outputs: outcomes.AppendFailure(nil, lost), Failed: []int32{0}, Durations: []byte{0, 0}}
	l.record(ctx, h, executor.Update{Chunk: h.ID, Ended: true, Outcomes: []outcomes.Encoded{run}})
}

// wantsMore reports whether another chunk should be claimed now.
func (l *lane) wantsMore() bool {
	if l.closed || l.yield || l.ended || l.failed != nil || l.isHalted() {
		return false
	}
	if l.atHand == 0 {
		return true
	}
	if l.overdue {
		return false
	}
	fixed := 0
	if size := l.work.Policy.ChunkSize; size != nil {
		fixed = *size
	}
	// With a limit on failures the second chunk must know of the first one's.
	return l.unclaimed > 0 && l.work.Policy.MaxFailures == nil &&
		l.atHand < l.stats.ahead(l.unclaimed, l.lanes, fixed)
}

// fill claims until the executor has as many chunks at hand as it should, and
// tells it when no more will come.
func (l *lane) fill(ctx context.Context) {
	for l.wantsMore() {
		claimed, err := l.claimChunk(ctx)
		if err != nil {
			// What is at the executor goes on. The turn fails after it, and
			// River tries it again.
			if ctx.Err() == nil {
				l.failed = err
			}
			break
		}
		if claimed.Lease == nil {
			l.unclaimed = 0
			break
		}
		l.push(ctx, claimed)
	}
	l.closeIfIdle()
}

// closeIfIdle ends the executor's run when nothing is at hand any more. While
// something is, its report may still lead to a claim.
func (l *lane) closeIfIdle() {
	if l.atHand == 0 && !l.closed {
		l.closed = true
		close(l.in)
	}
}

// report records what the executor says of a chunk. The executor's process goes
// on with the chunk that waits meanwhile.
func (l *lane) report(ctx context.Context, r executor.Update) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.leases[r.Chunk]
	if h == nil {
		return
	}
	l.keepLogs(ctx, r)
	switch {
	case len(r.Outcomes) > 0:
		l.overdue = false
		l.engine.loads.succeeded(l)
	case len(r.Back) > 0:
		l.overdue = true
	}
	// What has been done is recorded although the lane was cancelled, unless
	// the node has lost its leases.
	lost := errors.Is(context.Cause(ctx), errLeaseLost)
	if !r.Ended {
		if !lost {
			l.giveBack(ctx, h, r.Back)
		}
		return
	}
	l.atHand--
	if lost {
		l.drop(r.Chunk)
	} else {
		l.record(ctx, h, r)
	}
	l.fill(ctx)
}

// drop forgets a chunk that the executor has ended.
func (l *lane) drop(id int64) {
	l.view.Lock()
	defer l.view.Unlock()
	delete(l.leases, id)
}

// giveBack returns the untouched part of a chunk that goes on running.
func (l *lane) giveBack(ctx context.Context, h *held, back []executor.Span) {
	if len(back) == 0 {
		return
	}
	n := 0
	for _, span := range back {
		n += span.Count
	}
	l.view.Lock()
	h.left -= n
	l.view.Unlock()
	h.cut = true
	p, err := retry(ctx, func(ctx context.Context) (store.Progress, error) {
		return l.engine.Store.GiveBack(ctx, h.ID, h.left, back)
	})
	if err != nil {
		l.failed = fmt.Errorf("give back tasks: %w", err)
		return
	}
	l.recruit(ctx, p)
}

// recruit inserts turns when a job has something to claim and too few of them.
func (l *lane) recruit(ctx context.Context, p store.Progress) {
	if !p.Held || p.Halted != "" || p.Turns >= p.Lanes {
		return
	}
	l.engine.dispatchSoon(ctx, l.work.Job)
}

// record writes what became of a chunk and claims the next one with it.
func (l *lane) record(ctx context.Context, h *held, r executor.Update) {
	now := time.Now()
	rec := store.Record{
		Job: l.work.Job, Lease: h.ID, Count: h.left,
		User: r.Usage.User, System: r.Usage.System, Tasks: r.Usage.InTasks, Moving: r.Usage.Moving,
		PeakMemory: r.Usage.PeakMemory, Logs: l.logs,
		StartedAt: since(r.Usage.StartedAt, now), FinishedAt: since(r.Usage.FinishedAt, now),
	}
	rec.Back = pieces(h.Lease, r.Back, 0)
	for _, index := range r.Suspects {
		rec.Back = append(rec.Back, store.Piece{First: index, Count: 1, Attempt: h.Attempt, Losses: 1})
	}
	rec.Back = append(rec.Back, pieces(h.Lease, r.Lost, 1)...)
	done, out := 0, 0
	for _, run := range r.Outcomes {
		done += run.Count
		out += len(run.Outputs)
	}
	l.stats.add(done, r.Usage.FinishedAt.Sub(r.Usage.StartedAt), len(h.Inputs), out, h.cut || len(rec.Back) > 0)
	var again []store.Piece
	rec.Runs, again, rec.Attempts = takeRetries(r.Outcomes, h.Lease, l.work.Policy)
	rec.Back = append(rec.Back, again...)
	rec.Notify = l.stats.notify(l.notifyLater)
	defer l.drop(h.ID)
	var next *store.Claim
	if l.wantsMore() && l.quantumLeft() && (l.unclaimed > 0 || len(rec.Back) > 0) {
		next = l.claim()
	}
	type recorded struct {
		store.Progress
		store.Claimed
	}
	answer, err := retry(ctx, func(ctx context.Context) (recorded, error) {
		p, c, err := l.engine.Store.Record(ctx, rec, next)
		return recorded{p, c}, err
	})
	if err != nil {
		l.failed = err
		return
	}
	l.logs, l.logBytes = nil, 0
	if answer.Held {
		l.engine.meter.ran(l.work.Queue, r, rec.Runs)
		l.engine.wakeForRetry(l.work.Job, again)
	}
	if answer.Lease != nil {
		l.push(ctx, answer.Claimed)
	}
	l.heed(ctx, answer.Progress, len(rec.Back) > 0)
}

// heed draws the consequences of what the store said of the job.
func (l *lane) heed(ctx context.Context, p store.Progress, gaveBack bool) {
	if !p.Held {
		return // whoever has the lease now says what is true
	}
	if p.Ended {
		l.ended = true
		l.stats.silence()
	}
	if p.FailuresAllowed < p.Total {
		l.failures = max(p.FailuresAllowed-p.Failed, 0)
	}
	switch p.Halted {
	case "":
		if gaveBack {
			l.recruit(ctx, p)
		}
	case "cancelled":
		l.cancel(errCancelled)
	default:
		l.halt()
	}
}

// quantumLeft reports whether the lane may claim on. It may not when its
// quantum is over and others wait for its slot: then the turn goes back to the
// line once what is at hand is done.
func (l *lane) quantumLeft() bool {
	if time.Since(l.began) > quantum && l.queue.othersWait(l.priority) {
		l.yield = true
	}
	return !l.yield
}

func (l *lane) notifyLater() {
	ctx, cancel := context.WithTimeout(context.Background(), bookkeeping)
	defer cancel()
	if err := l.engine.Store.NotifyProgress(ctx, l.work.Job); err != nil && !errors.Is(err, jobs.ErrUnavailable) {
		l.engine.Logger.Warn("tell of progress", "job", l.work.Job, "error", err)
	}
}

// Bounds of the log lines that are held back to be written together.
const (
	maxHeldLogs    = 64 << 10 // bytes
	maxHeldLogTime = 250 * time.Millisecond
)

// keepLogs holds the lines of a report back to be written with the chunk's
// record, or before it when they are many or the chunk takes long.
func (l *lane) keepLogs(ctx context.Context, r executor.Update) {
	if len(l.logs) == 0 && len(r.Logs) > 0 {
		l.logsSince = time.Now()
		if !r.Ended {
			// No further report may come for long.
			time.AfterFunc(maxHeldLogTime, func() {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.flushLogs(ctx)
			})
		}
	}
	l.logs = append(l.logs, r.Logs...)
	l.logsOf = r.Chunk
	for _, line := range r.Logs {
		l.logBytes += len(line.Line)
	}
	if l.logBytes >= maxHeldLogs || !r.Ended && time.Since(l.logsSince) >= maxHeldLogTime {
		l.flushLogs(ctx)
	}
}

func (l *lane) flushLogs(ctx context.Context) {
	if len(l.logs) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeeping)
	defer cancel()
	if err := l.engine.Store.AppendLogs(ctx, l.work.Job, l.logsOf, l.logs); err != nil {
		l.engine.Logger.Warn("keep log lines", "job", l.work.Job, "lines", len(l.logs), "error", err)
	}
	l.logs, l.logBytes = nil, 0
}

func since(t, now time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return now.Sub(t)
}

// retry repeats a database call while the database is away, until the lane
// loses its leases. Being cancelled does not stop it: what was done is kept.
func retry[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	wait := 10 * time.Millisecond
	for {
		attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeeping)
		answer, err := call(attempt)
		cancel()
		if !errors.Is(err, jobs.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
			return answer, err
		}
		if errors.Is(context.Cause(ctx), errLeaseLost) {
			return answer, errLeaseLost
		}
		time.Sleep(wait)
		wait = min(2*wait, time.Second)
	}
}
