package live

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

const (
	// pingEvery is how often the database must have answered.
	pingEvery = 500 * time.Millisecond
	// awayAfter is how long the database must not answer before streams report
	// it: it may only be restarting.
	awayAfter = 1500 * time.Millisecond
)

// availability knows whether the database answers.
type availability struct {
	mu    sync.Mutex
	heard time.Time // the last answer
	away  bool
	//lint:ignore containedctx it spans calls
	up   context.Context // ends when the database stops answering
	down context.CancelFunc
}

// reset forgets an outage without reporting its end.
func (a *availability) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.up == nil || a.away {
		a.back()
	}
}

// back ends an outage. mu must be held.
func (a *availability) back() {
	a.away = false
	a.up, a.down = context.WithCancel(context.Background())
}

func (a *availability) heardNow() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.heard = time.Now()
}

// answered notes an answer. It reports whether an outage ends with it.
func (a *availability) answered() (back bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.heard = time.Now()
	if !a.away {
		return false
	}
	a.back()
	return true
}

// failed notes that the database did not answer. It reports whether an outage
// begins.
func (a *availability) failed() (away bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.away || time.Since(a.heard) < awayAfter {
		return false
	}
	a.away = true
	a.down()
	return true
}

// fresh reports whether the database has answered within pingEvery.
func (a *availability) fresh() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.away && time.Since(a.heard) < pingEvery
}

func (a *availability) isAway() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.away
}

func (a *availability) within(timeout time.Duration) (context.Context, context.CancelFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return context.WithTimeout(a.up, timeout)
}

// ping asks the database whether it answers, unless it has just answered.
func (s *Streams) ping() {
	if s.database.fresh() {
		return
	}
	err := s.options.Ready(context.Background())
	if !errors.Is(err, jobs.ErrUnavailable) {
		s.databaseAnswered()
		return
	}
	if s.database.failed() {
		s.log.Debug("open pages show that the database is away", "error", err)
		s.subscribers.wakeAll()
	}
}

// databaseAnswered notes an answer. At the end of an outage it wakes all streams
// and makes all hubs look.
func (s *Streams) databaseAnswered() {
	if s.database.answered() {
		s.subscribers.wakeAll()
		s.hubs.askAll()
	}
}
