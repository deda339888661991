package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/riverqueue/river"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor/slots"
	"github.com/allcores/allcores/internal/store"
)

const (
	// quantum is how long a turn runs while others wait for its slot.
	quantum = jobs.Quantum
	// patience is how long a turn waits for a slot here before it goes back to
	// its place in the line, where another node may take it or a more urgent
	// turn come first.
	patience = time.Second
	// detour is how long a lane that made room for a newcomer waits for a slot
	// here before its turn goes back to the line: newcomers are often short.
	detour = 30 * time.Millisecond
	// postponed is when a turn that failed on this node's account is tried
	// again, where River did not fetch it.
	postponed = time.Second
	// longestRetry is the longest wait before River tries a turn again that
	// failed on its node's account.
	longestRetry = 15 * time.Second
	// bookkeeping is how long what must be written at the end of a turn may
	// take, after its context was cancelled.
	bookkeeping = 10 * time.Second
)

// turnArgs is what a turn carries in River.
type turnArgs struct {
	Job  string `json:"job"`
	Lane int    `json:"lane"`
}

// Kind is the turns' kind in River.
func (turnArgs) Kind() string { return store.TurnKind }

// A turn is a lane's right to run.
type turn struct {
	store.Turn
	waited time.Duration // in River's line

	mu sync.Mutex // held while the turn is ended or adopted
	id int64      // in River; it changes when the turn is adopted
	// alone means that River does not run the turn, whose end is all ours.
	alone bool
}

// end runs f, which ends the turn in the database, by its present id.
func (t *turn) end(ctx context.Context, f func(ctx context.Context, id int64) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeeping)
	defer cancel()
	t.mu.Lock()
	defer t.mu.Unlock()
	return f(ctx, t.id)
}

// worker is River's view of the engine.
type worker struct {
	river.WorkerDefaults[turnArgs]
	engine *Engine
}

// Timeout is none: how long a task may take is its policy's matter.
func (*worker) Timeout(*river.Job[turnArgs]) time.Duration { return -1 }

// NextRetry is when a turn that failed on this node's account is tried again.
func (*worker) NextRetry(j *river.Job[turnArgs]) time.Time {
	return time.Now().Add(min(time.Duration(1<<min(max(j.Attempt, 1), 5))*500*time.Millisecond, longestRetry))
}

// Work runs a turn that River fetched, until it ends or is adopted.
func (w *worker) Work(ctx context.Context, j *river.Job[turnArgs]) error {
	e := w.engine
	t := &turn{id: j.ID, Turn: store.Turn{Job: j.Args.Job, Lane: j.Args.Lane, Queue: j.Queue, Priority: j.Priority}}
	if j.AttemptedAt != nil {
		t.waited = max(j.AttemptedAt.Sub(j.ScheduledAt), 0)
	}
	e.active.arrived(t.id)
	defer e.active.gone(j.ID)
	e.nudges.arrived(t.Job)
	e.nudges.arrived(t.Queue)
	err := e.fetched(ctx, t)
	if q := e.queues.get(t.Queue); q != nil && q.crowded() {
		e.nudges.expect(t.Queue, t.Queue) // a slot that falls free during a fetch leads to no other
	}
	e.report(ctx, t, err)
	return err
}

// report tells operators of a turn that failed, unless they know the reason.
func (e *Engine) report(ctx context.Context, t *turn, err error) {
	if err != nil && !errors.Is(err, errLeaseLost) && !errors.Is(err, jobs.ErrUnavailable) && ctx.Err() == nil {
		e.Logger.Error("turn failed; it will be tried again", "job", t.Job, "error", err)
		e.trouble.Store(&trouble{err.Error(), time.Now()})
	}
}

// work reads what must be known of a job to run it.
func (e *Engine) work(ctx context.Context, job string) (*store.Work, error) {
	if w := e.works.get(job); w != nil {
		return w, nil
	}
	w, err := e.Store.Work(ctx, job)
	if err == nil {
		e.works.put(w)
	}
	return w, err
}

