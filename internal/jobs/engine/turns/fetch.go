package turns

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/riverqueue/river"
)

// idleQueue is River's queue of a node that serves none. Nothing is inserted
// there.
const idleQueue = "idle"

// A fetching is a time in which River fetches turns of a queue with one bound. At its
// end, turns that wait for a slot go back to the line. Those that run are adopted and
// run on without River, which need not wait for them then.
type fetching struct {
	workers int // the bound; unsettled where River may not know it
	//lint:ignore containedctx it is the context of one client of River
	over context.Context // done at the end
	end  context.CancelFunc
}

// unsettled is the bound of a queue that River has added but could not start, or
// not removed, because the database was away. It must be removed to be added again.
const unsettled = -1

// leaveWithin bounds the wait for turns to be adopted.
const leaveWithin = 5 * time.Second

// fetching returns the present one of a queue, or nil.
func (c *Client) fetching(queue string) *fetching {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fetches[queue]
}

func (c *Client) setFetching(queue string, f *fetching) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f == nil {
		delete(c.fetches, queue)
		return
	}
	c.fetches[queue] = f
}

// Fetch makes River fetch up to that many turns of a queue at once, or none. Turns
// that run are not interrupted. After an error the next call tries again. It must
// not be called concurrently.
func (c *Client) Fetch(ctx context.Context, queue string, workers int) error {
	f := c.fetching(queue)
	if f == nil && workers == 0 || f != nil && f.workers == workers {
		return nil
	}
	if f != nil {
		f.end()
		f.workers = unsettled
		within, cancel := context.WithTimeout(ctx, leaveWithin)
		defer cancel()
		if err := c.river.Queues().Remove(within, queue); err != nil && !errors.As(err, new(*river.QueueNotFoundError)) {
			return fmt.Errorf("leave queue %q: %w", queue, err)
		}
		c.setFetching(queue, nil)
	}
	if workers == 0 {
		return nil
	}
	f = &fetching{workers: workers}
	f.over, f.end = context.WithCancel(c.running)
	c.setFetching(queue, f)
	if err := c.river.Queues().Add(queue, river.QueueConfig{MaxWorkers: workers}); err != nil {
		f.workers = unsettled
		return fmt.Errorf("serve queue %q: %w", queue, err)
	}
	return nil
}
