package http

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

// A message is an event as many streams send it: without its id, which is each
// stream's own.
type message struct {
	event    string
	numbered bool   // has an id
	data     []byte // as lines of the stream, with the empty one that ends them
}

// newMessage makes the message of an event. Data must not contain carriage
// returns, which end a line of an event as line feeds do; JSON has none.
func newMessage(event string, numbered bool, data []byte) message {
	var b bytes.Buffer
	for line := range bytes.SplitSeq(data, []byte{'\n'}) {
		b.WriteString("data: ")
		b.Write(line)
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	return message{event, numbered, b.Bytes()}
}

// A view is what was true at one time, for all streams of a hub. Nobody changes
// it.
type view struct {
	version int64 // from 1 on, greater than that of every view before that differs
	last    bool  // nothing will change any more

	// tell makes the messages for a stream that has told of all up to a version;
	// 0 is one that is new.
	tell func(since int64) ([]message, error)

	mu   sync.Mutex
	made map[int64][]message // by since: most streams have told the same
}

// maxMade bounds how many different streams a view remembers the messages for.
const maxMade = 8

func (v *view) since(version int64) ([]message, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if messages, ok := v.made[version]; ok {
		return messages, nil
	}
	messages, err := v.tell(version)
	if err == nil && len(v.made) < maxMade {
		if v.made == nil {
			v.made = make(map[int64][]message)
		}
		v.made[version] = messages
	}
	return messages, err
}

// A lookFunc reads what is true now. It returns the same view again where nothing
// differs. The views that it returned before are kept by those who need them.
type lookFunc func(ctx context.Context) (*view, error)

// Bounds of what hubs do together.
const (
	// lookTimeout is for one look.
	lookTimeout = 10 * time.Second
	// maxLooking is how many of them look at once, so that enough connections to
	// the database are left to everyone else however many hubs there are.
	maxLooking = 4
	// tickShare is how often one of the hubs that each watch a job looks without
	// being told that there is something new.
	tickShare = 20 * time.Millisecond
	// wideShare is how often one of the hubs that watch more than a job looks at
	// most: all of them have something new at once. Who opens many, with other
	// queries or Host headers, makes them slow, not the server.
	wideShare = 25 * time.Millisecond
)

// hubs are what all streams of a site watch. Streams that show the same share
// one: it reads and encodes once for all of them, whether they are two or ten
// thousand.
type hubs struct {
	site    *Site
	looking chan struct{} // holds a token for each that looks

	mu   sync.Mutex
	all  map[string]*hub // by what they show, and to whom
	wide int             // how many of them watch more than a job
}

// A hub looks when there are news of what it watches, when a stream joins, and
// every now and then, as news are missed while the database is away. It keeps
// only the newest view: who is slow skips what was in between.
type hub struct {
	hubs  *hubs
	key   string
	watch watch
	look  lookFunc

	asked chan struct{} // a token when someone wants a view that is newer than now
	stop  chan struct{} // closed when nobody is left
	done  chan struct{} // closed when it has ended

	mu    sync.Mutex
	seats map[*seat]struct{}
	view  *view     // nil before the first
	err   error     // what the last look failed with
	began time.Time // the last look
}

// A seat is one stream's part of a hub. Its stream alone uses it.
type seat struct {
	hub    *hub
	wake   chan<- struct{} // is sent a token when there may be something to tell
	joined time.Time
	told   int64  // version of the view that was told last; guarded by hub.mu
	page   string // its address, where the stream carries several
	over   bool   // everything has been told
}

// join takes a seat in the hub of that key, which is made if it is not there:
// then open makes what it looks with. leave must be called.
func (h *hubs) join(key string, wt watch, open func() lookFunc, wake chan<- struct{}) *seat {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &seat{wake: wake, joined: time.Now()}
	s.hub = h.all[key]
	if s.hub == nil {
		s.hub = &hub{
			hubs: h, key: key, watch: wt, look: open(), seats: make(map[*seat]struct{}),
			asked: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
		}
		h.all[key] = s.hub
		if wt.job == "" {
			h.wide++
		}
		go s.hub.run()
	}
	s.hub.mu.Lock()
	s.hub.seats[s] = struct{}{}
	s.hub.mu.Unlock()
	s.hub.ask()
	return s
}

// leave gives the seat up. Whoever leaves last waits for the hub to end.
func (s *seat) leave() {
	h := s.hub
	h.hubs.mu.Lock()
	h.mu.Lock()
	delete(h.seats, s)
	last := len(h.seats) == 0
	h.mu.Unlock()
	if last {
		h.hubs.remove(h)
	}
	h.hubs.mu.Unlock()
	if last {
		close(h.stop)
		<-h.done
	}
}

func leave(seats []*seat) {
	for _, seat := range seats {
		seat.leave()
	}
}

// now is the view that the stream must tell, and the version of what it has told.
// Before the first it is told nothing that was read before it joined: a page must
// not go back to what was true before it was loaded. The error is errUnread when
// nothing has been read since, ErrNotFound when what is watched is not there, and
// ErrUnavailable, before the first only, when it cannot be read now.
func (s *seat) now() (v *view, told int64, err error) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case s.told == 0 && h.began.Before(s.joined):
		return nil, 0, errUnread
	case h.err != nil && (s.told == 0 || !errors.Is(h.err, jobs.ErrUnavailable)):
		return nil, s.told, h.err
	}
	return h.view, s.told, nil
}

