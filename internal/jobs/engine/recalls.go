package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/store"
)

// Tasks that a lane has claimed may not have started, so they can still be cancelled:
// the store keeps a recall for their lease and notifies every node. The node of the
// lease passes it to the lane's executor (heedRecalls), which answers with the tasks
// that have not started. The lane gives those back and cancels them with that
// (laneLoop.answerRecalls).

// recallPatience is how long CancelTasks waits for the lanes' answers. A lane whose node
// was just lost never answers.
const recallPatience = 2 * time.Second

// recallCheck is how often it looks for them without a notification.
const recallCheck = 50 * time.Millisecond

// CancelTasks cancels tasks of a job that have not started, also those that lanes have
// claimed; see store.CancelTasks. Of the result Recalled are the leases whose lanes have
// not answered in time.
func (e *Engine) CancelTasks(ctx context.Context, r store.CancelRequest) (store.Cancellation, error) {
	news := e.Store.Feed.WatchStates(r.Job)
	defer news.Close()
	ctx, cancel := context.WithTimeout(ctx, 2*recallPatience)
	defer cancel()
	patience := time.NewTimer(recallPatience)
	defer patience.Stop()
	for {
		c, err := e.Store.CancelTasks(ctx, r)
		if err != nil {
			return c, err
		}
		if r.Key = nil; len(c.Recalled) == 0 {
			e.dispatchSoon(ctx, r.Job) // claimed tasks between cancelled ones went back
			return c, nil
		}
		answered, err := e.awaitRecalls(ctx, c.Recalled, news, patience.C)
		if err != nil {
			return c, err
		}
		if !answered {
			return c, e.Store.ForgetRecalls(ctx, c.Recalled)
		}
		r.Asked = append(r.Asked, c.Recalled...)
	}
}

// awaitRecalls waits until the lanes of all leases have answered, or the leases have
// ended. It reports false when that takes too long.
func (e *Engine) awaitRecalls(ctx context.Context, leases []int64, news *store.Sub, late <-chan time.Time) (bool, error) {
	tick := time.NewTicker(recallCheck)
	defer tick.Stop()
	for {
		if waiting, err := e.Store.Recalling(ctx, leases); err != nil || !waiting {
			return err == nil, err
		}
		select {
		case <-news.C:
		case <-tick.C:
		case <-late:
			return false, nil
		}
	}
}

// heedRecalls passes recalls of leases of this node to their lanes.
func (e *Engine) heedRecalls(ctx context.Context) error {
	holders := make(map[int64]*lane)
	leases := []int64{}
	for _, l := range e.active.all() {
		for _, h := range l.leases() {
			holders[h.lease] = l
			leases = append(leases, h.lease)
		}
	}
	if len(leases) == 0 {
		return nil
	}
	recalls, err := e.Store.Recalls(ctx, leases)
	if err != nil {
		return err
	}
	behind := make(map[*lane]bool)
	for _, r := range recalls { // in the order of their ids
		l := holders[r.Lease]
		behind[l] = behind[l] || !l.recalls.pass(r)
	}
	return nil
}

// recalls are those of a lane's leases on their way to its executor. Only heedRecalls
// passes them.
type recalls struct {
	c    chan executor.Recall
	last int64 // id of the newest that was passed
}

func newRecalls() recalls { return recalls{c: make(chan executor.Recall, 16)} }

// pass passes a recall once. It reports false where the executor is behind; then this
// one and later ones wait for another round.
func (p *recalls) pass(r store.Recall) bool {
	if r.ID <= p.last {
		return true
	}
	select {
	case p.c <- executor.Recall{Chunk: r.Lease, First: r.First}:
		p.last = r.ID
		return true
	default:
		return false
	}
}

// answerRecalls gives back the tasks of a lease that an executor returned on a recall.
func (l *laneLoop) answerRecalls(ctx context.Context, h *lease, back []executor.Span) {
	for _, span := range back {
		h.leave(span)
	}
	h.cut = h.cut || len(back) > 0
	l.publish()
	p, err := retry(ctx, func(ctx context.Context) (store.Progress, error) {
		return l.engine.Store.AnswerRecalls(ctx, l.work.Job, h.ID, h.left, back)
	})
	if err != nil {
		l.failed = fmt.Errorf("answer recall: %w", err)
		return
	}
	l.heed(ctx, p, len(back) > 0)
}
