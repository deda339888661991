package turns

import (
	"context"
	"sync"
	"time"
)

// wakeups makes up for a notification that River loses: one that comes while a
// producer fetches causes no other fetch, and its turn would wait for the next
// poll. A queue is notified once more when a turn that was just inserted has not
// arrived here a moment later.
type wakeups struct {
	due     chan wakeup
	awaited sync.Map // jobs and queues whose turn has not arrived yet
}

type wakeup struct {
	key, queue string
	at         time.Time
}

const (
	wakeAfter  = 4 * time.Millisecond // longer than a fetch usually takes
	maxWakeups = 1024                 // kept at once; the poll finds the turns of the others
)

// arrived notes that a turn of a job or a queue is here.
func (w *wakeups) arrived(key string) { w.awaited.Delete(key) }

// Expect notes that turns were inserted into a queue just now. key is their job, or
// the queue where any turn will do.
func (c *Client) Expect(key, queue string) {
	c.wakeups.awaited.Store(key, nil)
	select {
	case c.wakeups.due <- wakeup{key, queue, time.Now().Add(wakeAfter)}:
	default:
		c.wakeups.awaited.Delete(key)
	}
}

// Wake notifies, until ctx ends, the queues whose expected turns do not arrive.
func (c *Client) Wake(ctx context.Context) {
	for {
		var next wakeup
		select {
		case <-ctx.Done():
			return
		case next = <-c.wakeups.due:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(next.at)):
		}
		if _, waits := c.wakeups.awaited.LoadAndDelete(next.key); !waits {
			continue
		}
		if err := c.Store.WakeQueue(ctx, next.queue); err != nil && ctx.Err() == nil && !isOutage(err) {
			c.Logger.Warn("wake queue", "queue", next.queue, "error", err)
		}
	}
}
