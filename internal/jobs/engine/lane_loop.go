package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
)

// A laneLoop claims chunks for a lane, feeds them to the executor and records what the
// executor sends. One goroutine runs it and owns everything in it, so nothing else
// waits for its round trips. Meanwhile the executor's process goes on with the next
// chunk.
type laneLoop struct {
	*lane
	engine *Engine
	job    *localJob
	waited time.Duration // the turn's wait for its slot, which its first claim records

	claimed bool // the turn's first claim was made
	known   jobProgress
	feed    feed
	leases  map[int64]*lease // at the executor or being recorded
	logs    logBuffer
	yield   bool  // the turn goes back to the line
	failed  error // why the lane cannot go on
}

// jobProgress is the progress of a lane's job that the store last reported.
type jobProgress struct {
	unclaimed int64 // tasks at the job's cursor
	lanes     int   // that the job may have
	failures  int64 // that the job may still have; negative for any number
	ended     bool
}

func newLaneLoop(e *Engine, l *lane, job *localJob, waited time.Duration) *laneLoop {
	loop := &laneLoop{lane: l, engine: e, job: job, waited: waited, leases: make(map[int64]*lease)}
	loop.known.failures = -1
	if allowed := l.work.Policy.FailuresAllowed(l.work.Inputs.Count, !l.work.Inputs.Open); allowed < math.MaxInt64 {
		loop.known.failures = allowed
	}
	return loop
}

// run claims and executes until nothing can be claimed, the quantum is over or
// the lane is halted. first is the lease that was claimed for the lane already, or nil.
func (l *laneLoop) run(ctx context.Context, first *store.Claimed) error {
	if first == nil {
		if l.isHalted() {
			return nil
		}
		claimed, err := l.claim(ctx)
		if err != nil || claimed.Lease == nil {
			return err
		}
		first = &claimed
	}
	l.claimed = true
	l.feed = newFeed()
	l.push(ctx, *first)
	updates, taken, executed := l.execute(ctx)
	l.fill(ctx)
	l.publish()
	for {
		select {
		case u := <-updates:
			l.take(ctx, u)
			l.publish()
			taken <- struct{}{}
		case <-l.logs.due:
			l.flushLogs(ctx)
		case err := <-executed:
			return l.finish(ctx, err)
		}
	}
}

// execute starts the executor. The caller must answer each update with taken. The
// executor waits for that, so that what it then reads of the lane is up to date.
func (l *laneLoop) execute(ctx context.Context) (updates <-chan executor.Update, taken chan<- struct{}, executed <-chan error) {
	sent, answered, ended := make(chan executor.Update), make(chan struct{}), make(chan error, 1)
	run, order, in := l.engine.Executors[l.work.Program.Kind()].Run, l.order(), l.feed.in
	session := l.engine.tasks.Open(l.work.Job, l.work.OwnerID, l.turn.Lane, l.leaseOf)
	session.Alone = *l.work.Policy.Threads == 1
	order.Socket, order.URL = l.engine.tasks.Path(), session.URL()
	go func() {
		defer session.Close()
		ended <- run(ctx, order, in, func(u executor.Update) {
			sent <- u
			<-answered
		})
	}()
	return sent, answered, ended
}

// order describes the lane to the executor.
func (l *laneLoop) order() executor.Lane {
	p := l.work.Policy
	count := min(*p.CoresPerProcess, len(l.engine.Cores))
	if len(l.cores) > 0 {
		count = len(l.cores)
	}
	return executor.Lane{
		Job: l.work.Job, Number: l.turn.Lane, Owner: l.work.OwnerID, Program: l.work.Program,
		Threads: *p.Threads, Limits: executor.Limits{Timeout: p.Timeout.Value(), MemoryLimit: p.MemoryLimit.Value(), MaxTasks: maxTasks(p)},
		Cores: l.cores, CoreCount: count, Halt: l.halted, Recall: l.recalls.c, Rest: l.rest,
	}
}

// finish gives back what an executor that returned err left, and returns why the lane
// cannot go on, or nil.
func (l *laneLoop) finish(ctx context.Context, err error) error {
	l.returnUnread(ctx)
	l.flushLogs(ctx)
	l.publish()
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
func (l *laneLoop) returnUnread(ctx context.Context) {
	l.feed.close()
	for chunk := range l.feed.in {
		l.feed.atHand--
		h := l.leases[chunk.ID]
		if h == nil || errors.Is(context.Cause(ctx), errLeaseLost) {
			continue
		}
		l.record(ctx, h, executor.Update{Chunk: chunk.ID, Ended: true, Back: h.left})
	}
}

// publish makes the state of the loop visible to others.
func (l *laneLoop) publish() {
	s := &laneSnapshot{leases: make([]heldSpan, 0, len(l.leases))}
	for id, h := range l.leases {
		s.leases = append(s.leases, heldSpan{lease: id, first: h.First, count: h.count(), spans: h.left})
	}
	switch {
	case l.known.ended:
		s.rest = executor.Over
	case l.yield:
		s.rest = executor.GoesOn
	}
	l.snapshot.Store(s)
}

// claim makes the lane's next claim. A cancellation does not interrupt it: the answer
// may be on the way, and nothing would hold the lease in it.
func (l *laneLoop) claim(ctx context.Context) (store.Claimed, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeeping)
	defer cancel()
	return l.engine.Store.Claim(ctx, l.nextClaim())
}

