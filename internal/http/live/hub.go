package live

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

// Bounds of what hubs do together.
const (
	// lookTimeout bounds one look.
	lookTimeout = 10 * time.Second
	// maxLooking is how many hubs look at once, so that enough connections to the
	// database remain for other requests however many hubs there are.
	maxLooking = 4
	// tickShare is how often one of the hubs that each watch a job looks without
	// news.
	tickShare = 20 * time.Millisecond
	// wideShare is how often one of the hubs that watch more than a job looks at
	// most: all of them get news at once. A client that opens many, with other
	// queries or Host headers, makes them slow, not the server.
	wideShare = 25 * time.Millisecond
)

// hubs serve all streams of a server. Streams that show the same share one hub: it
// reads and encodes once for all of them, for two or ten thousand.
type hubs struct {
	streams *Streams
	looking chan struct{} // holds a token for each hub that looks

	mu   sync.Mutex
	all  map[string]*hub // by key
	wide int             // how many of them watch more than a job
}

// A hub looks on news of what it watches, when a stream joins, and every now and
// then, as news are lost while the database is away. It keeps only the newest
// view: a slow stream skips what was in between.
type hub struct {
	hubs  *hubs
	key   string
	watch Watch
	look  LookFunc

	signals
	state
}

// signals are the channels of a hub's goroutine.
type signals struct {
	asked chan struct{} // holds a token when a view newer than now is wanted
	stop  chan struct{} // closed when no reader is left
	done  chan struct{} // closed when the goroutine has ended
}

// state is shared by a hub's goroutine and its readers.
type state struct {
	mu      sync.Mutex
	readers map[*Reader]struct{}
	view    *View     // nil before the first
	err     error     // of the last look
	began   time.Time // the last look
	looks   int
}

// join makes a reader of the hub of that key, and the hub if there is none.
func (h *hubs) join(to Hub, wake chan<- struct{}) *Reader {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := &Reader{wake: wake, joined: time.Now()}
	r.hub = h.all[to.Key]
	if r.hub == nil {
		r.hub = &hub{
			hubs: h, key: to.Key, watch: to.Watch, look: to.Open(),
			signals: signals{asked: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})},
			state:   state{readers: make(map[*Reader]struct{})},
		}
		h.all[to.Key] = r.hub
		if to.Watch.Job == "" {
			h.wide++
		}
		go r.hub.run()
	}
	r.hub.mu.Lock()
	r.hub.readers[r] = struct{}{}
	r.hub.mu.Unlock()
	r.hub.ask()
	return r
}

// ask makes the hub look as soon as it may.
func (h *hub) ask() {
	select {
	case h.asked <- struct{}{}:
	default:
	}
}

// askAll makes all hubs look as soon as they may.
func (h *hubs) askAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, hub := range h.all {
		hub.ask()
	}
}

// Looks makes the hub of a key look as soon as it may. It returns how often the
// hub has looked, 0 if there is none.
func (s *Streams) Looks(key string) int {
	s.hubs.mu.Lock()
	hub := s.hubs.all[key]
	s.hubs.mu.Unlock()
	if hub == nil {
		return 0
	}
	hub.ask()
	hub.mu.Lock()
	defer hub.mu.Unlock()
	return hub.looks
}

// forget removes a hub that has looked for the last time, so that new streams
// find another. It reports false and removes nothing if a stream has joined since
// that look began.
func (h *hubs) forget(old *hub) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	old.mu.Lock()
	defer old.mu.Unlock()
	for r := range old.readers {
		if r.sent == 0 && old.began.Before(r.joined) {
			return false
		}
	}
	h.remove(old)
	return true
}

// remove makes new streams find another hub. mu must be held.
func (h *hubs) remove(old *hub) {
	if h.all[old.key] != old {
		return
	}
	delete(h.all, old.key)
	if old.watch.Job == "" {
		h.wide--
	}
}

// pace returns how long a hub waits between looks under load and, without news, at
// most. Very many hubs share a bounded rate of queries.
func (h *hubs) pace(w Watch) (gap, tick time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if w.Job == "" {
		share := time.Duration(h.wide) * wideShare
		return max(w.Gap, share), max(w.Tick, share)
	}
	return w.Gap, max(w.Tick, time.Duration(len(h.all))*tickShare)
}

// run looks until no reader is left, or nothing will change any more.
func (h *hub) run() {
	defer close(h.done)
	news, end := h.hubs.streams.options.News(h.watch)
	defer end()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var looks pace
	for held := false; ; {
		select {
		case h.hubs.looking <- struct{}{}:
		case <-h.stop:
			return
		}
		over := h.lookOnce()
		<-h.hubs.looking
		if over && h.hubs.forget(h) {
			return
		}
		gap, tick := h.hubs.pace(h.watch)
		looks.done(time.Now(), gap, held)
		timer.Reset(time.Until(looks.next(gap)))
		select {
		case <-timer.C:
		case <-h.stop:
			return
		}
		if held = wanted(news, h.asked); held {
			continue
		}
		timer.Reset(max(tick-gap, 0))
		select {
		case <-timer.C:
		case <-news:
		case <-h.asked:
		case <-h.stop:
			return
		}
	}
}

// wanted reports whether a look is wanted already.
func wanted(news, asked <-chan struct{}) bool {
	select {
	case <-news:
		return true
	case <-asked:
		return true
	default:
		return false
	}
}

// lookOnce looks and wakes the readers that it concerns. It reports whether this
// look was the last. A look goes on when the streams that wanted it have ended:
// cancelling it would cost the connection to the database.
func (h *hub) lookOnce() (over bool) {
	s := h.hubs.streams
	ctx, cancel := s.WhileAvailable(lookTimeout)
	defer cancel()
	began := time.Now()
	view, err := h.safely(ctx)
	if err != nil && ctx.Err() != nil {
		err = errors.Join(jobs.ErrUnavailable, err) // the look was cut short
	}
	away := errors.Is(err, jobs.ErrUnavailable)
	switch {
	case err == nil:
		s.databaseAnswered()
	case away:
		s.log.Debug("streams wait for the database", "of", h.key, "error", err)
	case !errors.Is(err, jobs.ErrNotFound):
		s.log.Error("streams are cut", "of", h.key, "error", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.began, h.err = began, err
	h.looks++
	if err == nil {
		h.view = view
	}
	for r := range h.readers {
		if r.sent > 0 && (away || err == nil && r.sent == view.Version && !view.Last) {
			continue
		}
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
	return err != nil && !away || err == nil && view.Last
}

// safely looks. A panic must not end the process, which runs tasks too.
func (h *hub) safely(ctx context.Context) (v *View, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
		}
	}()
	return h.look(ctx)
}
