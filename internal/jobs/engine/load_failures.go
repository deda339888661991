package engine

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/allcores/allcores/internal/jobs/engine/turns"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/store"
)

// A lane that cannot load its program has made an attempt: it tries again after
// the policy's backoff, as often as the policy allows. Its tasks go back to the
// other lanes meanwhile. The job ends when the attempts are used up and no other
// lane has loaded the program or may still load it.
//
// Where another node serves the queue, or other lanes live that have not failed
// on this node, they may load the program; where tasks have run before, some lane can, though none may be at work
// just now. Then the lane tries on, rarely, for a bounded number of times.
const (
	// lonelyTries is how often a lane fails in a row, while there are others or
	// tasks have run before, but not both, until the job ends.
	lonelyTries = 5
	// idleTries is the same where both hold, and no lane has a lease.
	idleTries = 100
	// loadGrace is how long past the end of its wait a lane on this node counts
	// as one that may still load the program.
	loadGrace = 10 * time.Second
	// forgetLoads is how long a lane's failures are remembered.
	forgetLoads = time.Hour
)

// loads remembers which lanes failed to load their programs on this node.
type loads struct {
	mu     sync.Mutex
	failed map[laneKey]*loadFailures
}

type laneKey struct {
	job  string
	lane int
}

type loadFailures struct {
	tries int       // in a row
	alone int       // of them while no other lane held a lease
	due   time.Time // when the next try may begin
	left  bool      // the policy allows another one
}

// of returns the failures of a lane; mu must be held.
func (s *loads) of(job string, lane int) *loadFailures {
	if s.failed == nil {
		s.failed = make(map[laneKey]*loadFailures)
	}
	key := laneKey{job, lane}
	f := s.failed[key]
	if f == nil {
		for k, old := range s.failed {
			if time.Since(old.due) > forgetLoads {
				delete(s.failed, k)
			}
		}
		f = &loadFailures{}
		s.failed[key] = f
	}
	return f
}

// succeeded forgets the failures of a lane that has loaded the program.
func (s *loads) succeeded(job string, lane int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.failed, laneKey{job, lane})
}

// wait is how long a lane must wait before it may load its program again, at
// most turns.LongestRetry.
func (s *loads) wait(job string, lane int) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.failed[laneKey{job, lane}]
	if f == nil {
		return 0
	}
	return min(max(time.Until(f.due), 0), turns.LongestRetry)
}

// forget drops what is known of a job that has ended.
func (s *loads) forget(job string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.failed {
		if k.job == job {
			delete(s.failed, k)
		}
	}
}

// others counts the other lanes of a job that fail on this node too, and reports
// whether one of them has attempts left; mu must be held.
func (s *loads) others(job string, lane int) (failing int, left bool) {
	for k, f := range s.failed {
		if k.job == job && k.lane != lane {
			failing++
			left = left || f.left && time.Until(f.due) > -loadGrace
		}
	}
	return failing, left
}

// last decides whether the job ends with the failure f of a lane. alone says that
// no other node serves the queue; mu must be held.
func (s *loads) last(l *laneLoop, f *loadFailures, o store.Others, alone bool) bool {
	if o.Working {
		f.alone = 0
		return false
	}
	f.alone++
	failing, left := s.others(l.work.Job, l.turn.Lane)
	switch {
	case f.left || left:
		return false
	case !o.Ran && alone && o.Turns <= failing+1:
		return true
	case !o.Ran, o.Turns <= failing+1:
		return f.alone >= lonelyTries
	}
	return f.alone >= idleTries
}

// declined is for how long a turn that this node may not begin yet goes back to
// the line. It is short, for another node may begin it at once, and differs each
// time, or nodes that look at the same rate would always look in the same order.
func declined(wait time.Duration) time.Duration {
	return min(wait, 100*time.Millisecond+rand.N(800*time.Millisecond))
}

// unloadedError is the error of a lane that tries later to load its program.
type unloadedError struct{ wait time.Duration }

func (e *unloadedError) Error() string { return "the program could not be loaded" }

// notLoaded records that the lane could not load the program. It returns an
// unloadedError when the lane is to try again.
func (l *laneLoop) notLoaded(ctx context.Context, load *executor.LoadError) error {
	if ctx.Err() != nil {
		return nil // it was cancelled, which says nothing of the program
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeeping)
	defer cancel()
	s, policy := &l.engine.loads, l.work.Policy
	alone, err := l.engine.alone(ctx, l.work.Queue)
	if err != nil {
		return err
	}
	s.mu.Lock()
	f := s.of(l.work.Job, l.turn.Lane)
	f.tries++
	f.left = f.tries < *policy.MaxAttempts
	wait := backoff(policy.RetryBackoff.Value(), f.tries, rand.Float64())
	if !f.left {
		wait = max(min(wait, turns.LongestRetry), time.Second)
	}
	f.due = time.Now().Add(wait)
	tries := f.tries
	s.mu.Unlock()
	refused, err := l.engine.Store.Refuse(ctx, l.nextClaim(), store.LoadFailure{
		Error: &load.TaskError, Reason: "the program could not be loaded: " + load.Type + ": " + load.Message,
		Wait: wait, Alone: alone, Limit: *policy.MaxAttempts,
		Last: func(o store.Others) bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.last(l, f, o, alone)
		},
	})
	if err != nil {
		return err
	}
	log := l.engine.Logger.With("job", l.work.Job, "lane", l.turn.Lane, "attempt", tries, "error", load.Type+": "+load.Message)
	l.known.ended = l.known.ended || refused.Ended
	switch {
	case refused.Last:
		s.forget(l.work.Job)
		log.Info("a program cannot be loaded; its job has failed")
		return nil
	case !refused.Claimed:
		return nil
	}
	log.Info("a program cannot be loaded; the lane tries again", "wait", wait)
	if refused.Others.Ran || !alone {
		return &unloadedError{declined(wait)}
	}
	return &unloadedError{min(wait, turns.LongestRetry)}
}
