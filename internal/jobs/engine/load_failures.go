package engine

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine/turns"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/store"
)

// A lane that cannot load its program has made an attempt. It tries again after the
// policy's backoff, as often as the policy allows; its tasks go back to the other
// lanes meanwhile. The job ends when the attempts are used up and no other lane has
// loaded the program or may still load it.
//
// Other lanes may load the program where another node serves the queue, or where
// they have not failed on this node. Where tasks have run before, some lane can load
// it, though none may run just now. Then the lane goes on trying, rarely, for a
// bounded number of times.
const (
	// lonelyTries is how often a lane fails in a row until the job ends, while no
	// lane has a lease, and either there are other lanes or tasks have run before.
	lonelyTries = 5
	// idleTries is the same where there are other lanes and tasks have run before.
	idleTries = 100
	// loadGrace is how long past the end of its wait a lane on this node counts as
	// one that may still load the program.
	loadGrace = 10 * time.Second
	// forgetLoads is how long a lane's failures are remembered.
	forgetLoads = time.Hour
)

// loadFailures remembers which lanes failed to load their programs on this node.
type loadFailures struct {
	mu     sync.Mutex
	failed map[laneKey]*loadFailure
}

type laneKey struct {
	job  string
	lane int
}

type loadFailure struct {
	tries int       // in a row
	alone int       // of them while no other lane held a lease
	due   time.Time // when the next try may begin
	left  bool      // the policy allows another one
}

// add counts a failure of a lane. It returns how many there were in a row, and the
// wait before the next try.
func (s *loadFailures) add(job string, lane int, policy jobs.Policy) (tries int, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.of(job, lane)
	f.tries++
	f.left = f.tries < *policy.MaxAttempts
	wait = backoff(policy.RetryBackoff.Value(), f.tries, rand.Float64())
	if !f.left {
		wait = max(min(wait, turns.LongestRetry), time.Second)
	}
	f.due = time.Now().Add(wait)
	return f.tries, wait
}

// of returns the failures of a lane; mu must be held.
func (s *loadFailures) of(job string, lane int) *loadFailure {
	if s.failed == nil {
		s.failed = make(map[laneKey]*loadFailure)
	}
	key := laneKey{job, lane}
	f := s.failed[key]
	if f == nil {
		for k, old := range s.failed {
			if time.Since(old.due) > forgetLoads {
				delete(s.failed, k)
			}
		}
		f = &loadFailure{}
		s.failed[key] = f
	}
	return f
}

// succeeded forgets the failures of a lane that has loaded its program.
func (s *loadFailures) succeeded(job string, lane int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.failed, laneKey{job, lane})
}

// wait returns how long a lane must wait before it may load its program again, at
// most turns.LongestRetry.
func (s *loadFailures) wait(job string, lane int) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.failed[laneKey{job, lane}]
	if f == nil {
		return 0
	}
	return min(max(time.Until(f.due), 0), turns.LongestRetry)
}

// forget drops the failures of a job that has ended.
func (s *loadFailures) forget(job string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.failed {
		if k.job == job {
			delete(s.failed, k)
		}
	}
}

// last decides whether the job ends with the newest failure of a lane. alone says
// that no other node serves the queue.
func (s *loadFailures) last(job string, lane int, o store.Others, alone bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.of(job, lane)
	if o.Working {
		f.alone = 0
		return false
	}
	f.alone++
	failing, left := 1, f.left
	for k, other := range s.failed {
		if k.job == job && k.lane != lane {
			failing++
			left = left || other.left && time.Until(other.due) > -loadGrace
		}
	}
	return !left && f.alone >= triesUntilEnd(o.Ran, alone, o.Turns > failing)
}

// triesUntilEnd returns after how many failures of a lane, while no lane has a lease
// and none has attempts left, the job ends. ran says that a task of the job has an
// outcome, alone that no other node serves the queue, others that there are lanes
// that have not failed on this node.
func triesUntilEnd(ran, alone, others bool) int {
	switch {
	case ran && others:
		return idleTries
	case !ran && alone && !others:
		return 1
	}
	return lonelyTries
}

// declined returns for how long a turn that this node may not begin yet goes back
// to the line. It is short, for another node may begin it at once, and differs each
// time, or nodes that look at the same rate would always look in the same order.
func declined(wait time.Duration) time.Duration {
	return min(wait, 100*time.Millisecond+rand.N(800*time.Millisecond))
}

// unloadedError is the error of a lane that tries later to load its program.
type unloadedError struct{ wait time.Duration }

func (e *unloadedError) Error() string { return "the program could not be loaded" }

// notLoaded records that the lane could not load its program. It returns an
// unloadedError when the lane is to try again.
func (l *laneLoop) notLoaded(ctx context.Context, load *executor.LoadError) error {
	if ctx.Err() != nil {
		return nil // a cancelled load says nothing about the program
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeeping)
	defer cancel()
	failures, job, lane := &l.engine.retries.loads, l.work.Job, l.turn.Lane
	alone, err := l.engine.alone(ctx, l.work.Queue)
	if err != nil {
		return err
	}
	tries, wait := failures.add(job, lane, l.work.Policy)
	refused, err := l.engine.Store.Refuse(ctx, l.nextClaim(), store.LoadFailure{
		Error: &load.TaskError, Reason: "the program could not be loaded: " + load.Type + ": " + load.Message,
		Wait: wait, Alone: alone, Limit: *l.work.Policy.MaxAttempts,
		Last: func(o store.Others) bool { return failures.last(job, lane, o, alone) },
	})
	if err != nil {
		return err
	}
	log := l.engine.Logger.With("job", job, "lane", lane, "attempt", tries, "error", load.Type+": "+load.Message)
	l.known.ended = l.known.ended || refused.Ended
	switch {
	case refused.Last:
		failures.forget(job)
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
