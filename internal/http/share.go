package http

import (
	"context"
	"sync"
	"time"
)

// Shared reads are done once for all who want the same, at most once a gap:
// whoever asks gets what is read after that, together with all others who ask
// until the reading begins. So many open pages cost as much as one, and none of
// them is told what was true before it asked.
type shared[T any] struct {
	mu    sync.Mutex
	next  map[string]*reading[T] // by key: what has not begun
	began map[string]time.Time   // by key, within the last gap
}

// A reading is one for all who wait for done.
type reading[T any] struct {
	done  chan struct{}
	value T
	err   error
}

// sharedTimeout is how long a reading may take, as whoever began it may be gone.
const sharedTimeout = 10 * time.Second

func (s *shared[T]) get(ctx context.Context, key string, gap time.Duration, read func(context.Context) (T, error)) (T, error) {
	s.mu.Lock()
	mine, waiting := s.next[key]
	if !waiting {
		if s.next == nil {
			s.next, s.began = make(map[string]*reading[T]), make(map[string]time.Time)
		}
		mine = &reading[T]{done: make(chan struct{})}
		s.next[key] = mine
		wait := time.Until(s.began[key].Add(gap))
		s.mu.Unlock()
		s.lead(ctx, key, mine, wait, gap, read)
		return mine.value, mine.err
	}
	s.mu.Unlock()
	select {
	case <-mine.done:
		return mine.value, mine.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// lead reads for all, even if whoever leads is gone meanwhile.
func (s *shared[T]) lead(ctx context.Context, key string, mine *reading[T], wait, gap time.Duration, read func(context.Context) (T, error)) {
	defer close(mine.done)
	time.Sleep(wait)
	now := time.Now()
	s.mu.Lock()
	delete(s.next, key)
	for old, at := range s.began {
		if now.Sub(at) > gap {
			delete(s.began, old)
		}
	}
	s.began[key] = now
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sharedTimeout)
	defer cancel()
	mine.value, mine.err = read(ctx)
}
