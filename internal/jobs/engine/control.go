package engine

import (
	"context"
	"errors"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// Cancel stops a job and waits up to two seconds for its tasks to end.
func (e *Engine) Cancel(ctx context.Context, v store.Viewer, id string, key *store.Key) (*jobs.Job, error) {
	news := e.Store.Feed.WatchStates(id)
	defer news.Close()
	if err := e.Store.Cancel(ctx, v, id, key); err != nil {
		return nil, err
	}
	return e.await(ctx, AwaitRequest{Job: id, Viewer: v, AtMost: 2 * time.Second}, news)
}

// An AwaitRequest waits for the end of a job.
type AwaitRequest struct {
	Job    string
	Viewer store.Viewer  // as whom the job is read
	AtMost time.Duration // how long to wait

	// Read, if not nil, reads the job instead, for callers that read more with it.
	Read func(ctx context.Context) (*jobs.Job, error)
}

// Await reads a job when it has ended, or after AtMost.
func (e *Engine) Await(ctx context.Context, r AwaitRequest) (*jobs.Job, error) {
	news := e.Store.Feed.WatchStates(r.Job)
	defer news.Close()
	return e.await(ctx, r, news)
}

// await is Await with a subscription that the caller made.
func (e *Engine) await(ctx context.Context, r AwaitRequest, news *store.Sub) (*jobs.Job, error) {
	read := r.Read
	if read == nil {
		read = func(ctx context.Context) (*jobs.Job, error) { return e.Store.Job(ctx, r.Viewer, r.Job) }
	}
	deadline := time.NewTimer(r.AtMost)
	defer deadline.Stop()
	// Notifications are lost while the database is unavailable; the tick reads anyway.
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		job, err := read(ctx)
		// An outage of the database is waited out too.
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

// Seal closes an open job for inputs.
func (e *Engine) Seal(ctx context.Context, v store.Viewer, id string, key *store.Key) (*jobs.Job, error) {
	if err := e.Store.Seal(ctx, v, id, key); err != nil {
		return nil, err
	}
	return e.Store.Job(ctx, v, id)
}

// KeepAlive begins the idle time of an open job again; see jobs.Inputs.IdleSeal.
func (e *Engine) KeepAlive(ctx context.Context, v store.Viewer, id string) (*jobs.Job, error) {
	if err := e.Store.KeepAlive(ctx, v, id); err != nil {
		return nil, err
	}
	return e.Store.Job(ctx, v, id)
}

// Pause stops further claims of a job. Claimed tasks finish.
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

// Retry begins another run of an ended job, with its failed and cancelled tasks,
// or with only those failed ones that only selects, where it is not nil.
func (e *Engine) Retry(ctx context.Context, v store.Viewer, id string, key *store.Key, only store.FailureFilter) (*jobs.Job, error) {
	if err := e.Store.Retry(ctx, v, id, key, only); err != nil {
		return nil, err
	}
	e.dispatchSoon(ctx, id)
	return e.Store.Job(ctx, v, id)
}

// dispatchSoon inserts the turns that a job lacks after a committed change. When
// it fails, recovery does it within two seconds.
func (e *Engine) dispatchSoon(ctx context.Context, id string) {
	if err := e.dispatch(ctx, id); err != nil && ctx.Err() == nil {
		e.Logger.Warn("insert turns; recovery will", "job", id, "error", err)
	}
}
