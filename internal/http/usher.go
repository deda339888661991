package http

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// An usher looks after all open streams together: whether those who opened them
// are still let in, and whether the database answers. It works while there are
// streams.
type usher struct {
	site *Site

	mu     sync.Mutex
	guests map[*guest]struct{}
	stop   func()        // ends the work and waits for it
	empty  chan struct{} // closed when nobody is left; nil while nobody is there
	heard  time.Time
	away   bool
	//lint:ignore containedctx it spans calls
	up   context.Context // ends when the database does not answer any more
	down context.CancelFunc
}

// A guest is who has a stream open.
type guest struct {
	credential store.Credential
	user       jobs.User
	end        func()

	// wake is sent a token when the database has gone away or come back.
	// Nil for streams that do not tell.
	wake chan<- struct{}
}

// newGuest is who sends r, and was recognised.
func newGuest(r *http.Request, wake chan<- struct{}, end func()) *guest {
	secret, session := secretOf(r)
	return &guest{credential: store.NewCredential(secret, session), user: *callOf(r.Context()).user, end: end, wake: wake}
}

const (
	// recheckEvery is how often the usher makes sure that guests are still let
	// in.
	recheckEvery = 10 * time.Second
	// pingEvery is how often the database must have answered.
	pingEvery = 500 * time.Millisecond
	// awayAfter is for how long the database does not answer before anyone is
	// told: it may only have been started again.
	awayAfter = 1500 * time.Millisecond
)

func newUsher(s *Site) *usher {
	u := &usher{site: s, guests: make(map[*guest]struct{})}
	u.up, u.down = context.WithCancel(context.Background())
	return u
}

// admit makes the usher look after a stream until what it returns is called.
func (u *usher) admit(g *guest) (leave func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.guests[g] = struct{}{}
	if u.site.draining.Err() != nil {
		g.end()
	}
	if u.stop == nil {
		u.heard = time.Now() // else nobody could have been recognised
		stop, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			u.work(stop)
		}()
		u.stop = func() { close(stop); <-done }
		u.empty = make(chan struct{})
	}
	return func() { u.dismiss(g) }
}

// endAll ends all streams.
func (u *usher) endAll() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for g := range u.guests {
		g.end()
	}
}

// wait returns when nobody is left, or ctx ends.
func (u *usher) wait(ctx context.Context) {
	u.mu.Lock()
	empty := u.empty
	u.mu.Unlock()
	if empty == nil {
		return
	}
	select {
	case <-empty:
	case <-ctx.Done():
	}
}

// woken is how many streams of events are open.
func (u *usher) woken() (n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for g := range u.guests {
		if g.wake != nil {
			n++
		}
	}
	return n
}

func (u *usher) dismiss(g *guest) {
	u.mu.Lock()
	delete(u.guests, g)
	if len(u.guests) > 0 {
		u.mu.Unlock()
		return
	}
	stop, empty := u.stop, u.empty
	u.stop, u.empty = nil, nil
	u.mu.Unlock()
	defer close(empty)
	stop()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.stop == nil && u.away { // whoever comes next knows better
		u.back()
	}
}

func (u *usher) work(stop <-chan struct{}) {
	tick := time.NewTicker(min(pingEvery, u.site.recheckEvery))
	defer tick.Stop()
	rechecked := time.Now()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		u.ping()
		if time.Since(rechecked) >= u.site.recheckEvery && !u.isAway() {
			rechecked = time.Now()
			u.recheck()
		}
	}
}

// ping asks the database whether it answers, unless it has just done so.
func (u *usher) ping() {
	u.mu.Lock()
	fresh := !u.away && time.Since(u.heard) < pingEvery
	u.mu.Unlock()
	if fresh {
		return
	}
	err := u.site.store.Ready(context.Background()) // it knows its bounds
	if !errors.Is(err, jobs.ErrUnavailable) {
		u.answered()
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.away || time.Since(u.heard) < awayAfter {
		return
	}
	u.site.log.Debug("open pages say that the database is away", "error", err)
	u.away = true
	u.down()
	u.wakeAll()
}

// answered notes that the database has just answered.
func (u *usher) answered() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.heard = time.Now()
	if !u.away {
		return
	}
	u.back()
	u.wakeAll()
	u.site.hubs.askAll()
}

// back is when the database is not away any more. mu must be held.
func (u *usher) back() {
	u.away = false
	u.up, u.down = context.WithCancel(context.Background())
}

func (u *usher) wakeAll() {
	for g := range u.guests {
		select {
		case g.wake <- struct{}{}:
		default:
		}
	}
}

// isAway reports whether the database does not answer.
func (u *usher) isAway() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.away
}

// whileAnswering is a context for one use of the database, which ends after the
// timeout, and at once when the database turns out to be away: whatever waits
// for its answer then would wait long.
func (u *usher) whileAnswering(timeout time.Duration) (context.Context, context.CancelFunc) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return context.WithTimeout(u.up, timeout)
}

// recheck ends the streams of those who are not let in any more, or have another
// role. While the database is away nobody can be asked about; those go on.
func (u *usher) recheck() {
	ctx, cancel := u.whileAnswering(lookTimeout)
	defer cancel()
	u.mu.Lock()
	guests := slices.Collect(maps.Keys(u.guests))
	u.mu.Unlock()
	unique := make(map[store.Credential]struct{}, 1)
	for _, g := range guests {
		unique[g.credential] = struct{}{}
	}
	let := make(map[store.Credential]jobs.User, len(unique))
	for some := range slices.Chunk(slices.Collect(maps.Keys(unique)), store.MaxCredentials) {
		users, err := u.site.store.UsersBy(ctx, some)
		if err != nil {
			u.site.log.Warn("ask again who has streams open", "error", err)
			return
		}
		maps.Copy(let, users)
	}
	for _, g := range guests {
		if let[g.credential] != g.user {
			g.end()
		}
	}
}
