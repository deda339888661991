package engine

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

const (
	deleteBatch = 50                    // old jobs that one transaction removes
	sweepBatch  = 20                    // blobs that one transaction looks at
	deletePause = 50 * time.Millisecond // between two full batches, for other statements
)

// retire removes ended jobs, bulk operations and nodes after their retention, expired
// idempotency keys, and blobs that nothing needs. It runs apart from recover, which must not wait until
// millions of rows are gone.
func (e *Engine) retire(ctx context.Context) {
	for {
		wait, err := e.retireOnce(ctx)
		if err != nil && ctx.Err() == nil && !errors.Is(err, jobs.ErrUnavailable) {
			e.Logger.Error("remove old rows", "error", err)
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
	if n, err := e.Store.SweepBlobs(ctx, sweepBatch); err != nil {
		return wait, err
	} else if n == sweepBatch {
		wait = deletePause
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
