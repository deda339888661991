package engine

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

const (
	deleteBatch = 50                    // old jobs that are removed in one transaction
	deletePause = 50 * time.Millisecond // between two full batches, for those who have work to do
)

// retire removes jobs that ended longer ago than they are kept, and idempotency
// keys that are valid no longer. It does so apart from the sweep, which must not
// wait until millions of rows are gone.
func (e *Engine) retire(ctx context.Context) {
	for {
		wait, err := e.retireOnce(ctx)
		if err != nil && ctx.Err() == nil && !errors.Is(err, jobs.ErrUnavailable) {
			e.Logger.Error("remove what is old", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func (e *Engine) retireOnce(ctx context.Context) (wait time.Duration, err error) {
	wait = time.Second + rand.N(time.Second)
	if n, err := e.Store.ForgetKeys(ctx, deleteBatch); err != nil {
		return wait, err
	} else if n == deleteBatch {
		wait = deletePause
	}
	if _, err := e.Store.ForgetBulks(ctx, deleteBatch); err != nil {
		return wait, err
	}
	if e.Retention == 0 {
		return wait, nil
	}
	n, err := e.Store.DeleteOld(ctx, e.Retention, deleteBatch)
	if err != nil {
		return wait, err
	}
	gone, err := e.Store.ForgetNodes(ctx, e.Retention, deleteBatch)
	if n == deleteBatch || gone == deleteBatch {
		wait = deletePause
	}
	return wait, err
}
