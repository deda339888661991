package engine

import (
	"sync"
	"time"
)

// A notifier throttles the notifications of a job's progress to the other nodes. The
// first one after a silence goes out at once. While records are faster than
// notifications, those get further and further apart.
type notifier struct {
	mu       sync.Mutex
	notified time.Time
	gap      time.Duration // until the next one; 0 before the first
	trailing *time.Timer   // calls later; nil when none is due
	sent     chan struct{} // closed when the newest call of later has returned
	silent   bool
}

// A notification costs each node a look at the job, and commits that carry one wait
// for each other.
const (
	notifyGap   = 5 * time.Millisecond   // between two notifications, at least
	notifyEvery = 250 * time.Millisecond // the same, of a job that records all the time
)

// notify reports whether a record made now should notify. When not, later is called
// after a while, unless another record comes first.
func (n *notifier) notify(later func()) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	since := now.Sub(n.notified)
	if since >= 2*n.gap {
		n.gap = notifyGap
	}
	wait := n.gap - since
	if wait <= 0 {
		n.notified = now
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
	n.gap = min(2*n.gap, notifyEvery)
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
