package engine

import (
	"sync"
	"time"
)

// A notifier throttles the notifications of a job's progress by one node.
type notifier struct {
	mu       sync.Mutex
	notified time.Time
	trailing *time.Timer // calls later; nil when none is due
	silent   bool
}

// notifyEvery is the shortest time between two notifications of a job's
// progress by one node.
const notifyEvery = 250 * time.Millisecond

// notify reports whether a record made now should notify. When not, later is called
// after a while, unless another record comes first.
func (n *notifier) notify(later func()) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	wait := notifyEvery - time.Since(n.notified)
	if wait <= 0 {
		n.notified = time.Now()
		n.dropLater()
		return true
	}
	if n.trailing == nil && !n.silent {
		n.trailing = time.AfterFunc(wait, func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			if n.silent || n.trailing == nil {
				return
			}
			n.trailing, n.notified = nil, time.Now()
			later()
		})
	}
	return false
}

// silence makes sure that no notification comes later: the job has ended, with a
// notification of its own, or the node stops.
func (n *notifier) silence() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.silent = true
	n.dropLater()
}

func (n *notifier) speak() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.silent = false
}

func (n *notifier) dropLater() {
	if n.trailing != nil {
		n.trailing.Stop()
		n.trailing = nil
	}
}
