package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// A plan divides the slots of the queues among the nodes. Every node computes it for
// itself from what the database says.
type plan struct {
	at     time.Time
	queues map[string]planned
}

type planned struct {
	jobs.Queue
	slots int // over all nodes
	here  int // on this node
}

// share computes the plan of the node self.
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

// maxPlanAge is how old a plan may be that a submission relies on.
const maxPlanAge = 2 * time.Second

// slotsOf returns how many processes of a queue may run at once over all nodes, at
// least 1, as a node that runs them may join. The error is ErrNotFound for an unknown
// queue.
func (e *Engine) slotsOf(ctx context.Context, name string) (int, error) {
	p := e.queues.plan.Load()
	if p == nil || time.Since(p.at) > maxPlanAge {
		if err := e.readPlan(ctx); err != nil {
			return 0, err
		}
		p = e.queues.plan.Load()
	}
	q, ok := p.queues[name]
	if !ok {
		// It may be new.
		if err := e.readPlan(ctx); err != nil {
			return 0, err
		}
		if q, ok = e.queues.plan.Load().queues[name]; !ok {
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
	e.queues.plan.Store(share(read, e.node.ID))
	return nil
}
