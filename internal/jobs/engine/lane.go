package engine

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine/turns"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/store"
)

// A lane is one turn in progress, as the rest of the engine sees it: its identity, a
// brake, and a snapshot of what it holds. Its laneLoop claims and records.
type lane struct {
	turn  *turns.Turn
	work  *store.Work
	queue *queue
	cores []int // it is pinned to; empty where the queue is not pinned
	began time.Time

	brake
	lending
	recalls  recalls
	snapshot atomic.Pointer[laneSnapshot]
}

// A laneSnapshot is the state that a lane's loop last published. It is immutable.
type laneSnapshot struct {
	leases []heldSpan
	rest   executor.Rest // if it is not halted
}

// A heldSpan is the tasks still under a lease.
type heldSpan struct {
	lease int64
	first int64
	count int         // tasks still under it
	spans []jobs.Span // these
}

// has reports whether a task is under the lease.
func (h heldSpan) has(task int64) bool {
	return slices.ContainsFunc(h.spans, func(s jobs.Span) bool { return task >= s.First && task < s.First+int64(s.Count) })
}

// leaseOf returns the lease under which the lane holds a task. Any goroutine may
// call it.
func (l *lane) leaseOf(task int64) (lease int64, ok bool) {
	for _, h := range l.leases() {
		if h.has(task) {
			return h.lease, true
		}
	}
	return 0, false
}

// leases returns the spans that the lane holds.
func (l *lane) leases() []heldSpan {
	if s := l.snapshot.Load(); s != nil {
		return s.leases
	}
	return nil
}

// rest reports what is left of the job when the executor has run all that it was
// given.
func (l *lane) rest() executor.Rest {
	rest := executor.Exhausted
	if s := l.snapshot.Load(); s != nil {
		rest = s.rest
	}
	if rest == executor.Exhausted && l.isHalted() {
		return executor.GoesOn
	}
	return rest
}

// coreTurn describes the chunk that the lane's process works on: the oldest.
func (l *lane) coreTurn() jobs.CoreTurn {
	turn := jobs.CoreTurn{Job: l.work.Job, Lane: l.turn.Lane}
	var oldest int64
	for _, h := range l.leases() {
		if oldest == 0 || h.lease < oldest {
			oldest, turn.First, turn.Count = h.lease, h.first, h.count
		}
	}
	return turn
}

// A brake stops a lane from outside.
type brake struct {
	halted    chan struct{} // closed when nothing more may be claimed or started
	haltOnce  sync.Once
	cancel    context.CancelCauseFunc // ends the processes
	preempted atomic.Bool             // the slot goes to a turn that must not wait
	evicted   atomic.Bool             // there is no slot for the lane any more
}

// halt makes the lane claim and start nothing more.
func (b *brake) halt() { b.haltOnce.Do(func() { close(b.halted) }) }

func (b *brake) isHalted() bool {
	select {
	case <-b.halted:
		return true
	default:
		return false
	}
}

// preempt makes the lane give up its slot after the tasks that run.
func (b *brake) preempt() {
	b.preempted.Store(true)
	b.halt()
}

// evict makes the lane end its turn after the tasks that run.
func (b *brake) evict() {
	b.evicted.Store(true)
	b.halt()
}
