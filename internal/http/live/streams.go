package live

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

// Options connect Streams to their server.
type Options struct {
	// News subscribes to news of what is watched. A token is sent when there are
	// some, until end is called.
	News func(Watch) (news <-chan struct{}, end func())

	// Ready asks the database whether it answers, within bounds of its own. The
	// error is [jobs.ErrUnavailable] when it does not.
	Ready func(context.Context) error

	// Users returns the users that the credentials sign in now. Credentials that
	// sign no user in are left out.
	Users func(context.Context, []Credential) (map[Credential]jobs.User, error)

	Logger *slog.Logger
	Bounds Bounds
}

// Bounds are times that streams keep.
type Bounds struct {
	Write   time.Duration // for each write to a client
	Recheck time.Duration // between two checks of whether subscribers may still read
}

// Streams are all open streams of one server.
type Streams struct {
	Bounds Bounds // may change before the first stream

	options     Options
	log         *slog.Logger
	hubs        hubs
	subscribers subscribers
	database    availability
	following   atomic.Int64 // calls of Follow

	//lint:ignore containedctx the streams outlive every call
	draining context.Context
	drain    context.CancelFunc
}

// New makes the streams of a server. It starts nothing.
func New(o Options) *Streams {
	s := &Streams{Bounds: o.Bounds, options: o, log: o.Logger}
	s.draining, s.drain = context.WithCancel(context.Background())
	s.hubs = hubs{streams: s, looking: make(chan struct{}, maxLooking), all: make(map[string]*hub)}
	s.subscribers.all = make(map[*subscription]struct{})
	s.database.reset()
	return s
}

// Draining returns a context that ends when Drain is called.
func (s *Streams) Draining() context.Context { return s.draining }

// UntilDrain returns ctx, cancelled also by Drain.
func (s *Streams) UntilDrain(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.draining, cancel)
	return ctx, func() { stop(); cancel() }
}

// Drain ends all streams, also those that begin later. It may be called more than
// once.
func (s *Streams) Drain() {
	s.drain()
	s.subscribers.endAll()
}

// Wait returns when all streams have ended, or ctx has.
func (s *Streams) Wait(ctx context.Context) { s.subscribers.wait(ctx) }

// Counts returns how many streams are open, how many of them are streams of
// events, and how many hubs they share.
func (s *Streams) Counts() (open, events, hubs int) {
	open, events = s.subscribers.count()
	s.hubs.mu.Lock()
	defer s.hubs.mu.Unlock()
	return open, events, len(s.hubs.all)
}

// WhileAvailable returns a context for one use of the database. It ends after the
// timeout, and at once when the database stops answering: a query would wait long
// then.
func (s *Streams) WhileAvailable(timeout time.Duration) (context.Context, context.CancelFunc) {
	return s.database.within(timeout)
}

// admit registers a stream until leave is called. While there are streams, one
// goroutine watches the database and checks the subscribers.
func (s *Streams) admit(sub *subscription) (leave func()) {
	all := &s.subscribers
	all.mu.Lock()
	defer all.mu.Unlock()
	all.all[sub] = struct{}{}
	if s.draining.Err() != nil {
		sub.end()
	}
	if all.stop == nil {
		s.database.heardNow() // the user has just been read from it
		stop, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			s.supervise(stop)
		}()
		all.stop = func() { close(stop); <-done }
		all.empty = make(chan struct{})
	}
	return func() { s.dismiss(sub) }
}

// dismiss removes a stream. The last one waits for the supervising goroutine.
func (s *Streams) dismiss(sub *subscription) {
	all := &s.subscribers
	all.mu.Lock()
	delete(all.all, sub)
	if len(all.all) > 0 {
		all.mu.Unlock()
		return
	}
	stop, empty := all.stop, all.empty
	all.stop, all.empty = nil, nil
	all.mu.Unlock()
	defer close(empty)
	stop()
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.stop == nil { // the next stream begins with what its handler found out
		s.database.reset()
	}
}

// supervise pings the database and rechecks the subscribers until stop is closed.
func (s *Streams) supervise(stop <-chan struct{}) {
	tick := time.NewTicker(min(pingEvery, s.Bounds.Recheck))
	defer tick.Stop()
	rechecked := time.Now()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		s.ping()
		if time.Since(rechecked) >= s.Bounds.Recheck && !s.database.isAway() {
			rechecked = time.Now()
			s.Recheck()
		}
	}
}
