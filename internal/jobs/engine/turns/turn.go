package turns

import (
	"context"
	"sync"
	"time"

	"github.com/allcores/allcores/internal/store"
)

// A Turn is a lane's right to run. Exactly one of Complete, Leave, Requeue and
// Return ends it.
type Turn struct {
	store.Turn
	Waited time.Duration // in River's line

	client   *Client
	fetching *fetching // nil where it was inserted as fetched

	// ending has room for the one call that ends or adopts the turn. It is a channel
	// because the call makes a round trip.
	ending chan struct{}
	id     int64 // in River; it changes when the turn is adopted
	ours   bool  // River does not run it: we end it and try it again

	aside     chan struct{} // closed when River should fetch another turn in its place
	asideOnce sync.Once
}

func newTurn(c *Client, id int64, data store.Turn) *Turn {
	return &Turn{Turn: data, client: c, id: id, ending: make(chan struct{}, 1), aside: make(chan struct{})}
}

// Fetching is done when this node stops to fetch from the queue of a fetched turn
// with the present bound. A turn that still waits for a slot must be returned then.
func (t *Turn) Fetching() context.Context { return t.fetching.over }

// SetAside makes River fetch another turn in the place of one that runs on.
func (t *Turn) SetAside() { t.asideOnce.Do(func() { close(t.aside) }) }

// Complete ends a turn of a job that has ended.
func (t *Turn) Complete(ctx context.Context) error {
	return t.end(ctx, t.client.Store.CompleteTurn)
}

// Leave ends a turn that has nothing to claim. It reports false, and the turn goes
// on, where something can be claimed after all.
func (t *Turn) Leave(ctx context.Context) (left bool, err error) {
	err = t.end(ctx, func(ctx context.Context, id int64) error {
		left, err = t.client.Store.LeaveTurn(ctx, id, t.Job)
		return err
	})
	return left, err
}

// Requeue ends the turn and inserts another one for it at the end of the line, to
// be fetched after wait, in one transaction.
func (t *Turn) Requeue(ctx context.Context, wait time.Duration) error {
	if wait == 0 {
		t.client.Expect(t.Queue, t.Queue)
	}
	return t.end(ctx, func(ctx context.Context, id int64) error {
		return t.client.Store.RequeueTurn(ctx, id, t.Turn, wait)
	})
}

// Return ends a turn that found no slot and inserts another one for it at its
// place in the line: the turns that ran meanwhile must not get ahead of it.
func (t *Turn) Return(ctx context.Context) error {
	t.client.Expect(t.Queue, t.Queue)
	return t.end(ctx, func(ctx context.Context, id int64) error {
		return t.client.Store.ReturnTurn(ctx, id, t.Queue)
	})
}

// end runs f, which ends the turn in the database, by its present id.
func (t *Turn) end(ctx context.Context, f func(ctx context.Context, id int64) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeeping)
	defer cancel()
	select {
	case t.ending <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-t.ending }()
	return f(ctx, t.id)
}

// adopt takes a running turn over from River. It reports false where the turn has
// ended before.
func (t *Turn) adopt(ctx context.Context) (adopted bool, err error) {
	err = t.end(ctx, func(ctx context.Context, id int64) error {
		next, err := t.client.Store.AdoptTurn(ctx, id)
		if err != nil || next == 0 {
			return err
		}
		t.client.seen.arrived(next)
		t.id, t.ours, adopted = next, true, true
		return nil
	})
	return adopted, err
}

// settle does for a turn of ours that has run what River does for its own.
func (t *Turn) settle(ctx context.Context, err error) {
	t.ending <- struct{}{} // after an adoption that is on its way, which has a bound
	id, ours := t.id, t.ours
	<-t.ending
	if !ours {
		return
	}
	t.client.failed(ctx, t, err)
	if err != nil {
		t.postpone(ctx, err)
	}
	t.client.seen.gone(id)
}

// postponed is the wait before a turn of ours that failed is tried again.
const postponed = time.Second

// postpone puts a turn that failed back into the line. While the database is away
// it tries again, until the node drains: recovery finds the turn then.
func (t *Turn) postpone(ctx context.Context, why error) {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := t.end(ctx, func(ctx context.Context, id int64) error {
			return t.client.Store.PostponeTurn(ctx, id, postponed, why)
		})
		if err == nil {
			return
		}
		if !isOutage(err) {
			t.client.Logger.Warn("postpone turn; it is released later", "job", t.Job, "error", err)
			return
		}
		select {
		case <-t.client.Draining:
			return
		case <-time.After(wait):
		}
	}
}
