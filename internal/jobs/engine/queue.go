package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor/slots"
	"github.com/allcores/allcores/internal/store"
)

// spare is how many turns more than there are slots a node fetches of a queue,
// so that who runs can see that others wait, and a slot that falls free is taken
// at once.
const spare = 2

// A queue is a class of work on this node.
type queue struct {
	name  string
	slots *slots.Table
	open  atomic.Bool // turns may begin here

	limits jobs.QueueLimits // as last carried out; touched by serve only

	mu      sync.Mutex
	waiting [5]int    // turns that wait for a slot, by priority
	full    time.Time // when one last did
}

// crowded reports whether turns wait here, or did a moment ago, so that others
// may be in River's line.
func (q *queue) crowded() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return time.Since(q.full) < time.Second
}

// othersWait reports whether a turn of this or a more urgent priority waits.
func (q *queue) othersWait(priority int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for p := 1; p <= priority && p < len(q.waiting); p++ {
		if q.waiting[p] > 0 {
			return true
		}
	}
	return false
}

func (q *queue) wait(priority, n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting[min(max(priority, 1), 4)] += n
	q.full = time.Now()
}

// queues are the queues that this node knows, by name.
type queues struct {
	mu     sync.Mutex
	byName map[string]*queue
}

func (qs *queues) get(name string) *queue {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	return qs.byName[name]
}

func (qs *queues) ensure(name string, cores []int, pinned bool) *queue {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	q := qs.byName[name]
	if q == nil {
		q = &queue{name: name, slots: slots.New(cores, 0, pinned)}
		if qs.byName == nil {
			qs.byName = make(map[string]*queue)
		}
		qs.byName[name] = q
	}
	return q
}

func (qs *queues) drop(name string) {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	delete(qs.byName, name)
}

func (qs *queues) all() map[string]*queue {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	return maps.Clone(qs.byName)
}

// slotUse is what is in use of the queues' slots here.
func (qs *queues) slotUse() map[string]jobs.SlotUse {
	uses := make(map[string]jobs.SlotUse)
	for name, q := range qs.all() {
		used, total := q.slots.Busy()
		if !q.open.Load() {
			total = 0
		}
		uses[name] = jobs.SlotUse{Used: used, Total: total, Waiting: q.slots.Waiting()}
	}
	return uses
}

// A plan is how the work of the queues is shared among the nodes, as every node
// works it out for itself from what the database says.
type plan struct {
	at     time.Time
	queues map[string]planned
}

type planned struct {
	jobs.Queue
	slots int // over all nodes
	here  int // on this node
}

// share works out a plan for the node self.
func share(read *store.Plan, self string) *plan {
	p := &plan{at: read.At, queues: make(map[string]planned, len(read.Queues))}
	for _, q := range read.Queues {
		var counts []int
		me := -1
		for _, n := range read.Nodes {
			if n.Serves != nil && !slices.Contains(n.Serves, q.Name) {
				continue
			}
			if n.ID == self {
				me = len(counts)
			}
			counts = append(counts, q.Slots(n.Cores))
		}
		of := planned{Queue: q}
		for i, n := range jobs.ShareProcesses(counts, q.MaxProcesses) {
			of.slots += n
			if i == me {
				of.here = n
			}
		}
		p.queues[q.Name] = of
	}
	return p
}

// planFor is how old a plan may be that a submission relies on.
const planFor = 2 * time.Second

// slotsOf is how many processes of a queue may run at once over all nodes, at
// least 1: somebody may come who runs them. The error is ErrNotFound where there
// is no such queue.
func (e *Engine) slotsOf(ctx context.Context, name string) (int, error) {
	p := e.plan.Load()
	if p == nil || time.Since(p.at) > planFor {
		if err := e.readPlan(ctx); err != nil {
			return 0, err
		}
		p = e.plan.Load()
	}
	q, ok := p.queues[name]
	if !ok {
		// It may be new.
		if err := e.readPlan(ctx); err != nil {
			return 0, err
		}
		if q, ok = e.plan.Load().queues[name]; !ok {
			return 0, fmt.Errorf("find queue %q: %w", name, jobs.ErrNotFound)
		}
	}
	return max(q.slots, 1), nil
}

func (e *Engine) readPlan(ctx context.Context) error {
	read, err := e.Store.Plan(ctx)
	if err != nil {
		return err
	}
	e.plan.Store(share(read, e.node.ID))
	return nil
}

// follow makes this node serve the queues as admins want it, soon after each
// change: limits, pauses, drains, and nodes that come and go.
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

// serve carries out the plan on this node.
func (e *Engine) serve(ctx context.Context) error {
	p := e.plan.Load()
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

// serveQueue brings one queue to what is wanted of it here. Tasks in hand are
// never cut: a lane that has no slot any more ends its turn after them.
func (e *Engine) serveQueue(ctx context.Context, q *queue, want planned) error {
	here := want.here
	if want.Paused {
		here = 0
	}
	q.open.Store(here > 0 && !e.lowMemory.Load())
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

// evict makes lanes of a queue give up their slots after the tasks in hand: those
// that are pinned and should not be, or the other way round, and of the others
// the youngest, as many as there are too many.
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
