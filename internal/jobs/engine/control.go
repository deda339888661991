package engine

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// Cancel stops a job and waits up to two seconds for its tasks to be ended.
func (e *Engine) Cancel(ctx context.Context, v store.Viewer, id string, key *store.Key) (*jobs.Job, error) {
	news := e.Store.Feed.WatchStates(id)
	defer news.Close()
	if err := e.Store.Cancel(ctx, v, id, key); err != nil {
		return nil, err
	}
	return e.await(ctx, e.reading(v, id), news, 2*time.Second)
}

// A ReadFunc reads a job.
type ReadFunc func(ctx context.Context) (*jobs.Job, error)

func (e *Engine) reading(v store.Viewer, id string) ReadFunc {
	return func(ctx context.Context) (*jobs.Job, error) { return e.Store.Job(ctx, v, id) }
}

// Await reads a job when it has ended, or after at most the given time.
func (e *Engine) Await(ctx context.Context, v store.Viewer, id string, atMost time.Duration) (*jobs.Job, error) {
	return e.AwaitReading(ctx, id, atMost, e.reading(v, id))
}

// AwaitReading is Await for those who read the job with more of it.
func (e *Engine) AwaitReading(ctx context.Context, id string, atMost time.Duration, read ReadFunc) (*jobs.Job, error) {
	news := e.Store.Feed.WatchStates(id)
	defer news.Close()
	return e.await(ctx, read, news, atMost)
}

func (e *Engine) await(ctx context.Context, read ReadFunc, news *store.Sub, atMost time.Duration) (*jobs.Job, error) {
	deadline := time.NewTimer(atMost)
	defer deadline.Stop()
	// News can be missed while the database is away; then the tick finds out.
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		job, err := read(ctx)
		// An outage of the database is waited for too.
		if err != nil && !errors.Is(err, jobs.ErrUnavailable) || err == nil && job.State.Ended() {
			return job, err
		}
		select {
		case <-ctx.Done():
			return job, err
		case <-deadline.C:
			return read(ctx)
		case <-news.C:
		case <-tick.C:
		}
	}
}

// Append adds inputs to an open job in one transaction, and seals it if asked;
// see store.Append. Their tasks run as soon as it has returned.
func (e *Engine) Append(ctx context.Context, v store.Viewer, id string, values iter.Seq2[[]byte, error], seal bool) (first, count int64, err error) {
	if first, count, err = e.Store.Append(ctx, v, id, values, seal); err != nil {
		return 0, 0, err
	}
	e.dispatchSoon(ctx, id)
	return first, count, nil
}

// AppendOnce is Append with a key that makes it repeatable; see
// store.AppendOnce.
func (e *Engine) AppendOnce(ctx context.Context, v store.Viewer, id string, values iter.Seq2[[]byte, error], seal bool, key *store.Key, request func() ([]byte, error)) (first, count int64, err error) {
	if first, count, err = e.Store.AppendOnce(ctx, v, id, values, seal, key, request); err != nil {
		return 0, 0, err
	}
	if !key.Replayed {
		e.dispatchSoon(ctx, id)
	}
	return first, count, nil
}

// Seal closes an open job for inputs.
func (e *Engine) Seal(ctx context.Context, v store.Viewer, id string, key *store.Key) (*jobs.Job, error) {
	if err := e.Store.Seal(ctx, v, id, key); err != nil {
		return nil, err
	}
	return e.Store.Job(ctx, v, id)
}

// Pause makes nothing more of a job start; tasks in hand finish.
func (e *Engine) Pause(ctx context.Context, v store.Viewer, id string, key *store.Key) (*jobs.Job, error) {
	if err := e.Store.Pause(ctx, v, id, key); err != nil {
		return nil, err
	}
	return e.Store.Job(ctx, v, id)
}

// Resume lets a paused job go on.
func (e *Engine) Resume(ctx context.Context, v store.Viewer, id string, key *store.Key) (*jobs.Job, error) {
	if err := e.Store.Resume(ctx, v, id, key); err != nil {
		return nil, err
	}
	e.dispatchSoon(ctx, id)
	return e.Store.Job(ctx, v, id)
}

// Retry begins another run of an ended job, with its failed and cancelled tasks.
func (e *Engine) Retry(ctx context.Context, v store.Viewer, id string, key *store.Key) (*jobs.Job, error) {
	return e.RetryOnly(ctx, v, id, key, nil)
}

// RetryOnly is Retry with just the failed tasks that only chooses.
func (e *Engine) RetryOnly(ctx context.Context, v store.Viewer, id string, key *store.Key, only store.FailureFilter) (*jobs.Job, error) {
	if err := e.Store.Retry(ctx, v, id, key, only); err != nil {
		return nil, err
	}
	e.dispatchSoon(ctx, id)
	return e.Store.Job(ctx, v, id)
}

// dispatchSoon inserts the turns that a job lacks after a change that is
// committed already: when it fails, the sweep does it within a second or two.
func (e *Engine) dispatchSoon(ctx context.Context, id string) {
	if err := e.dispatch(ctx, id); err != nil && ctx.Err() == nil {
		e.Logger.Warn("insert turns; the sweep will", "job", id, "error", err)
	}
}
