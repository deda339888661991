package engine

import (
	"time"

	"github.com/allcores/allcores/internal/jobs/engine/turns"
)

const (
	// grant is how long a lane may run before a turn of a job that is new here, or
	// of a more urgent one, may preempt it.
	grant = 50 * time.Millisecond
	// insist is after how long another lane is preempted, where the first one still
	// runs a long task.
	insist = 100 * time.Millisecond
)

// makeRoom preempts lanes, one after the other, for a turn that waits, until stop is
// called. A turn of a job that runs here already preempts no lane of its priority: it
// waits for the others' quantum, as they do for its.
func (e *Engine) makeRoom(q *queue, t *turns.Turn) (stop func()) {
	fresh := !e.jobs.knows(t.Job)
	done := make(chan struct{})
	preempt := func() time.Duration {
		var longest *lane
		soonest := insist
		for _, l := range e.active.all() {
			if l.queue != q || l.preempted.Load() || l.isLent() || l.turn.Priority < t.Priority || l.turn.Priority == t.Priority && !fresh {
				continue
			}
			if ran := time.Since(l.began); ran < grant {
				soonest = min(soonest, grant-ran)
			} else if longest == nil || l.began.Before(longest.began) {
				longest = l
			}
		}
		if longest != nil {
			longest.preempt()
			return insist
		}
		return soonest
	}
	next := preempt()
	go func() {
		timer := time.NewTimer(next)
		defer timer.Stop()
		for {
			select {
			case <-done:
				return
			case <-timer.C:
				timer.Reset(preempt())
			}
		}
	}()
	return func() { close(done) }
}
