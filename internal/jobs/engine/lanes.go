package engine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

// A laneSet holds the lanes that run on this node.
type laneSet struct {
	mu    sync.Mutex
	lanes map[*lane]struct{}
}

func (a *laneSet) add(l *lane) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lanes[l] = struct{}{}
}

func (a *laneSet) remove(l *lane) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.lanes, l)
}

func (a *laneSet) all() []*lane {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]*lane, 0, len(a.lanes))
	for l := range a.lanes {
		list = append(list, l)
	}
	return list
}

func (a *laneSet) haltAll() {
	for _, l := range a.all() {
		l.halt()
	}
}

func (a *laneSet) cancelAll(cause error) {
	for _, l := range a.all() {
		l.cancel(cause)
	}
}

// jobs returns the ids of the jobs that this node runs.
func (a *laneSet) jobs() []string {
	var ids []string
	for _, l := range a.all() {
		ids = append(ids, l.work.Job)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// heedHalts halts and cancels the lanes of jobs that were paused, stopped or
// cancelled, on any node.
func (e *Engine) heedHalts(ctx context.Context) {
	news := e.Store.Feed.WatchStates("")
	defer news.Close()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-news.C:
		case <-tick.C:
		}
		ids := e.active.jobs()
		if len(ids) == 0 {
			continue
		}
		halts, err := e.Store.Halts(ctx, ids)
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, jobs.ErrUnavailable) {
				e.Logger.Error("read halted jobs", "error", err)
			}
			continue
		}
		for _, l := range e.active.all() {
			switch halts[l.work.Job] {
			case "":
			case "cancelled":
				l.cancel(errCancelled)
			default:
				l.halt()
			}
		}
		if err := e.heedRecalls(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, jobs.ErrUnavailable) {
			e.Logger.Error("read recalls", "error", err)
		}
		// A busy job notifies a few times a second on each node; one read serves
		// all of them.
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}