// fetched runs a turn that came from River's line, when it has got a slot.
func (e *Engine) fetched(ctx context.Context, t *turn) error {
	w, err := e.work(ctx, t.Job)
	if errors.Is(err, jobs.ErrNotFound) {
		return nil // the job was deleted
	}
	if err != nil {
		return err
	}
	q := e.queues.get(t.Queue)
	if q == nil || q.fetches.Load() == nil { // it is served no longer
		return e.giveUp(ctx, t)
	}
	if e.Executors[w.Program.Kind()] == nil {
		return fmt.Errorf("this node cannot run programs of kind %q", w.Program.Kind())
	}
	if wait := e.loads.wait(t.Job, t.Lane); wait > 0 {
		return e.requeueAfter(ctx, t, declined(wait))
	}
	fetching := q.fetches.Load()
	began := time.Now()
	slot, err := e.slot(ctx, q, fetching, t, *w.Policy.CoresPerProcess)
	if err != nil {
		return e.giveUp(ctx, t)
	}
	t.waited += time.Since(began)
	e.meter.waited(t.Queue, t.waited)
	own, cancel := context.WithCancelCause(e.running)
	release := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	ended := make(chan error, 1)
	e.begun.Go(func() {
		defer cancel(nil)
		err := e.run(own, t, w, q, slot, nil)
		e.settle(own, t, err)
		ended <- err
	})
	select {
	case err := <-ended:
		return err
	case <-fetching.over.Done():
	}
	if !release() { // it is being cancelled
		return <-ended
	}
	adopted, err := e.adopt(ctx, t)
	if err != nil {
		e.Logger.Warn("adopt turn", "job", t.Job, "error", err)
	}
	if !adopted {
		return <-ended
	}
	return nil
}

// adopt takes a running turn over from River.
func (e *Engine) adopt(ctx context.Context, t *turn) (adopted bool, err error) {
	return adopted, t.end(ctx, func(ctx context.Context, id int64) error {
		next, err := e.Store.AdoptTurn(ctx, id)
		if err != nil || next == 0 {
			return err
		}
		e.active.arrived(next)
		t.id, t.alone, adopted = next, true, true
		return nil
	})
}

// settle does what River does after a turn, where it did not run it.
func (e *Engine) settle(ctx context.Context, t *turn, err error) {
	t.mu.Lock()
	id, alone := t.id, t.alone
	t.mu.Unlock()
	if !alone {
		return
	}
	e.report(ctx, t, err)
	if err != nil {
		e.postpone(ctx, t, err)
	}
	e.active.gone(id)
}

// slot waits for a slot, for as long as patience lasts and River fetches from
// the queue. A turn of a job that is new here, or of a more urgent one, makes
// lanes that have run for a moment give theirs up.
func (e *Engine) slot(ctx context.Context, q *queue, f *fetching, t *turn, cores int) (*slots.Slot, error) {
	if slot := q.slots.TryAcquire(cores); slot != nil {
		return slot, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(f.over, cancel)()
	q.wait(t.Priority, 1)
	defer q.wait(t.Priority, -1)
	stop := e.makeRoom(q, t)
	defer stop()
	return q.slots.AcquireWithin(ctx, cores, t.Priority, patience)
}

// start runs a turn that was inserted with its first chunk claimed, in the
// background: River does not know of it. The slot is released at its end.
func (e *Engine) start(b store.Begun, w *store.Work, q *queue, slot *slots.Slot) {
	t := &turn{id: b.Turn, alone: true, Turn: store.Turn{Job: w.Job, Lane: b.Lane, Queue: w.Queue, Priority: w.Priority}}
	e.active.arrived(t.id)
	e.meter.waited(t.Queue, 0)
	e.begun.Go(func() {
		err := e.run(e.running, t, w, q, slot, &b.Claimed)
		e.settle(e.running, t, err)
	})
}

// postpone puts a turn that failed back into the line, as River does with those
// that it runs, when the database is there again.
func (e *Engine) postpone(ctx context.Context, t *turn, why error) {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := t.end(ctx, func(ctx context.Context, id int64) error { return e.Store.PostponeTurn(ctx, id, postponed, why) })
		if err == nil {
			return
		}
		if !errors.Is(err, jobs.ErrUnavailable) {
			e.Logger.Warn("postpone turn; it is released later", "job", t.Job, "error", err)
			return
		}
		select {
		case <-e.draining: // others find it when this node has stopped
			return
		case <-time.After(wait):
		}
	}
}

