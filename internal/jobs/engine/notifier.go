package engine

import (
	"sync"
	"time"
)

// A notifier throttles the notifications of a job's progress by one node.
type notifier struct {
	mu       sync.Mutex
	notified time.Time
	trailing *time.Timer   // calls later; nil when none is due
	sent     chan struct{} // closed when the newest call of later has returned
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
		n.trailing = time.AfterFunc(wait, func() { n.send(later) })
	}
	return false
}

// send calls later, after the calls before, unless it is no longer due.
func (n *notifier) send(later func()) {
	n.mu.Lock()
	if n.silent || n.trailing == nil {
		n.mu.Unlock()
		return
	}
	before, sent := n.sent, make(chan struct{})
	n.trailing, n.notified, n.sent = nil, time.Now(), sent
	n.mu.Unlock()
	defer close(sent)
	if before != nil {
		<-before
	}
	later()
}

// silence makes sure that no notification comes later: the job has ended, with a
// notification of its own, or the node stops. It waits for one that is being sent.
func (n *notifier) silence() {
	n.mu.Lock()
	n.silent = true
	n.dropLater()
	sent := n.sent
	n.mu.Unlock()
	if sent != nil {
		<-sent
	}
}

// speak undoes silence.
func (n *notifier) speak() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.silent = false
}

// dropLater forgets the notification that is due; mu must be held.
func (n *notifier) dropLater() {
	if n.trailing != nil {
		n.trailing.Stop()
		n.trailing = nil
	}
}
