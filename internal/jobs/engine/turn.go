package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

const (
	// quantum is how long a turn runs while others wait for its slot.
	quantum = time.Second
	// patience is how long a turn waits for a slot here before it goes back to
	// the line, where another node or a more urgent turn may come first.
	patience = time.Second
	// bookkeeping is how long what must be written at the end of a turn may
	// take, after its context was cancelled.
	bookkeeping = 10 * time.Second
)

// worker is River's view of the engine.
type worker struct {
	river.WorkerDefaults[turnArgs]
	engine *Engine
}

// Timeout is none: how long a task may take is its policy's matter.
func (*worker) Timeout(*river.Job[turnArgs]) time.Duration { return -1 }

// NextRetry is when a turn that failed on this node's account is tried again.
func (*worker) NextRetry(j *river.Job[turnArgs]) time.Time {
	return time.Now().Add(min(time.Duration(1<<min(max(j.Attempt, 1), 5))*500*time.Millisecond, 15*time.Second))
}

func (w *worker) Work(ctx context.Context, turn *river.Job[turnArgs]) error {
	w.engine.active.arrived(turn.ID)
	defer w.engine.active.gone(turn.ID)
	w.engine.nudges.arrived(turn.Args.Job)
	err := w.engine.turn(ctx, turn)
	if err != nil && !errors.Is(err, errLeaseLost) && !errors.Is(err, jobs.ErrUnavailable) && ctx.Err() == nil {
		w.engine.Logger.Error("turn failed; it will be tried again", "job", turn.Args.Job, "error", err)
	}
	return err
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

// turn runs one lane of a job until nothing can be claimed or its quantum is
// over.
func (e *Engine) turn(ctx context.Context, turn *river.Job[turnArgs]) error {
	w, err := e.work(ctx, turn.Args.Job)
	if errors.Is(err, jobs.ErrNotFound) {
		return nil // the job was deleted
	}
	if err != nil {
		return err
	}
	q := e.queues[turn.Queue]
	if q == nil {
		return fmt.Errorf("this node does not serve queue %q", turn.Queue)
	}
	executor := e.Executors[w.Program.Kind()]
	if executor == nil {
		return fmt.Errorf("this node cannot run programs of kind %q", w.Program.Kind())
	}
	began := time.Now()
	patient, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	q.wait(turn.Priority, 1)
	slot, err := q.slots.Acquire(patient, *w.Policy.CoresPerProcess)
	q.wait(turn.Priority, -1)
	if err != nil {
		return e.requeue(ctx, turn)
	}
	defer slot.Release()

	laneContext, cancelLane := context.WithCancelCause(ctx)
	defer cancelLane(nil)
	l := &lane{
		engine: e, work: w, queue: q, priority: turn.Priority, number: turn.Args.Lane,
		executor: executor, cores: slot.Cores, began: time.Now(), waited: time.Since(began),
		cancel: cancelLane, halted: make(chan struct{}), leases: make(map[int64]*held), failures: -1,
		stats: e.stats.enter(w.Job),
	}
	if w.Policy.MaxFailures != nil {
		l.failures = w.Policy.FailuresAllowed(w.Inputs.Count)
	}
	defer e.stats.leave(w.Job)
	e.active.add(l)
	defer e.active.remove(l)
	select {
	case <-e.draining: // it was closed before the lane could be halted
		l.halt()
	default:
	}
	for {
		if err := l.run(laneContext); err != nil {
			return err
		}
		if l.ended {
			return nil
		}
		if l.yielding() {
			return e.requeue(ctx, turn)
		}
		left, err := e.leave(ctx, turn)
		if err != nil || left {
			return err
		}
	}
}

// requeue puts the turn at the end of the line and ends it, in one transaction.
func (e *Engine) requeue(ctx context.Context, turn *river.Job[turnArgs]) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeeping)
	defer cancel()
	return e.Store.Tx(ctx, func(tx pgx.Tx) error {
		again := store.Turn{Job: turn.Args.Job, Lane: turn.Args.Lane, Queue: turn.Queue, Priority: turn.Priority}
		if err := e.Store.InsertTurns(ctx, tx, []store.Turn{again}); err != nil {
			return err
		}
		return complete(ctx, tx, turn)
	})
}

// leave ends the turn, unless something can be claimed after all.
func (e *Engine) leave(ctx context.Context, turn *river.Job[turnArgs]) (left bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeeping)
	defer cancel()
	err = e.Store.Tx(ctx, func(tx pgx.Tx) error {
		if left, err = e.Store.Leave(ctx, tx, turn.Args.Job); err != nil || !left {
			return err
		}
		return complete(ctx, tx, turn)
	})
	return left, err
}

func complete(ctx context.Context, tx pgx.Tx, turn *river.Job[turnArgs]) error {
	if _, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, turn); err != nil {
		return fmt.Errorf("complete turn: %w", err)
	}
	return nil
}
