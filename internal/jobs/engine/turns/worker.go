package turns

import (
	"context"
	"time"

	"github.com/riverqueue/river"

	"github.com/allcores/allcores/internal/store"
)

// LongestRetry is the longest wait before River tries a turn again that failed on
// its node's account.
const LongestRetry = 15 * time.Second

// args are the arguments of a turn's River job.
type args struct {
	Job  string `json:"job"`
	Lane int    `json:"lane"`
}

// Kind is the turns' kind in River.
func (args) Kind() string { return store.TurnKind }

// worker is River's view of a Client.
type worker struct {
	river.WorkerDefaults[args]
	client *Client
}

// Timeout returns none: a task's timeout is its policy's.
func (*worker) Timeout(*river.Job[args]) time.Duration { return -1 }

// NextRetry returns when a turn that failed on this node's account is tried again.
func (*worker) NextRetry(j *river.Job[args]) time.Time {
	return time.Now().Add(min(time.Duration(1<<min(max(j.Attempt, 1), 5))*500*time.Millisecond, LongestRetry))
}

// Work runs a turn that River fetched, until it ends or is adopted.
func (w *worker) Work(ctx context.Context, j *river.Job[args]) error {
	c := w.client
	t := newTurn(c, j.ID, store.Turn{Job: j.Args.Job, Lane: j.Args.Lane, Queue: j.Queue, Priority: j.Priority})
	if j.AttemptedAt != nil {
		t.Waited = max(j.AttemptedAt.Sub(j.ScheduledAt), 0)
	}
	c.seen.arrived(j.ID)
	defer c.seen.gone(j.ID)
	c.wakeups.arrived(t.Job)
	c.wakeups.arrived(t.Queue)
	err := c.work(ctx, t)
	if c.Crowded(t.Queue) {
		c.Expect(t.Queue, t.Queue) // a slot that falls free during a fetch causes no other fetch
	}
	c.failed(ctx, t, err)
	return err
}

// work begins a fetched turn and waits until it ends or is adopted.
func (c *Client) work(ctx context.Context, t *Turn) error {
	if t.fetching = c.fetching(t.Queue); t.fetching == nil {
		return t.Return(ctx)
	}
	run, err := c.Begin(ctx, t)
	if run == nil {
		return err
	}
	own, cancel := context.WithCancelCause(c.running)
	release := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	ended := make(chan error, 1)
	c.turns.Go(func() {
		defer cancel(nil)
		err := run(own)
		t.settle(own, err)
		ended <- err
	})
	select {
	case err := <-ended:
		return err
	case <-t.fetching.over.Done():
	case <-t.aside:
	}
	if !release() { // River is cancelling it
		return <-ended
	}
	adopted, err := t.adopt(ctx)
	if err != nil {
		c.Logger.Warn("adopt turn", "job", t.Job, "error", err)
	}
	if !adopted {
		return <-ended
	}
	c.Expect(t.Queue, t.Queue) // there is room for another one
	return nil
}
