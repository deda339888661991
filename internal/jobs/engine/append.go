package engine

import (
	"context"

	"github.com/allcores/allcores/internal/jobs/executor/slots"
	"github.com/allcores/allcores/internal/store"
)

// Append adds inputs to an open job; see store.Append. Turns that the job lacks and for
// which this node has free slots begin at once, with tasks of the request claimed in its
// transaction, as those of a submission.
func (e *Engine) Append(ctx context.Context, r store.AppendRequest) (first, count int64, err error) {
	var acquired []*slots.Slot
	defer func() {
		for _, slot := range acquired { // those that no turn has taken over
			slot.Release()
		}
	}()
	r.Start = &store.Start{Missing: true}
	if e.inserting.enter() {
		defer e.inserting.leave()
		if w, err := e.work(ctx, r.Job); err == nil {
			r.Start.Work = w
			r.Start.Claims = func(turns int, tasks int64) []store.Claim {
				guess := e.jobs.estimate(w)
				var claims []store.Claim
				acquired, claims = e.takeSlots(w, usefulTurns(turns, tasks, w.Policy, guess), guess)
				return claims
			}
		}
	}
	if r.Start.Work == nil {
		r.Start = nil
	}
	if first, count, err = e.Store.Append(ctx, r); err != nil || r.Key.Replays() {
		return first, count, err
	}
	if r.Start == nil || r.Start.Missing {
		e.dispatchSoon(ctx, r.Job)
	}
	if r.Start != nil {
		for i, b := range r.Start.Begun {
			e.start(b, r.Start.Work, e.queues.get(r.Start.Work.Queue), acquired[i])
		}
		acquired = acquired[len(r.Start.Begun):]
	}
	return first, count, nil
}
