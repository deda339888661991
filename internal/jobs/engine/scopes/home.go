package scopes

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/allcores/allcores/internal/jobs/shared"
	"github.com/allcores/allcores/internal/store"
)

// A home keeps a scope's objects in memory.
type home struct {
	place *place
	at    store.SharedHome

	mu      sync.Mutex // guards what follows; no round trip is made under it
	space   *shared.Space
	state   homeState
	waiting map[uint64][]*listener
	remotes map[int64]*listener // by their calls' numbers
	clients map[string]*client
	jobs    map[string]bool // with tasks here
	used    bool            // since the watch last looked
	calm    calm
	idle    int // rounds of the watch without a call

	log flusher
}

// A homeState is what a home is fit for.
type homeState uint8

const (
	serving  homeState = iota
	unloaded           // it has given the scope up, with all in the log
	removed            // the scope was deleted
	lost               // another node may be the home
)

// A client is an outside client.
type client struct {
	seen  time.Time
	calls int // that it waits for
}

// A listener waits for the answer to a call.
type listener struct {
	answer chan shared.Answer // holds one; nil for a call of another node
	remote store.SharedCall
	wait   uint64
	keyed  bool // it may be asked for again
}

func newHome(p *place, at store.SharedHome, space *shared.Space, state store.SharedState) *home {
	h := &home{
		place: p, at: at, space: space, used: true,
		waiting: make(map[uint64][]*listener), remotes: make(map[int64]*listener),
		clients: make(map[string]*client), jobs: make(map[string]bool),
	}
	for _, c := range space.Clients() {
		h.clients[c] = &client{seen: time.Now()}
	}
	h.log = newFlusher(state)
	p.service.ended.Go(h.run)
	return h
}

// call makes a call of this node.
func (h *home) call(ctx context.Context, caller *shared.Caller, call *shared.Call) (shared.Answer, error) {
	if err := h.room(ctx); err != nil {
		return shared.Answer{}, err
	}
	h.mu.Lock()
	if h.state != serving {
		h.mu.Unlock()
		return shared.Answer{}, errMoved
	}
	answer, wait := h.space.Do(caller, shared.NextOrdinal, call)
	switch {
	case caller.Job == "" && call.Op == shared.OpEnd:
		delete(h.clients, caller.Client)
	case caller.Job == "":
		h.entered(caller.Client)
	case !h.jobs[caller.Job]:
		h.jobs[caller.Job] = true
	}
	h.used = true
	var l *listener
	if wait != nil {
		l = &listener{answer: make(chan shared.Answer, 1)}
		h.listen(wait, l)
	}
	h.deliver()
	h.mu.Unlock()
	if wait != nil {
		var err error
		note := h.place.service.note(caller, call)
		answer, err = h.await(ctx, caller, wait.ID, l)
		note.stop()
		if err != nil {
			h.left(caller)
			return answer, err
		}
	}
	if caller.Job == "" {
		h.left(caller)
		if err := h.flush(ctx); err != nil {
			return shared.Answer{}, err
		}
	}
	return answer, nil
}

// listen adds a listener to a wait and starts its time.
func (h *home) listen(wait *shared.Wait, l *listener) {
	if len(h.waiting[wait.ID]) == 0 && wait.Call.Timeout >= 0 {
		id := wait.ID
		time.AfterFunc(wait.Call.Timeout, func() { h.timeUp(id) })
	}
	l.wait, l.keyed = wait.ID, wait.Keyed()
	h.waiting[wait.ID] = append(h.waiting[wait.ID], l)
}

func (h *home) timeUp(wait uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state == serving {
		h.space.TimeUp(wait)
		h.deliver()
	}
}

// deliver hands out the answers to calls that waited, and has the log written soon. The
// mutex is held.
func (h *home) deliver() {
	for _, w := range h.space.TakeWoken() {
		for _, l := range h.waiting[w.Wait] {
			h.answer(l, w.Answer)
		}
		delete(h.waiting, w.Wait)
	}
	if h.space.LogSize() > 0 || len(h.log.answers) > 0 {
		h.kick(len(h.log.answers) > 0)
	}
}

// answer answers a call. That of another node is answered with the next append.
func (h *home) answer(l *listener, a shared.Answer) {
	if l.answer != nil {
		l.answer <- a
		return
	}
	delete(h.remotes, l.remote.ID)
	h.log.answers = append(h.log.answers, store.SharedAnswer{Call: l.remote.ID, Node: l.remote.Node, Data: a.Append(nil)})
}

// await waits for an answer. When the context ends first, the call is taken back,
// unless an outside client may ask for it again by its key.
func (h *home) await(ctx context.Context, caller *shared.Caller, wait uint64, l *listener) (shared.Answer, error) {
	select {
	case a := <-l.answer:
		return a, nil
	case <-ctx.Done():
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case a := <-l.answer:
		return a, nil
	default:
	}
	others := slices.DeleteFunc(h.waiting[wait], func(other *listener) bool { return other == l })
	h.waiting[wait] = others
	if len(others) == 0 && h.state == serving && (caller.Job != "" || caller.Key == "") {
		delete(h.waiting, wait)
		h.space.Cancel(wait)
		h.deliver()
	}
	return shared.Answer{}, context.Cause(ctx)
}

// entered and left keep account of the calls of outside clients.
func (h *home) entered(name string) {
	c := h.clients[name]
	if c == nil {
		c = &client{}
		h.clients[name] = c
	}
	c.seen = time.Now()
	c.calls++
}

func (h *home) left(caller *shared.Caller) {
	if caller.Job != "" {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.clients[caller.Client]; c != nil {
		c.seen = time.Now()
		c.calls--
	}
}

func (h *home) list(ctx context.Context) ([]shared.Info, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state != serving {
		return nil, errMoved
	}
	return h.space.List(maxListed), nil
}

func (h *home) read(ctx context.Context, name string) (shared.Info, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state != serving {
		return shared.Info{}, errMoved
	}
	info, _ := h.space.Read(name)
	return info, nil
}

// recorded ends tasks that have their outcomes.
func (h *home) recorded(job string, tasks []Outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state != serving {
		return
	}
	for _, t := range tasks {
		h.space.Recorded(job, t.Task, t.Succeeded)
	}
	h.deliver()
}

// ended ends executions without an outcome.
func (h *home) ended(job string, lease int64, spans []Span) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state != serving {
		return
	}
	for _, span := range spans {
		for i := range int64(span.Count) {
			h.space.End(job, span.First+i, lease)
		}
	}
	h.deliver()
}

func (h *home) close() {}

// end makes the home unfit. Calls that wait are answered with err.
func (h *home) end(state homeState, err *shared.Error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.endLocked(state, err)
}

func (h *home) endLocked(state homeState, err *shared.Error) {
	if h.state != serving {
		return
	}
	h.state = state
	for _, list := range h.waiting {
		for _, l := range list {
			if l.answer != nil {
				l.answer <- shared.Answer{Err: err}
			}
		}
	}
	h.waiting = nil
	h.log.wakeAll()
}
