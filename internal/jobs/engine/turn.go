package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/riverqueue/river"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/exec/slots"
	"github.com/allcores/allcores/internal/store"
)

const (
	// quantum is how long a turn runs while others wait for its slot.
	quantum = time.Second
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

// A turn is a lane's right to run, by its id in River.
type turn struct {
	store.Turn
	id int64
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

func (w *worker) Work(ctx context.Context, j *river.Job[turnArgs]) error {
	e := w.engine
	t := turn{id: j.ID, Turn: store.Turn{Job: j.Args.Job, Lane: j.Args.Lane, Queue: j.Queue, Priority: j.Priority}}
	e.active.arrived(t.id)
	defer e.active.gone(t.id)
	e.nudges.arrived(t.Job)
	e.nudges.arrived(t.Queue)
	err := e.fetched(ctx, t)
	if q := e.queues[t.Queue]; q != nil && q.crowded() {
		e.nudges.expect(t.Queue, t.Queue) // a slot that falls free during a fetch leads to no other
	}
	e.report(ctx, t, err)
	return err
}

// report tells operators of a turn that failed, unless they know the reason.
func (e *Engine) report(ctx context.Context, t turn, err error) {
	if err != nil && !errors.Is(err, errLeaseLost) && !errors.Is(err, jobs.ErrUnavailable) && ctx.Err() == nil {
		e.Logger.Error("turn failed; it will be tried again", "job", t.Job, "error", err)
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
func (e *Engine) fetched(ctx context.Context, t turn) error {
	w, err := e.work(ctx, t.Job)
	if errors.Is(err, jobs.ErrNotFound) {
		return nil // the job was deleted
	}
	if err != nil {
		return err
	}
	q := e.queues[t.Queue]
	if q == nil {
		return fmt.Errorf("this node does not serve queue %q", t.Queue)
	}
	if e.Executors[w.Program.Kind()] == nil {
		return fmt.Errorf("this node cannot run programs of kind %q", w.Program.Kind())
	}
	began := time.Now()
	slot, err := e.slot(ctx, q, t, *w.Policy.CoresPerProcess)
	if err != nil {
		return e.giveUp(ctx, t)
	}
	return e.run(ctx, t, w, q, slot, time.Since(began), nil)
}

// slot waits for a slot, for as long as patience lasts. A turn of a job that is
// new here, or of a more urgent one, makes lanes that have run for a moment give
// theirs up.
func (e *Engine) slot(ctx context.Context, q *queue, t turn, cores int) (*slots.Slot, error) {
	if slot := q.slots.TryAcquire(cores); slot != nil {
		return slot, nil
	}
	q.wait(t.Priority, 1)
	defer q.wait(t.Priority, -1)
	stop := e.makeRoom(q, t)
	defer stop()
	return q.slots.AcquireWithin(ctx, cores, t.Priority, patience)
}

// start runs a turn that was inserted with its first chunk claimed, in the
// background: River does not know of it. The slot is released at its end.
func (e *Engine) start(b store.Begun, w *store.Work, q *queue, slot *slots.Slot) {
	t := turn{id: b.Turn, Turn: store.Turn{Job: w.Job, Lane: b.Lane, Queue: w.Queue, Priority: w.Priority}}
	e.active.arrived(t.id)
	e.begun.Go(func() {
		defer e.active.gone(t.id)
		ctx := e.running
		err := e.run(ctx, t, w, q, slot, 0, &b.Claimed)
		e.report(ctx, t, err)
		if err != nil {
			e.postpone(ctx, t)
		}
	})
}

// postpone puts a turn that failed back into the line, as River does with those
// that it runs, when the database is there again.
func (e *Engine) postpone(ctx context.Context, t turn) {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeeping)
		err := e.Store.PostponeTurn(attempt, t.id, postponed)
		cancel()
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
func (e *Engine) run(ctx context.Context, t turn, w *store.Work, q *queue, slot *slots.Slot, waited time.Duration, first *store.Claimed) error {
	defer func() { slot.Release() }()
	stats := e.stats.enter(w.Job)
	defer e.stats.leave(w.Job)
	l := e.newLane(t, w, q, slot, stats, waited)
	for {
		err := e.runLane(ctx, l, first)
		first = nil
		switch {
		case err != nil:
			return err
		case l.ended:
			return e.complete(ctx, t)
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
		case l.yielding():
			return e.requeue(ctx, t)
		}
		left, err := e.leave(ctx, t)
		if err != nil || left {
			return err
		}
	}
}

func (e *Engine) newLane(t turn, w *store.Work, q *queue, slot *slots.Slot, stats *stats, waited time.Duration) *lane {
	l := &lane{
		engine: e, work: w, queue: q, priority: t.Priority, number: t.Lane,
		executor: e.Executors[w.Program.Kind()], cores: slot.Cores, began: time.Now(), waited: waited,
		halted: make(chan struct{}), leases: make(map[int64]*held), failures: -1,
		stats: stats,
	}
	if w.Policy.MaxFailures != nil {
		l.failures = w.Policy.FailuresAllowed(w.Inputs.Count)
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
func (e *Engine) requeue(ctx context.Context, t turn) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeeping)
	defer cancel()
	e.nudges.expect(t.Queue, t.Queue)
	return e.Store.RequeueTurn(ctx, t.id, t.Turn)
}

// giveUp puts a turn that found no slot here back to where it stood in the line:
// it must not lose its place to those who had a turn meanwhile.
func (e *Engine) giveUp(ctx context.Context, t turn) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeeping)
	defer cancel()
	e.nudges.expect(t.Queue, t.Queue)
	return e.Store.ReturnTurn(ctx, t.id, t.Queue)
}

// leave ends the turn, unless something can be claimed after all.
func (e *Engine) leave(ctx context.Context, t turn) (left bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeeping)
	defer cancel()
	return e.Store.LeaveTurn(ctx, t.id, t.Job)
}

// complete ends the turn of a job that has ended.
func (e *Engine) complete(ctx context.Context, t turn) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeeping)
	defer cancel()
	return e.Store.CompleteTurn(ctx, t.id)
}
