package engine

import (
	"slices"
	"sync"

	"github.com/allcores/allcores/internal/jobs/executor/slots"
)

// maxLent is how many lanes of a node may have lent their slots. Each has a process.
const maxLent = 64

// lending is a lane's slot while the lane's tasks wait for shared objects. Other lanes
// use the slot meanwhile, so that tasks which wait for each other run at once although
// there are fewer slots than tasks.
type lending struct {
	slot *slots.Slot

	mu    sync.Mutex
	waits int // tasks
	lent  bool
}

func (l *lending) isLent() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lent
}

// wait counts a task that waits. It lends the slot when all of the lane's threads wait,
// and reports whether it did just now.
func (l *lending) wait(threads int) (lent bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waits++
	if l.waits < threads || l.lent {
		return false
	}
	l.lent = true
	l.slot.Lend()
	return true
}

// goOn counts a task that waits no more, and takes the slot back.
func (l *lending) goOn(threads int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waits--; l.waits < threads && l.lent {
		l.lent = false
		l.slot.Reclaim()
	}
}

// taskWaits lends the slot of a lane whose tasks all wait, until the function that it
// returns is called. What the lane has not begun goes back, so that other lanes run it:
// the lane ends its turn after these tasks.
func (e *Engine) taskWaits(job string, lease int64) (ended func()) {
	lanes := e.active.all()
	i := slices.IndexFunc(lanes, func(l *lane) bool {
		return l.work.Job == job && slices.ContainsFunc(l.leases(), func(h heldSpan) bool { return h.lease == lease })
	})
	lent := 0
	for _, l := range lanes {
		if l.isLent() {
			lent++
		}
	}
	if i < 0 || lent >= maxLent {
		return nil
	}
	l, threads := lanes[i], *lanes[i].work.Policy.Threads
	if l.wait(threads) {
		l.evict()
		l.turn.SetAside()
	}
	return func() { l.goOn(threads) }
}
