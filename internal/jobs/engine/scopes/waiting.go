package scopes

import (
	"sync"
	"time"

	"github.com/allcores/allcores/internal/jobs/shared"
)

// waitsAfter is after how long a call that waits is reported by Options.Waits.
const waitsAfter = 30 * time.Millisecond

// A waitNote reports that a task waits, if it does for long enough.
type waitNote struct {
	timer *time.Timer

	mu      sync.Mutex
	stopped bool
	ended   func()
}

// note begins to wait for the answer to a call. The note must be stopped. It is nil
// where there is nothing to report.
func (s *Service) note(caller *shared.Caller, call *shared.Call) *waitNote {
	if s.Waits == nil || caller.Job == "" || call.Company || !shared.Waits(call.Kind, call.Op) {
		return nil
	}
	n := &waitNote{}
	n.timer = time.AfterFunc(waitsAfter, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if !n.stopped {
			n.ended = s.Waits(caller.Job, caller.Lease)
		}
	})
	return n
}

// stop ends a note: the task waits no more.
func (n *waitNote) stop() {
	if n == nil {
		return
	}
	n.timer.Stop()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stopped = true
	if n.ended != nil {
		n.ended()
	}
}
