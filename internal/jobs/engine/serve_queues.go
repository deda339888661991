package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// spare is how many turns more than it has slots a node fetches of a queue. They let
// running lanes see that others wait, and take a slot as soon as it falls free.
const spare = 2

// follow applies changes of the queues on this node soon after each: limits, pauses,
// drains, and nodes that join or leave.
func (e *Engine) follow(ctx context.Context) {
	news := e.Store.Feed.Watch(store.QueueNews)
	defer news.Close()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.draining:
			return
		case <-news.C:
		case <-tick.C:
		}
		err := e.readPlan(ctx)
		if err == nil && e.Role != RoleWeb {
			err = e.serve(ctx)
		}
		if err != nil && ctx.Err() == nil && !errors.Is(err, jobs.ErrUnavailable) {
			e.Logger.Error("follow the queues", "error", err)
		}
	}
}

// serve applies the plan on this node.
func (e *Engine) serve(ctx context.Context) error {
	p := e.queues.plan.Load()
	var failed []error
	for name, want := range p.queues {
		q := e.queues.ensure(name, e.Cores, want.Pinned)
		failed = append(failed, e.serveQueue(ctx, q, want))
	}
	for name, q := range e.queues.all() {
		if _, known := p.queues[name]; known {
			continue
		}
		err := e.serveQueue(ctx, q, planned{Queue: jobs.Queue{QueueLimits: q.limits}})
		if used, _ := q.slots.Busy(); used == 0 && err == nil {
			e.queues.drop(name)
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// serveQueue applies the plan of one queue. It interrupts no running task: a lane that
// has no slot any more ends its turn after them.
func (e *Engine) serveQueue(ctx context.Context, q *queue, want planned) error {
	here := want.here
	if want.Paused {
		here = 0
	}
	q.open.Store(here > 0 && !e.health.lowMemory.Load())
	q.slots.Resize(here)
	q.slots.Pin(want.Pinned)
	q.limits = want.QueueLimits
	e.evict(q)
	workers := 0
	if q.open.Load() {
		workers = here + spare
	}
	return e.turns.Fetch(ctx, q.name, workers)
}

// evict makes lanes of a queue give up their slots after the tasks that run: those
// that are pinned and should not be, or the other way round, and then the youngest
// until none is too many.
func (e *Engine) evict(q *queue) {
	lanes := slices.DeleteFunc(e.active.all(), func(l *lane) bool { return l.queue != q })
	slices.SortFunc(lanes, func(a, b *lane) int { return b.began.Compare(a.began) })
	used, total := q.slots.Busy()
	for _, l := range lanes {
		if pinned := len(l.cores) > 0; used > total || pinned != q.limits.Pinned && len(e.Cores) > 0 {
			used -= *l.work.Policy.CoresPerProcess
			l.evict()
		}
	}
}