// run runs one lane of a job until nothing can be claimed or its quantum is
// over. first is what was claimed with the turn, or nil.
func (e *Engine) run(ctx context.Context, t *turn, w *store.Work, q *queue, slot *slots.Slot, first *store.Claimed) error {
	defer func() { slot.Release() }()
	program := keyOf(w)
	stats := e.stats.enter(w.Job, program)
	defer e.stats.leave(w.Job, program)
	l := e.newLane(t, w, q, slot, stats, t.waited)
	for {
		err := e.runLane(ctx, l, first)
		first = nil
		var unloaded *unloadedError
		switch {
		case errors.As(err, &unloaded):
			return e.requeueAfter(ctx, t, unloaded.wait)
		case err != nil:
			return err
		case l.ended:
			return t.end(ctx, e.Store.CompleteTurn)
		case ctx.Err() != nil:
			return context.Cause(ctx) // it was cancelled in River, which ends it
		case l.yielding():
			return e.requeue(ctx, t)
		case l.preempted.Load():
			slot.Release()
			began := time.Now()
			patient, cancel := context.WithTimeout(ctx, detour)
			next, err := q.slots.Acquire(patient, *w.Policy.CoresPerProcess, t.Priority)
			cancel()
			if err != nil {
				return e.requeue(ctx, t)
			}
			slot = next
			l = e.newLane(t, w, q, slot, stats, time.Since(began))
			continue
		}
		var left bool
		err = t.end(ctx, func(ctx context.Context, id int64) error {
			left, err = e.Store.LeaveTurn(ctx, id, t.Job)
			return err
		})
		if err != nil || left {
			return err
		}
	}
}

func (e *Engine) newLane(t *turn, w *store.Work, q *queue, slot *slots.Slot, stats *stats, waited time.Duration) *lane {
	l := &lane{
		engine: e, work: w, queue: q, priority: t.Priority, number: t.Lane,
		executor: e.Executors[w.Program.Kind()], cores: slot.Cores, began: time.Now(), waited: waited,
		halted: make(chan struct{}), leases: make(map[int64]*held), failures: -1,
		stats: stats,
	}
	if allowed := w.Policy.FailuresAllowed(w.Inputs.Count, !w.Inputs.Open); allowed < math.MaxInt64 {
		l.failures = allowed
	}
	return l
}

// runLane lets a lane run once, where others can halt and cancel it.
func (e *Engine) runLane(ctx context.Context, l *lane, first *store.Claimed) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l.cancel = cancel
	e.active.add(l)
	defer e.active.remove(l)
	select {
	case <-e.draining: // it was closed before the lane could be halted
		l.halt()
	default:
	}
	return l.run(ctx, first)
}

// requeue puts the turn at the end of the line and ends it, in one transaction.
func (e *Engine) requeue(ctx context.Context, t *turn) error {
	return e.requeueAfter(ctx, t, 0)
}

// requeueAfter is requeue, for the turn to be fetched after wait.
func (e *Engine) requeueAfter(ctx context.Context, t *turn, wait time.Duration) error {
	if wait == 0 {
		e.nudges.expect(t.Queue, t.Queue)
	}
	return t.end(ctx, func(ctx context.Context, id int64) error { return e.Store.RequeueTurn(ctx, id, t.Turn, wait) })
}

// giveUp puts a turn that found no slot here back to where it stood in the line:
// it must not lose its place to those who had a turn meanwhile.
func (e *Engine) giveUp(ctx context.Context, t *turn) error {
	e.nudges.expect(t.Queue, t.Queue)
	return t.end(ctx, func(ctx context.Context, id int64) error { return e.Store.ReturnTurn(ctx, id, t.Queue) })
}
