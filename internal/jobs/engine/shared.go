package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/allcores/allcores/internal/jobs/engine/scopes"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
)

// Shared returns the objects that tasks share.
func (e *Engine) Shared() *scopes.Service { return e.shared }

// errSharedLost cancels the lanes of a job whose shared objects were lost with calls
// that tasks here have seen the answers to. Nothing of the lanes may be recorded.
var errSharedLost = fmt.Errorf("the node lost the job's shared objects: %w", errLeaseLost)

// newShared makes the service of shared objects.
func (e *Engine) newShared(ctx context.Context) *scopes.Service {
	return scopes.New(ctx, scopes.Options{
		Store: e.Store, Logger: e.Logger, Node: e.node.ID, Runs: e.jobs.knows, Waits: e.taskWaits,
		Lost: func(job string) {
			for _, l := range e.active.all() {
				if l.work.Job == job {
					l.cancel(errSharedLost)
				}
			}
		},
	})
}

// flushShared waits until the calls on shared objects that the lane's tasks have made
// are in the log. It reports false where they are lost, so that the outcomes must not be
// recorded. It costs an atomic read where the job's tasks made none.
func (l *laneLoop) flushShared(ctx context.Context) bool {
	if !l.engine.shared.Used(l.work.Job) {
		return true
	}
	_, err := retry(ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, l.engine.shared.Flush(ctx, l.work.Job)
	})
	if err != nil && !errors.Is(err, scopes.ErrLost) && !errors.Is(err, errLeaseLost) {
		l.failed = fmt.Errorf("write calls on shared objects: %w", err)
	}
	// A scope that was lost before Flush looked has cancelled the lane.
	return err == nil && !errors.Is(context.Cause(ctx), errLeaseLost)
}

// endShared reports to the shared objects what became of the tasks of a lease: they have
// their outcomes, or run again.
func (l *laneLoop) endShared(lease int64, recorded []outcomes.Encoded, back []store.BacklogSpan) {
	if !l.engine.shared.Used(l.work.Job) {
		return
	}
	var ended []scopes.Outcome
	for _, run := range recorded {
		failed := run.Failed
		for i := range run.Count {
			succeeded := len(failed) == 0 || int(failed[0]) != i
			if !succeeded {
				failed = failed[1:]
			}
			ended = append(ended, scopes.Outcome{Task: run.First + int64(i), Succeeded: succeeded})
		}
	}
	if len(ended) > 0 {
		l.engine.shared.Recorded(l.work.Job, ended)
	}
	var spans []scopes.Span
	for _, b := range back {
		spans = append(spans, scopes.Span{First: b.First, Count: b.Count})
	}
	if len(spans) > 0 {
		l.engine.shared.Ended(l.work.Job, lease, spans)
	}
}
