package scopes

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/allcores/allcores/internal/jobs/shared"
	"github.com/allcores/allcores/internal/store"
)

// A backend makes the calls of a scope: its home, or a remote to it.
type backend interface {
	// call makes a call. It returns errMoved where another backend must be found.
	call(ctx context.Context, caller *shared.Caller, call *shared.Call) (shared.Answer, error)
	list(ctx context.Context) ([]shared.Info, error)
	read(ctx context.Context, name string) (shared.Info, error)
	// flush returns when the log has all that was answered so far.
	flush(ctx context.Context) error
	recorded(job string, tasks []Outcome)
	ended(job string, lease int64, spans []Span)
	close()
}

// errMoved is the error of a backend that is not the scope's any more.
var errMoved = errors.New("the home of the shared objects has moved")

// A place is a scope as this node sees it.
type place struct {
	service *Service
	scope   shared.Scope
	now     atomic.Pointer[backend] // nil while it is not known

	moving atomic.Bool // this node may be taking the scope over

	mu      sync.Mutex
	opening *opening
	retired bool // the service has forgotten it
}

// An opening finds a backend, once for all who wait for it.
type opening struct {
	done    chan struct{}
	backend backend
	err     error
}

// backend returns the scope's backend. It returns ErrNotFound where create is false and
// the scope does not exist.
func (p *place) backend(ctx context.Context, create bool) (backend, error) {
	if b := p.now.Load(); b != nil {
		return *b, nil
	}
	if p.service.closing.Load() {
		return nil, errClosing
	}
	if !create {
		exists, err := p.service.Store.SharedExists(ctx, row(p.scope))
		if err != nil {
			return nil, err
		}
		if !exists {
			return nil, fmt.Errorf("find %s: %w", p.scope, errNoScope)
		}
	}
	p.mu.Lock()
	if p.retired {
		p.mu.Unlock()
		return nil, errMoved
	}
	o := p.opening
	if o == nil {
		if b := p.now.Load(); b != nil {
			p.mu.Unlock()
			return *b, nil
		}
		o = &opening{done: make(chan struct{})}
		p.opening = o
		p.service.ended.Go(func() { p.open(o) })
	}
	p.mu.Unlock()
	select {
	case <-o.done:
		return o.backend, o.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// open finds out where the scope's home is, and loads the scope where it is here.
func (p *place) open(o *opening) {
	o.err = p.service.again(p.service.running, func(ctx context.Context) error {
		at, err := p.service.Store.SharedHome(ctx, row(p.scope), p.service.Node, true)
		if err != nil {
			return err
		}
		if !at.Taken {
			o.backend = newRemote(p, at.ID)
			return nil
		}
		o.backend, err = p.load(ctx, at)
		return err
	})
	p.mu.Lock()
	p.opening = nil
	if o.err == nil {
		p.now.Store(&o.backend)
	}
	p.mu.Unlock()
	close(o.done)
}

// load makes this node the home of a scope that it has taken.
func (p *place) load(ctx context.Context, at store.SharedHome) (*home, error) {
	state, err := p.service.Store.LoadShared(ctx, at.ID)
	if err != nil {
		return nil, err
	}
	space := shared.New(p.service.Bounds)
	if len(state.Snapshot) > 0 {
		if space, err = shared.Restore(p.service.Bounds, state.Snapshot); err != nil {
			return nil, fmt.Errorf("load %s: %w", p.scope, err)
		}
	}
	if err := space.Replay(state.Log); err != nil {
		return nil, fmt.Errorf("load %s: %w", p.scope, err)
	}
	return newHome(p, at, space, state), nil
}

// isOpening reports whether a backend is looked for, or may become another one.
func (p *place) isOpening() bool {
	if p.moving.Load() {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opening != nil
}

// retire has the service forget a place that has no backend.
func (p *place) retire() {
	p.mu.Lock()
	p.retired = p.opening == nil && p.now.Load() == nil
	retired := p.retired
	p.mu.Unlock()
	if retired {
		p.service.mu.Lock()
		delete(p.service.places, p.scope)
		p.service.mu.Unlock()
	}
}

// home returns the scope's home where it is here, else nil.
func (p *place) home() *home {
	if b := p.now.Load(); b != nil {
		h, _ := (*b).(*home)
		return h
	}
	return nil
}

// lose forgets a backend, so that the next call finds another one.
func (p *place) lose(b backend) {
	if now := p.now.Load(); now != nil && *now == b && p.now.CompareAndSwap(now, nil) {
		b.close()
	}
}
