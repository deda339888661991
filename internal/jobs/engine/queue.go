package engine

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor/slots"
)

// A queue is a class of work on this node.
type queue struct {
	name  string
	slots *slots.Table
	open  atomic.Bool // turns may begin here

	limits jobs.QueueLimits // as last applied; used by serve only

	mu      sync.Mutex
	waiting [5]int    // turns that wait for a slot, by priority
	full    time.Time // when a turn last waited
}

// crowded reports whether turns wait here, or waited within the last second, so that
// others may be in River's line.
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

// wait counts n more turns that wait for a slot.
func (q *queue) wait(priority, n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting[min(max(priority, 1), 4)] += n
	q.full = time.Now()
}

// queues are the queues that this node knows, by name, and the plan for them.
type queues struct {
	plan atomic.Pointer[plan]

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

// slotUse returns the use of the queues' slots here.
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
