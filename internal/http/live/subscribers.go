package live

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/allcores/allcores/internal/jobs"
)

// A Credential identifies what a user signed in with. It is comparable.
type Credential any

// A Subscriber is the user of an open stream.
type Subscriber struct {
	Credential Credential
	User       jobs.User
	RequestID  string // for the log
}

// A subscription is an open stream and its subscriber.
type subscription struct {
	Subscriber
	end func() // cancels the stream

	// wake is sent a token when the database goes away or comes back. It is nil
	// for streams that do not report that.
	wake chan<- struct{}
}

// subscribers are the open streams.
type subscribers struct {
	mu    sync.Mutex
	all   map[*subscription]struct{}
	stop  func()        // ends the supervising goroutine and waits for it; nil while it does not run
	empty chan struct{} // closed when the last stream has left; nil while there is none
}

// endAll cancels all streams.
func (s *subscribers) endAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sub := range s.all {
		sub.end()
	}
}

// wait returns when no stream is left, or ctx ends.
func (s *subscribers) wait(ctx context.Context) {
	s.mu.Lock()
	empty := s.empty
	s.mu.Unlock()
	if empty == nil {
		return
	}
	select {
	case <-empty:
	case <-ctx.Done():
	}
}

// count returns how many streams are open, and how many of them are of events.
func (s *subscribers) count() (open, events int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sub := range s.all {
		if sub.wake != nil {
			events++
		}
	}
	return len(s.all), events
}

func (s *subscribers) wakeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sub := range s.all {
		select {
		case sub.wake <- struct{}{}:
		default:
		}
	}
}

func (s *subscribers) list() []*subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.all))
}

// Recheck ends the streams whose credential no longer signs its user in with the
// same role. While the database is away nothing can be checked; those streams go
// on.
func (s *Streams) Recheck() {
	ctx, cancel := s.WhileAvailable(lookTimeout)
	defer cancel()
	open := s.subscribers.list()
	unique := make(map[Credential]struct{}, 1)
	for _, sub := range open {
		unique[sub.Credential] = struct{}{}
	}
	users, err := s.options.Users(ctx, slices.Collect(maps.Keys(unique)))
	if err != nil {
		s.log.Warn("check the users of open streams", "error", err)
		return
	}
	for _, sub := range open {
		if users[sub.Credential] != sub.User {
			sub.end()
		}
	}
}
