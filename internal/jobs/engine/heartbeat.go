package engine

import (
	"context"
	"time"

	"github.com/allcores/allcores/internal/store"
)

const (
	beatEvery = time.Second
	// selfStop is how long after its last heartbeat a node stops its processes by
	// itself: before another node may claim their tasks.
	selfStop = store.NodeLease * 2 / 3
)

// beat renews this node's lease every second. When it could not for selfStop, or
// another node has declared this one dead, it cancels all lanes.
func (e *Engine) beat(ctx context.Context) {
	last := time.Now()
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	away := false
	for {
		// The lease counts from before the beat was sent.
		sent := time.Now()
		if sent.Sub(last) > selfStop {
			e.active.cancelAll(errLeaseLost)
		}
		attempt, cancel := context.WithTimeout(ctx, selfStop/2)
		alive, err := e.Store.Beat(attempt, e.node.ID, e.status())
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if !away {
				e.Logger.Warn("cannot reach the database; work goes on when it is back", "error", err)
			}
			away = true
		case !alive:
			e.Logger.Warn("another node declared this node dead; its tasks are ended and run again")
			e.active.cancelAll(errLeaseLost)
			if err := e.Store.Revive(ctx, e.node.ID); err != nil && ctx.Err() == nil {
				e.Logger.Warn("revive node", "error", err)
			}
		default:
			if away {
				e.Logger.Info("the database is back")
			}
			last, away = sent, false
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