// nextClaim builds the lane's next claim.
func (l *laneLoop) nextClaim() store.Claim {
	c := nextClaim(l.work, &l.job.estimate, time.Since(l.began))
	c.Node, c.Lane = l.engine.node.ID, l.turn.Lane
	if len(l.cores) > 0 {
		c.Core = &l.cores[0]
	}
	if !l.claimed {
		c.First, c.Waited = true, l.waited
	}
	return c
}

// push hands a claimed chunk to the executor. The channel holds as many chunks as
// fill lets be at the executor, so it never blocks.
func (l *laneLoop) push(ctx context.Context, c store.Claimed) {
	l.known.unclaimed, l.known.lanes = c.Unclaimed, c.Lanes
	h := newLease(*c.Lease)
	l.leases[h.ID] = h
	l.publish()
	if h.Count == 1 && h.Losses >= maxLosses {
		l.failLost(ctx, h)
		return
	}
	l.feed.push(newChunk(l.work, h.Lease, l.known.failures, time.Since(l.began)))
}

// newChunk describes a claimed chunk to the executor. age is how long its lane has
// run.
func newChunk(w *store.Work, lease store.Lease, failures int64, age time.Duration) executor.Chunk {
	chunk := executor.Chunk{ID: lease.ID, First: lease.First, Count: lease.Count, Inputs: lease.Inputs, Failures: failures}
	if w.Policy.ChunkSize == nil {
		chunk.Budget = 2 * aimAfter(age) // past it the untouched tail goes back
	}
	if r := w.Inputs.Range; r != nil {
		chunk.Range = &jobs.Range{Start: r.At(lease.First), Step: r.Step}
	}
	return chunk
}

// failLost records a task as failed that ran alone each time its node was lost.
func (l *laneLoop) failLost(ctx context.Context, h *lease) {
	lost := &jobs.TaskError{Kind: jobs.KindLost, Type: "lost",
		Message: fmt.Sprintf("its node was lost %d times while only this task ran there", h.Losses)}
	run := outcomes.Encoded{First: h.First, Count: 1, Outputs: outcomes.AppendFailure(nil, lost), Failed: []int32{0}, Durations: []byte{0, 0}}
	l.record(ctx, h, executor.Update{Chunk: h.ID, Ended: true, Outcomes: []outcomes.Encoded{run}})
}

// wantsMore reports whether another chunk should be claimed now.
func (l *laneLoop) wantsMore() bool {
	if l.feed.closed || l.yield || l.known.ended || l.failed != nil || l.isHalted() {
		return false
	}
	fixed := 0
	if size := l.work.Policy.ChunkSize; size != nil {
		fixed = *size
	}
	return l.feed.wantsMore(l.known.unclaimed, l.work.Policy.MaxFailures != nil,
		l.job.estimate.ahead(l.known.unclaimed, l.known.lanes, fixed))
}

// fill claims until the executor has as many chunks as it should, and closes the
// feed when no more will come.
func (l *laneLoop) fill(ctx context.Context) {
	for l.wantsMore() {
		claimed, err := l.claim(ctx)
		if err != nil {
			// Chunks at the executor still run. The turn fails after them and is
			// retried.
			if ctx.Err() == nil {
				l.failed = err
			}
			break
		}
		if claimed.Lease == nil {
			l.known.unclaimed = 0
			break
		}
		l.push(ctx, claimed)
	}
	l.feed.closeIfIdle()
}

// quantumLeft reports whether the lane may claim on. It may not when its quantum
// is over and others wait for its slot: then the turn goes back to the line once
// the chunks at the executor have ended.
func (l *laneLoop) quantumLeft() bool {
	if time.Since(l.began) > quantum && l.queue.othersWait(l.turn.Priority) {
		l.yield = true
	}
	return !l.yield
}

// yielding reports whether the turn must go back to the line: its quantum is over,
// there is no slot for it any more, or the node drains.
func (l *laneLoop) yielding() bool {
	select {
	case <-l.engine.draining:
		return true
	default:
		return l.yield || l.evicted.Load()
	}
}
