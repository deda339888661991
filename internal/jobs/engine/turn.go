package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine/turns"
	"github.com/allcores/allcores/internal/jobs/executor/slots"
	"github.com/allcores/allcores/internal/store"
)

const (
	// quantum is how long a turn runs while others wait for its slot.
	quantum = jobs.Quantum
	// patience is how long a turn waits for a slot here before it goes back to its
	// place in the line. There another node may fetch it, or a more urgent turn come
	// first.
	patience = time.Second
	// detour is how long a preempted lane waits for a slot here before its turn goes
	// back to the line: the turns that preempt are often short.
	detour = 30 * time.Millisecond
	// bookkeeping bounds a statement that must run although its turn's context was
	// cancelled.
	bookkeeping = 10 * time.Second
)

// turnFailed logs a turn that failed, unless the reason is known already.
func (e *Engine) turnFailed(t *turns.Turn, err error) {
	if !errors.Is(err, errLeaseLost) && !errors.Is(err, jobs.ErrUnavailable) {
		e.Logger.Error("turn failed; it will be tried again", "job", t.Job, "error", err)
		e.health.trouble.Store(&trouble{err.Error(), time.Now()})
	}
}

// crowded reports whether turns wait for a slot of a queue here.
func (e *Engine) crowded(queue string) bool {
	q := e.queues.get(queue)
	return q != nil && q.crowded()
}

// work returns what a lane must know of its job, from memory where it was read
// before.
func (e *Engine) work(ctx context.Context, job string) (*store.Work, error) {
	if w := e.jobs.works.get(job); w != nil {
		return w, nil
	}
	w, err := e.Store.Work(ctx, job)
	if err == nil {
		e.jobs.works.put(w)
	}
	return w, err
}

// begin gets a fetched turn a slot and returns what runs it, or nil where the turn
// cannot run here now and has been put back.
func (e *Engine) begin(ctx context.Context, t *turns.Turn) (turns.RunFunc, error) {
	w, err := e.work(ctx, t.Job)
	if errors.Is(err, jobs.ErrNotFound) {
		return nil, nil // the job was deleted
	}
	if err != nil {
		return nil, err
	}
	q := e.queues.get(t.Queue)
	if q == nil { // no longer served
		return nil, t.Return(ctx)
	}
	if e.Executors[w.Program.Kind()] == nil {
		return nil, fmt.Errorf("this node cannot run programs of kind %q", w.Program.Kind())
	}
	if wait := e.retries.loads.wait(t.Job, t.Lane); wait > 0 {
		return nil, t.Requeue(ctx, declined(wait))
	}
	began := time.Now()
	slot, err := e.slot(ctx, q, t, *w.Policy.CoresPerProcess)
	if err != nil {
		return nil, t.Return(ctx)
	}
	t.Waited += time.Since(began)
	e.usage.waited(t.Queue, t.Waited)
	return func(ctx context.Context) error { return e.run(ctx, newLane(t, w, q, slot), slot, nil) }, nil
}

// slot waits for a slot, for as long as patience lasts and River fetches from the
// queue. Meanwhile the turn may preempt lanes.
func (e *Engine) slot(ctx context.Context, q *queue, t *turns.Turn, cores int) (*slots.Slot, error) {
	if slot := q.slots.TryAcquire(cores); slot != nil {
		return slot, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.Fetching(), cancel)()
	q.wait(t.Priority, 1)
	defer q.wait(t.Priority, -1)
	stop := e.makeRoom(q, t)
	defer stop()
	return q.slots.AcquireWithin(ctx, cores, t.Priority, patience)
}

// start runs a turn that was inserted with its first chunk claimed, in the
// background. The slot is released at its end.
func (e *Engine) start(b store.Begun, w *store.Work, q *queue, slot *slots.Slot) {
	data := store.Turn{Job: w.Job, Lane: b.Lane, Queue: w.Queue, Priority: w.Priority}
	e.usage.waited(w.Queue, 0)
	e.turns.RunInserted(b.Turn, data, func(ctx context.Context, t *turns.Turn) error {
		return e.run(ctx, newLane(t, w, q, slot), slot, &b.Claimed)
	})
}

// run runs a lane, and after a detour another one of its turn, until nothing can be
// claimed or the quantum is over. It releases the slot at its end. first is the lease
// that was claimed with the turn, or nil.
func (e *Engine) run(ctx context.Context, on *lane, slot *slots.Slot, first *store.Claimed) error {
	defer func() { slot.Release() }()
	t, w, q := on.turn, on.work, on.queue
	program := keyOf(w)
	job := e.jobs.enter(w.Job, program)
	defer e.jobs.leave(w.Job, program)
	l := newLaneLoop(e, on, job, t.Waited)
	for {
		err := e.runLane(ctx, l, first)
		first = nil
		var unloaded *unloadedError
		switch {
		case errors.As(err, &unloaded):
			return t.Requeue(ctx, unloaded.wait)
		case err != nil:
			return err
		case l.known.ended:
			return t.Complete(ctx)
		case ctx.Err() != nil:
			return context.Cause(ctx) // cancelled in River, which ends the turn
		case l.yielding():
			return t.Requeue(ctx, 0)
		case l.preempted.Load():
			slot.Release()
			began := time.Now()
			patient, cancel := context.WithTimeout(ctx, detour)
			next, err := q.slots.Acquire(patient, *w.Policy.CoresPerProcess, t.Priority)
			cancel()
			if err != nil {
				return t.Requeue(ctx, 0)
			}
			slot = next
			l = newLaneLoop(e, newLane(t, w, q, slot), job, time.Since(began))
			continue
		}
		if left, err := t.Leave(ctx); err != nil || left {
			return err
		}
	}
}

func newLane(t *turns.Turn, w *store.Work, q *queue, slot *slots.Slot) *lane {
	return &lane{
		turn: t, work: w, queue: q, cores: slot.Cores, began: time.Now(),
		brake: brake{halted: make(chan struct{})}, recalls: newRecalls(), lending: lending{slot: slot},
	}
}

// runLane runs a lane once, where others can halt and cancel it.
func (e *Engine) runLane(ctx context.Context, l *laneLoop, first *store.Claimed) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l.cancel = cancel
	e.active.add(l.lane)
	defer e.active.remove(l.lane)
	select {
	case <-e.draining: // closed before Stop could halt the lane
		l.halt()
	default:
	}
	return l.run(ctx, first)
}
