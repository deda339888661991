package scopes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/shared"
	"github.com/allcores/allcores/internal/store"
)

// Options configure a Service.
type Options struct {
	Store  *store.Store
	Logger *slog.Logger
	Node   string        // this node's id
	Bounds shared.Bounds // of each scope; zero for shared.DefaultBounds

	// Lost is called when this node has lost a scope with calls of a job's tasks that it
	// had answered. The tasks that run here must end without an outcome.
	Lost func(job string)
	// Waits is called when a task of this node has waited for a moment, and no other
	// thread of it goes on. What it returns is called when the task waits no more. Nil
	// for nothing.
	Waits func(job string, lease int64) (ended func())
	// Runs reports whether tasks of a job may run here. Nil for always.
	Runs func(job string) bool
}

// A Service makes calls on shared objects, wherever their homes are. Its methods may be
// called concurrently.
type Service struct {
	Options
	//lint:ignore containedctx the service outlives every call
	running context.Context // from New to the end of Close
	stop    context.CancelFunc
	ended   sync.WaitGroup
	closing atomic.Bool

	mu     sync.RWMutex
	places map[shared.Scope]*place

	uses  uses
	calls sentCalls
	more  chan struct{} // holds a token when there may be more calls to take
}

// New makes the service of a node that is registered, or will be before the first call.
// The service ends with Close, or in disorder with the context.
func New(ctx context.Context, o Options) *Service {
	if o.Bounds == (shared.Bounds{}) {
		o.Bounds = shared.DefaultBounds
	}
	s := &Service{Options: o, places: make(map[shared.Scope]*place), more: make(chan struct{}, 1)}
	s.running, s.stop = context.WithCancel(ctx)
	return s
}

// Start begins to serve other nodes.
func (s *Service) Start() {
	s.ended.Go(s.serve)
	s.ended.Go(s.watch)
}

// Close writes what is not in the log yet and gives up all scopes. Calls that wait are
// answered with kind unavailable.
func (s *Service) Close(ctx context.Context) {
	s.closing.Store(true)
	for _, p := range s.all() {
		if h := p.home(); h != nil {
			if err := h.unload(ctx); err != nil {
				s.Logger.Warn("write shared objects at the node's end", "scope", p.scope, "error", err)
			}
		}
	}
	s.stop()
	s.ended.Wait()
}

var errClosing = errors.New("the node is stopping")

// Call makes a call and returns its answer. The error is the context's, or says that the
// service is closing or the scope does not exist; all others are in the answer.
func (s *Service) Call(ctx context.Context, caller shared.Caller, call shared.Call) (shared.Answer, error) {
	for {
		p := s.place(caller.Scope)
		b, err := p.backend(ctx, true)
		if errors.Is(err, errMoved) {
			continue
		}
		if err != nil {
			if answer, ok := answerOf(err); ok {
				return answer, nil
			}
			return shared.Answer{}, err
		}
		if caller.Job != "" {
			s.uses.add(caller.Job, p)
		}
		answer, err := b.call(ctx, &caller, &call)
		if errors.Is(err, errMoved) {
			p.lose(b)
			continue
		}
		return answer, err
	}
}

// answerOf returns the answer for an error that is the caller's fault.
func answerOf(err error) (shared.Answer, bool) {
	switch {
	case errors.Is(err, store.ErrTooManyScopes):
		return shared.Answer{Err: &shared.Error{Kind: shared.ErrBounds, Message: store.ErrTooManyScopes.Error()}}, true
	case errors.Is(err, jobs.ErrNotFound):
		return shared.Answer{Err: &shared.Error{Kind: shared.ErrRemoved, Message: "the job of these shared objects does not exist"}}, true
	}
	return shared.Answer{}, false
}

// maxListed is how many objects Snapshot returns.
const maxListed = 1000

// Snapshot describes the objects of a scope, at most 1000, in the order of their
// creation. A scope that was never used has none.
func (s *Service) Snapshot(ctx context.Context, scope shared.Scope) ([]shared.Info, error) {
	var list []shared.Info
	err := s.view(ctx, scope, func(b backend) (err error) {
		list, err = b.list(ctx)
		return err
	})
	if errors.Is(err, jobs.ErrNotFound) {
		return []shared.Info{}, nil
	}
	return list, err
}

// Read describes one object with its whole value. It returns ErrNotFound where there is
// none.
func (s *Service) Read(ctx context.Context, scope shared.Scope, name string) (info shared.Info, err error) {
	err = s.view(ctx, scope, func(b backend) (err error) {
		info, err = b.read(ctx, name)
		return err
	})
	if err == nil && info.Name == "" {
		return info, fmt.Errorf("read shared object %q: %w", name, jobs.ErrNotFound)
	}
	return info, err
}

// view calls f with the backend of a scope that exists.
func (s *Service) view(ctx context.Context, scope shared.Scope, f func(backend) error) error {
	for {
		p := s.place(scope)
		b, err := p.backend(ctx, false)
		if errors.Is(err, errMoved) {
			continue
		}
		if err != nil {
			return err
		}
		if err = f(b); !errors.Is(err, errMoved) {
			return err
		}
		p.lose(b)
	}
}

// Names lists the named scopes of an owner.
func (s *Service) Names(ctx context.Context, owner string) ([]string, error) {
	return s.Store.SharedNames(ctx, owner)
}

// Delete deletes a scope with its objects. Calls that wait fail with kind removed.
func (s *Service) Delete(ctx context.Context, scope shared.Scope) error {
	if err := s.Store.DeleteShared(ctx, row(scope)); err != nil {
		return err
	}
	if h := s.place(scope).home(); h != nil {
		h.kick(true) // its append is refused
	}
	return nil
}

func row(s shared.Scope) store.SharedScope { return store.SharedScope(s) }

// place returns the scope's place, made if there is none.
func (s *Service) place(scope shared.Scope) *place {
	s.mu.RLock()
	p := s.places[scope]
	s.mu.RUnlock()
	if p != nil {
		return p
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p = s.places[scope]; p == nil {
		p = &place{service: s, scope: scope}
		s.places[scope] = p
	}
	return p
}

func (s *Service) all() []*place {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := make([]*place, 0, len(s.places))
	for _, p := range s.places {
		list = append(list, p)
	}
	return list
}

// again calls f until it does not fail by an outage of the database, the context ends
// or the service closes.
func (s *Service) again(ctx context.Context, f func(context.Context) error) error {
	wait := 10 * time.Millisecond
	for {
		attempt, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := f(attempt)
		cancel()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !errors.Is(err, jobs.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.running.Done():
			return errClosing
		}
		wait = min(2*wait, time.Second)
	}
}
