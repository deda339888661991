package scopes

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/allcores/allcores/internal/jobs"
)

// A Span is neighbouring task indexes.
type Span = jobs.Span

// An Outcome says that a task has its outcome.
type Outcome struct {
	Task      int64
	Succeeded bool
}

// uses are the scopes that the tasks of this node's jobs use.
type uses struct {
	any atomic.Int64 // jobs
	mu  sync.RWMutex
	of  map[string][]*place
}

// add notes that tasks of a job use a scope.
func (u *uses) add(job string, p *place) {
	u.mu.RLock()
	known := false
	for _, other := range u.of[job] {
		known = known || other == p
	}
	u.mu.RUnlock()
	if known {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.of == nil {
		u.of = make(map[string][]*place)
	}
	for _, other := range u.of[job] {
		if other == p {
			return
		}
	}
	u.of[job] = append(u.of[job], p)
	u.any.Store(int64(len(u.of)))
}

// places returns the scopes that tasks of a job have used here.
func (u *uses) places(job string) []*place {
	if u.any.Load() == 0 {
		return nil
	}
	u.mu.RLock()
	defer u.mu.RUnlock()
	return u.of[job]
}

// forget drops jobs that have no tasks here any more.
func (u *uses) forget(gone func(job string) bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for job := range u.of {
		if gone(job) {
			delete(u.of, job)
		}
	}
	u.any.Store(int64(len(u.of)))
}

// Used reports whether tasks of a job have used shared objects on this node. It costs
// one atomic read where no job has.
func (s *Service) Used(job string) bool { return len(s.uses.places(job)) > 0 }

// Flush returns when the logs have every call that tasks of the job have made on this
// node. Only then may their outcomes be recorded. It returns ErrLost where a scope was
// lost: then the tasks must run again.
func (s *Service) Flush(ctx context.Context, job string) error {
	for _, p := range s.uses.places(job) {
		b := p.now.Load()
		if b == nil {
			continue // its home has ended: with all in the log, or the lanes are cancelled
		}
		if err := (*b).flush(ctx); err != nil {
			if errors.Is(err, errLost) {
				return ErrLost
			}
			return err
		}
	}
	return nil
}

// ErrLost is the error of a Flush after the node has lost a scope.
var ErrLost = errLost

// Recorded ends tasks whose outcomes were recorded.
func (s *Service) Recorded(job string, tasks []Outcome) {
	for _, p := range s.uses.places(job) {
		if b := p.now.Load(); b != nil {
			(*b).recorded(job, tasks)
		}
	}
}

// Ended ends the executions of tasks under a lease that has ended without outcomes of
// theirs.
func (s *Service) Ended(job string, lease int64, spans []Span) {
	for _, p := range s.uses.places(job) {
		if b := p.now.Load(); b != nil {
			(*b).ended(job, lease, spans)
		}
	}
}
