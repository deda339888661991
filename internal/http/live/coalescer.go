package live

import (
	"context"
	"sync"
	"time"
)

// A Coalescer merges concurrent reads that have the same key, at most one a gap.
// A caller gets what is read after its call, together with all others that call
// before the reading begins: many open pages cost as much as one, and none gets
// what was true before it asked. The zero Coalescer is ready.
type Coalescer[T any] struct {
	mu    sync.Mutex
	next  map[string]*reading[T] // by key: what has not begun
	began map[string]time.Time   // by key, within the last gap
}

// A reading is shared by all that wait for done.
type reading[T any] struct {
	done  chan struct{}
	value T
	err   error
}

// readTimeout bounds a reading: the caller that began it may be gone.
const readTimeout = 10 * time.Second

// Get returns what read returns, or ctx's error. The first caller of a key waits
// for the gap and reads for all.
func (c *Coalescer[T]) Get(ctx context.Context, key string, gap time.Duration, read func(context.Context) (T, error)) (T, error) {
	c.mu.Lock()
	mine, waiting := c.next[key]
	if !waiting {
		if c.next == nil {
			c.next, c.began = make(map[string]*reading[T]), make(map[string]time.Time)
		}
		mine = &reading[T]{done: make(chan struct{})}
		c.next[key] = mine
		wait := time.Until(c.began[key].Add(gap))
		c.mu.Unlock()
		time.Sleep(wait) // for all, also when this caller is gone meanwhile
		c.begin(key, gap)
		mine.read(ctx, read)
		return mine.value, mine.err
	}
	c.mu.Unlock()
	select {
	case <-mine.done:
		return mine.value, mine.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// begin makes later callers of the key wait for the next reading, and forgets
// keys that were not read within the last gap.
func (c *Coalescer[T]) begin(key string, gap time.Duration) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.next, key)
	for old, at := range c.began {
		if now.Sub(at) > gap {
			delete(c.began, old)
		}
	}
	c.began[key] = now
}

// read reads for all that wait, also when ctx has ended.
func (r *reading[T]) read(ctx context.Context, read func(context.Context) (T, error)) {
	defer close(r.done)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
	defer cancel()
	r.value, r.err = read(ctx)
}
