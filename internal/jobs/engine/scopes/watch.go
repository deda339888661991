package scopes

import (
	"context"
	"errors"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/shared"
)

const (
	watchEvery = 500 * time.Millisecond
	// idleTicks is after how many rounds of the watch without a call a scope that nobody
	// holds anything of is unloaded.
	idleTicks = 120
	// lostAfter is after how long a call to another node is looked for.
	lostAfter = 2 * time.Second
	// maxChecked is how many tasks are looked up at once.
	maxChecked = 1000
)

func isOutage(err error) bool {
	return errors.Is(err, jobs.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)
}

// watch looks after all scopes of the node until the service ends.
func (s *Service) watch() {
	ctx := s.running
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for round := 1; ; round++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		places := s.all()
		for _, p := range places {
			s.log(ctx, "look after shared objects", p.watch(ctx, round))
		}
		if round%4 == 0 {
			s.log(ctx, "find lost calls on shared objects", s.findLost(ctx))
			s.calls.forgetEarly()
		}
		if round%60 == 0 && len(places) > 0 {
			s.log(ctx, "forget calls and answers of dead nodes", s.Store.ForgetSharedCalls(ctx, 10_000))
			if s.Runs != nil {
				s.uses.forget(func(job string) bool { return !s.Runs(job) })
			}
		}
	}
}

// findLost sends calls again whose row or answer is gone.
func (s *Service) findLost(ctx context.Context) error {
	old := s.calls.old(lostAfter)
	if len(old) == 0 {
		return nil
	}
	// What was answered between reading the list and the answers is no longer waited
	// for after taking the answers.
	lost, err := s.Store.LostSharedCalls(ctx, old)
	if err != nil || len(lost) == 0 {
		return err
	}
	answers, err := s.Store.TakeSharedAnswers(ctx, s.Node)
	if err != nil {
		return err
	}
	s.calls.answer(answers)
	s.calls.resend(lost)
	return nil
}

// watch looks after a scope.
func (p *place) watch(ctx context.Context, round int) error {
	b := p.now.Load()
	if b == nil {
		p.retire()
		return nil
	}
	switch b := (*b).(type) {
	case *remote:
		if round%2 == 0 {
			return b.check(ctx)
		}
	case *home:
		return b.check(ctx, round)
	}
	return nil
}

// check takes the scope over where its home is dead.
func (r *remote) check(ctx context.Context) error {
	r.mu.Lock()
	idle := !r.used && len(r.ordinals) == 0 && len(r.queue) == 0
	r.used = false
	r.mu.Unlock()
	if idle && !r.place.service.calls.waits(r) {
		r.place.lose(r)
		return nil
	}
	return r.place.move(ctx, r)
}

// move makes this node the home of a scope whose home is not alive.
func (p *place) move(ctx context.Context, r *remote) error {
	// Calls to the scope may be taken from when the database says that its home is here.
	p.moving.Store(true)
	defer p.moving.Store(false)
	at, err := p.service.Store.SharedHome(ctx, row(p.scope), p.service.Node, false)
	if errors.Is(err, jobs.ErrNotFound) {
		r.mu.Lock()
		batch := r.queue
		r.queue = nil
		r.mu.Unlock()
		r.refuse(append(batch, p.service.calls.take(r)...))
		return nil
	}
	if err != nil || !at.Taken {
		return err
	}
	var h *home
	err = p.service.again(ctx, func(ctx context.Context) error {
		h, err = p.load(ctx, at)
		return err
	})
	if err != nil {
		return err
	}
	p.service.Logger.Info("took over shared objects", "scope", p.scope, "epoch", at.Epoch)
	b := backend(h)
	p.now.Store(&b)
	r.close()
	put(p.service.more)
	return nil
}

// check looks after a home.
func (h *home) check(ctx context.Context, round int) error {
	h.mu.Lock()
	if h.state != serving {
		h.mu.Unlock()
		return nil
	}
	h.loseClients()
	if h.used {
		h.idle = 0
	} else {
		h.idle++
	}
	h.used = false
	unload := h.idle >= idleTicks && h.space.Idle()
	h.mu.Unlock()
	if unload {
		return h.unload(ctx)
	}
	if round%2 == 0 {
		if err := h.endLost(ctx); err != nil {
			return err
		}
	}
	if round%10 == 0 {
		if err := h.endRecorded(ctx); err != nil {
			return err
		}
	}
	return h.findDeadlock(ctx)
}

// seen notes a call of an outside client.
func (h *home) seen(name string) {
	if c := h.clients[name]; c != nil {
		c.seen = time.Now()
		return
	}
	h.clients[name] = &client{seen: time.Now()}
}

// loseClients ends outside clients that have not called for long.
func (h *home) loseClients() {
	for name, c := range h.clients {
		if c.calls == 0 && time.Since(c.seen) > shared.ClientIdle {
			delete(h.clients, name)
			h.space.Lose(name)
		}
	}
	h.deliver()
}

// endLost ends executions whose tasks are not under their leases any more.
func (h *home) endLost(ctx context.Context) error {
	h.mu.Lock()
	running := h.space.Running()
	h.mu.Unlock()
	if len(running) == 0 {
		return nil
	}
	leases, tasks := make([]int64, len(running)), make([]int64, len(running))
	for i, r := range running {
		leases[i], tasks[i] = r.Lease, r.Task
	}
	lost, err := h.place.service.Store.LostExecutions(ctx, leases, tasks)
	if err != nil || len(lost) == 0 {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state != serving {
		return nil
	}
	for _, i := range lost {
		h.space.End(running[i].Job, running[i].Task, running[i].Lease)
	}
	h.deliver()
	return nil
}

// endRecorded forgets the journals of tasks that have their outcomes, or whose job has
// ended, where the report of it was lost.
func (h *home) endRecorded(ctx context.Context) error {
	h.mu.Lock()
	tasks := make(map[string][]int64)
	for _, r := range h.space.Unrecorded() {
		if len(tasks[r.Job]) < maxChecked {
			tasks[r.Job] = append(tasks[r.Job], r.Task)
		}
	}
	h.mu.Unlock()
	for job, list := range tasks {
		ended, err := h.place.service.Store.EndedTasks(ctx, job, list)
		if err != nil {
			return err
		}
		h.mu.Lock()
		if h.state == serving {
			for _, t := range ended {
				h.space.Recorded(job, t.Index, t.Succeeded)
			}
			h.deliver()
		}
		h.mu.Unlock()
	}
	return nil
}