// news is what the stream must send now, and whether that is all that it will
// ever be told. The error is as of now.
func (s *seat) news() (messages []message, last bool, err error) {
	view, told, err := s.now()
	if err != nil {
		return nil, false, err
	}
	if view.version > told {
		if messages, err = view.since(told); err != nil {
			return nil, false, err
		}
		s.hub.mu.Lock()
		s.told = view.version
		s.hub.mu.Unlock()
	}
	return messages, view.last, nil
}

var errUnread = errors.New("nothing has been read yet")

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

// forget makes streams that come find another hub than one that has looked for
// the last time, unless one has come since that look began.
func (h *hubs) forget(old *hub) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	old.mu.Lock()
	defer old.mu.Unlock()
	for seat := range old.seats {
		if seat.told == 0 && old.began.Before(seat.joined) {
			return false
		}
	}
	h.remove(old)
	return true
}

// remove makes streams that come find another hub. mu must be held.
func (h *hubs) remove(old *hub) {
	if h.all[old.key] != old {
		return
	}
	delete(h.all, old.key)
	if old.watch.job == "" {
		h.wide--
	}
}

// pace is how long a hub waits between looks, at least and, without news, at most.
// Very many hubs share what the database may be asked.
func (h *hubs) pace(wt watch) (gap, tick time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if wt.job == "" {
		share := time.Duration(h.wide) * wideShare
		return max(wt.gap, share), max(wt.tick, share)
	}
	return wt.gap, max(wt.tick, time.Duration(len(h.all))*tickShare)
}

// run looks until nobody is left, or there will be nothing new any more.
func (h *hub) run() {
	defer close(h.done)
	news, end := h.hubs.site.newsOf(h.watch)
	defer end()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
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
		timer.Reset(gap)
		select {
		case <-timer.C:
		case <-h.stop:
			return
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

// lookOnce looks and wakes the seats that it concerns. Its result says that it
// was for the last time. A look is not ended because who asked for it is gone:
// that would cost the connection to the database.
func (h *hub) lookOnce() (over bool) {
	ctx, cancel := h.hubs.site.usher.whileAnswering(lookTimeout)
	defer cancel()
	began := time.Now()
	view, err := h.safely(ctx)
	if err != nil && ctx.Err() != nil {
		err = errors.Join(jobs.ErrUnavailable, err) // it was cut short
	}
	away := errors.Is(err, jobs.ErrUnavailable)
	switch {
	case err == nil:
		h.hubs.site.usher.answered()
	case away:
		h.hubs.site.log.Debug("streams wait for the database", "of", h.key, "error", err)
	case !errors.Is(err, jobs.ErrNotFound):
		h.hubs.site.log.Error("streams are cut", "of", h.key, "error", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.began, h.err = began, err
	if err == nil {
		h.view = view
	}
	for seat := range h.seats {
		if seat.told > 0 && (away || err == nil && seat.told == view.version && !view.last) {
			continue
		}
		select {
		case seat.wake <- struct{}{}:
		default:
		}
	}
	return err != nil && !away || err == nil && view.last
}

// safely looks. Not even a panic may end the process, which runs tasks too.
func (h *hub) safely(ctx context.Context) (v *view, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
		}
	}()
	return h.look(ctx)
}
