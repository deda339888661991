package scopes

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/allcores/allcores/internal/jobs/shared"
	"github.com/allcores/allcores/internal/store"
)

const (
	// maxTaken is how many calls of other nodes are taken at once.
	maxTaken = 1000
	// serveEvery is how long calls and answers wait whose notification was lost.
	serveEvery = time.Second
	// notLoaded is how long calls wait for a scope that is being loaded.
	notLoaded = 10 * time.Millisecond
)

// serve takes calls and answers of other nodes until the service ends.
func (s *Service) serve() {
	ctx := s.running
	news := s.Store.Feed.WatchShared(s.Node)
	defer news.Close()
	tick := time.NewTicker(serveEvery)
	defer tick.Stop()
	var later []store.SharedCall // whose scope is being loaded
	for {
		wait := serveEvery
		if len(later) > 0 {
			wait = notLoaded
		}
		select {
		case <-ctx.Done():
			return
		case <-news.C:
		case <-s.more:
		case <-tick.C:
			if len(s.all()) == 0 {
				continue
			}
		case <-time.After(wait):
			if len(later) == 0 {
				continue
			}
		}
		answers, err := s.Store.TakeSharedAnswers(ctx, s.Node)
		if err == nil {
			s.calls.answer(answers)
			var calls []store.SharedCall
			calls, err = s.Store.TakeSharedCalls(ctx, s.Node, maxTaken)
			later = s.handle(append(later, calls...))
			if len(calls) == maxTaken || len(answers) >= maxTaken {
				put(s.more)
			}
		}
		s.log(ctx, "take calls on shared objects", err)
	}
}

// handle makes calls of other nodes. It returns those whose scope is being loaded.
func (s *Service) handle(calls []store.SharedCall) (later []store.SharedCall) {
	if len(calls) == 0 {
		return nil
	}
	homes := make(map[int64]*home)
	loading := false
	for _, p := range s.all() {
		loading = p.isOpening() || loading // first: an opening that ends has set the home
		if h := p.home(); h != nil {
			homes[h.at.ID] = h
		}
	}
	for _, c := range calls {
		if h := homes[c.Scope]; h != nil {
			h.handle(c)
		} else if loading {
			later = append(later, c)
		}
	}
	return later
}

// handle makes a call of another node.
func (h *home) handle(c store.SharedCall) {
	var m message
	var call shared.Call
	err := json.Unmarshal(c.Data, &m)
	if err == nil && m.Type == messageCall {
		if call, err = shared.ParseCall(m.Call); err == nil && m.Caller == nil {
			err = errors.New("a call without a caller")
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state != serving {
		return // the next home takes it
	}
	h.used = true
	l := &listener{remote: c}
	answer := shared.Answer{Value: json.RawMessage("null")}
	switch {
	case err != nil:
		answer = shared.Answer{Err: &shared.Error{Kind: shared.ErrArgument, Message: "malformed message: " + err.Error()}}
	case c.Dead && m.Type != messageCancel:
		answer = shared.Answer{Err: &shared.Error{Kind: shared.ErrSuperseded, Message: "the node was declared dead; its tasks run elsewhere by now"}}
	case m.Type == messageCall:
		var wait *shared.Wait
		if answer, wait = h.space.Do(m.Caller, m.Ordinal, &call); wait != nil {
			h.listen(wait, l)
			h.remotes[c.ID] = l
		}
		if m.Caller.Job == "" && call.Op == shared.OpEnd {
			delete(h.clients, m.Caller.Client)
		} else if m.Caller.Job == "" {
			h.seen(m.Caller.Client)
		}
		if wait != nil {
			h.deliver()
			return
		}
	case m.Type == messageCancel:
		h.cancel(m.Cancel)
	case m.Type == messageRecorded:
		for _, t := range m.Outcomes {
			h.space.Recorded(m.Job, t.Task, t.Succeeded)
		}
	case m.Type == messageEnded:
		for _, span := range m.Spans {
			h.space.End(m.Job, span.First, m.Lease)
		}
	case m.Type == messageList:
		answer = inJSON(h.space.List(maxListed))
	case m.Type == messageRead:
		info, _ := h.space.Read(m.Name)
		answer = inJSON(info)
	}
	h.answer(l, answer)
	h.deliver()
}

func inJSON(v any) shared.Answer {
	text, err := json.Marshal(v)
	if err != nil {
		return shared.Answer{Err: &shared.Error{Kind: shared.ErrUnavailable, Message: err.Error()}}
	}
	return shared.Answer{Value: text}
}

// cancel takes back a call of another node.
func (h *home) cancel(call int64) {
	l := h.remotes[call]
	if l == nil {
		return
	}
	h.waiting[l.wait] = slices.DeleteFunc(h.waiting[l.wait], func(other *listener) bool { return other == l })
	if len(h.waiting[l.wait]) == 0 && !l.keyed {
		delete(h.waiting, l.wait)
		h.space.Cancel(l.wait)
	}
	h.answer(l, shared.Answer{Err: &shared.Error{Kind: shared.ErrTimeout, Message: "the caller has gone"}})
}

// log logs an error other than an outage or the service's end.
func (s *Service) log(ctx context.Context, doing string, err error) {
	if err != nil && ctx.Err() == nil && !isOutage(err) {
		s.Logger.Error("keep shared objects", "doing", doing, "error", err)
	}
}
