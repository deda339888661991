package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

// nudges makes up for a wake-up that River loses: news of an insert that come
// while a producer fetches trigger no other fetch, and its turn would wait for
// the next poll. A job whose turns have not arrived here a moment after it was
// submitted gets its queue told once more.
type nudges struct {
	due     chan nudge
	awaited sync.Map // ids of jobs of which no turn has arrived yet
}

type nudge struct {
	job, queue string
	at         time.Time
}

const (
	nudgeAfter = 4 * time.Millisecond // longer than a fetch usually takes
	maxNudges  = 1024                 // that are kept; the poll does for the others
)

// expect notes that turns of a job were inserted just now.
func (n *nudges) expect(job, queue string) {
	n.awaited.Store(job, nil)
	select {
	case n.due <- nudge{job, queue, time.Now().Add(nudgeAfter)}:
	default:
		n.awaited.Delete(job)
	}
}

// arrived notes that a turn of a job is here.
func (n *nudges) arrived(job string) { n.awaited.Delete(job) }

// nudge tells queues of turns that nobody has fetched.
func (e *Engine) nudge(ctx context.Context) {
	for {
		var next nudge
		select {
		case <-ctx.Done():
			return
		case next = <-e.nudges.due:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(next.at)):
		}
		if _, waits := e.nudges.awaited.LoadAndDelete(next.job); !waits {
			continue
		}
		if err := e.Store.WakeQueue(ctx, next.queue); err != nil && ctx.Err() == nil && !errors.Is(err, jobs.ErrUnavailable) {
			e.Logger.Warn("wake queue", "queue", next.queue, "error", err)
		}
	}
}
