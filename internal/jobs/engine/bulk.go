package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

const (
	bulkAtOnce = 4                      // jobs of an operation that change at the same time
	bulkRecord = 300 * time.Millisecond // between records of its progress
)

// Bulk begins a bulk operation, which goes on after ctx has ended. ended is closed
// when this node no longer works on it. Where an equal request has taken the key, id
// is that of its operation and ended is nil.
func (e *Engine) Bulk(ctx context.Context, v store.Viewer, n store.NewBulk, key *store.Key, location string) (id string, ended <-chan struct{}, err error) {
	n.ID, n.Node = store.NewID(), e.node.ID
	if id, err = e.Store.BeginBulk(ctx, v, n, key, location); err != nil || key.Replays() {
		return id, nil, err
	}
	return id, e.goBulk(id), nil
}

// goBulk runs an operation in the background.
func (e *Engine) goBulk(id string) <-chan struct{} {
	ended := make(chan struct{})
	if _, here := e.bulks.LoadOrStore(id, true); here {
		close(ended)
		return ended
	}
	e.background.Go(func() {
		defer close(ended)
		defer e.bulks.Delete(id)
		if err := e.runBulk(e.running, id); err != nil && e.running.Err() == nil {
			e.Logger.Warn("run a bulk operation; recovery goes on with it", "operation", id, "error", err)
		}
	})
	return ended
}

// takeBulks takes over the operations of nodes that are gone.
func (e *Engine) takeBulks(ctx context.Context) error {
	ids, err := e.Store.TakeBulks(ctx, e.node.ID)
	for _, id := range ids {
		e.goBulk(id)
	}
	return err
}

// runBulk runs what is left of an operation and records its progress. After an error,
// recovery on any node goes on with it.
func (e *Engine) runBulk(ctx context.Context, id string) error {
	w, err := e.Store.BulkWork(ctx, e.node.ID, id)
	if errors.Is(err, jobs.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for {
		broken := e.bulkSome(ctx, w)
		finished := broken == nil && len(w.Jobs) == 0
		// Record the finished part although the node stops.
		recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		mine, err := e.Store.RecordBulk(recording, e.node.ID, w, finished)
		cancel()
		if err != nil || broken != nil || finished || !mine {
			return errors.Join(broken, err)
		}
	}
}

// bulkSome applies the action to jobs of an operation until a record is due. It removes
// those that it changed or refused from the list. An error is no job's, such as an
// outage of the database.
func (e *Engine) bulkSome(ctx context.Context, w *store.BulkWork) (broken error) {
	until := time.Now().Add(bulkRecord)
	for len(w.Jobs) > 0 && broken == nil && time.Now().Before(until) {
		batch := w.Jobs[:min(bulkAtOnce, len(w.Jobs))]
		errs := make([]error, len(batch))
		var all sync.WaitGroup
		for i, job := range batch {
			all.Go(func() { errs[i] = e.bulkDo(ctx, w, job) })
		}
		all.Wait()
		for i, err := range errs {
			reason := w.Action.Refusal(err)
			if err != nil && reason == "" {
				broken = err
				break
			}
			if err == nil {
				w.Done++
			} else {
				w.Refuse(batch[i], reason)
			}
			w.Jobs = w.Jobs[1:]
			w.Next++
		}
	}
	return broken
}

// bulkDo applies an operation's action to one job. Its key makes it happen once,
// though an operation that is taken over may repeat some of its jobs.
func (e *Engine) bulkDo(ctx context.Context, w *store.BulkWork, job string) error {
	v := store.As(&w.User)
	// A user's own key has no line end.
	name := fmt.Sprintf("\n%s %s", w.ID, job)
	sum := sha256.Sum256([]byte(name))
	key := &store.Key{UserID: w.User.ID, Key: name, Request: sum[:]}
	var err error
	switch w.Action {
	case jobs.BulkCancel:
		err = e.Store.Cancel(ctx, v, job, key)
	case jobs.BulkPause:
		_, err = e.Pause(ctx, v, job, key)
	case jobs.BulkResume:
		_, err = e.Resume(ctx, v, job, key)
	case jobs.BulkRetry:
		_, err = e.Retry(ctx, v, job, key, nil)
	case jobs.BulkTag:
		err = e.Store.Tag(ctx, v, job, key, w.Tags, nil)
	case jobs.BulkUntag:
		err = e.Store.Tag(ctx, v, job, key, nil, w.Tags)
	case jobs.BulkDelete:
		// It existed when the operation began.
		if err = e.Store.DeleteJob(ctx, v, job); errors.Is(err, jobs.ErrNotFound) {
			err = nil
		}
	default:
		err = fmt.Errorf("no bulk action %q: %w", w.Action, jobs.ErrConflict)
	}
	return err
}
