package scopes

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/shared"
)

// A remote makes the calls of this node to a scope whose home is elsewhere.
type remote struct {
	place *place
	id    int64 // of the scope
	due   chan struct{}
	stop  chan struct{}

	mu       sync.Mutex // guards what follows
	queue    []*sentCall
	ordinals map[execution]map[uint32]*thread
	used     bool // since the watch last looked
	closed   bool
}

// An execution identifies one of this node.
type execution struct {
	job         string
	task, lease int64
}

// A thread numbers the calls of a task's thread.
type thread struct {
	next int
	busy bool // a call is on its way
}

func newRemote(p *place, id int64) *remote {
	r := &remote{
		place: p, id: id, due: make(chan struct{}, 1), stop: make(chan struct{}),
		ordinals: make(map[execution]map[uint32]*thread), used: true,
	}
	p.service.ended.Go(r.send)
	return r
}

// parallel is added to the number of a thread, again and again, for calls that the
// thread makes while another of its calls waits.
const parallel = 1 << 16

// ordinal numbers a call of a task.
func (r *remote) ordinal(c *shared.Caller) (*thread, uint32, int) {
	e := execution{c.Job, c.Task, c.Lease}
	if r.ordinals[e] == nil {
		r.ordinals[e] = make(map[uint32]*thread, 1)
	}
	number := c.Thread
	for {
		t := r.ordinals[e][number]
		if t == nil {
			t = &thread{}
			r.ordinals[e][number] = t
		}
		if !t.busy {
			t.busy = true
			t.next++
			return t, number, t.next - 1
		}
		number += parallel
	}
}

func (r *remote) call(ctx context.Context, caller *shared.Caller, call *shared.Call) (shared.Answer, error) {
	if len(call.Kind) > 255 || len(call.Op) > 255 || len(call.Name) > r.place.service.Bounds.Name || len(call.Args) > 255 {
		return shared.Answer{Err: &shared.Error{Kind: shared.ErrBounds, Message: fmt.Sprintf("the name of a shared object has at most %d bytes", r.place.service.Bounds.Name)}}, nil
	}
	m := message{Type: messageCall, Caller: &shared.Caller{Job: caller.Job, Task: caller.Task, Lease: caller.Lease, Thread: caller.Thread, Alone: caller.Alone, Client: caller.Client, Key: caller.Key},
		Ordinal: shared.NextOrdinal, Call: call.Append(nil)}
	counted := caller.Job != "" && call.Op != shared.OpMake && call.Op != shared.OpEnd
	var t *thread
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return shared.Answer{}, errMoved
	}
	r.used = true
	if counted {
		t, m.Caller.Thread, m.Ordinal = r.ordinal(caller)
	}
	c := r.enqueue(&m)
	r.mu.Unlock()
	defer func() {
		if t != nil {
			r.mu.Lock()
			t.busy = false
			r.mu.Unlock()
		}
	}()
	note := r.place.service.note(caller, call)
	data, err := r.await(ctx, c)
	note.stop()
	if err != nil {
		return shared.Answer{}, err
	}
	answer, err := shared.ParseAnswer(data)
	if err != nil {
		return answer, fmt.Errorf("read answer of the home: %w", err)
	}
	return answer, nil
}

// enqueue has a message sent. The mutex is held.
func (r *remote) enqueue(m *message) *sentCall {
	c := &sentCall{remote: r, data: m.encode(), answer: make(chan []byte, 1)}
	r.queue = append(r.queue, c)
	put(r.due)
	return c
}

func (r *remote) await(ctx context.Context, c *sentCall) ([]byte, error) {
	select {
	case data, ok := <-c.answer:
		if !ok {
			return nil, errMoved
		}
		return data, nil
	case <-r.place.service.running.Done():
		return nil, errClosing
	case <-ctx.Done():
	}
	number := r.place.service.calls.forget(c)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue = slices.DeleteFunc(r.queue, func(other *sentCall) bool { return other == c })
	if number != 0 && !r.closed {
		r.enqueue(&message{Type: messageCancel, Cancel: number})
	}
	return nil, context.Cause(ctx)
}

// send writes messages, as many at once as there are.
func (r *remote) send() {
	s := r.place.service
	for {
		select {
		case <-s.running.Done():
			return
		case <-r.stop:
			return
		case <-r.due:
		}
		r.mu.Lock()
		batch := r.queue
		r.queue = nil
		r.mu.Unlock()
		if len(batch) == 0 {
			continue
		}
		data := make([][]byte, len(batch))
		for i, c := range batch {
			data[i] = c.data
		}
		var ids []int64
		homeless := false
		err := s.again(s.running, func(ctx context.Context) (err error) {
			ids, homeless, err = s.Store.SendShared(ctx, r.id, s.Node, data)
			return err
		})
		if err != nil || len(ids) != len(batch) {
			if err != nil && s.running.Err() == nil {
				s.Logger.Error("send calls on shared objects", "scope", r.place.scope, "error", err)
			}
			r.refuse(batch) // the scope was deleted
			continue
		}
		s.calls.add(ids, batch)
		if homeless {
			s.log(s.running, "take over shared objects", r.place.move(s.running, r))
		}
	}
}

// refuse answers calls to a scope that does not exist.
func (r *remote) refuse(batch []*sentCall) {
	answer := shared.Answer{Err: &shared.Error{Kind: shared.ErrRemoved, Message: "the shared objects were deleted"}}
	for _, c := range batch {
		c.answer <- answer.Append(nil)
	}
	r.place.lose(r)
}

// flush does nothing: what was answered is in the log.
func (r *remote) flush(context.Context) error { return nil }

// known leaves out tasks that made no call here.
func (r *remote) recorded(job string, tasks []Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	mine := make(map[int64]bool)
	for e := range r.ordinals {
		if e.job == job {
			mine[e.task] = true
		}
	}
	var list []Outcome
	for _, t := range tasks {
		if mine[t.Task] {
			list = append(list, t)
		}
	}
	if len(list) == 0 || r.closed {
		return
	}
	for e := range r.ordinals {
		if e.job == job && slices.ContainsFunc(list, func(o Outcome) bool { return o.Task == e.task }) {
			delete(r.ordinals, e)
		}
	}
	r.enqueue(&message{Type: messageRecorded, Job: job, Outcomes: list})
}

func (r *remote) ended(job string, lease int64, spans []Span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []Span
	for e := range r.ordinals {
		for _, span := range spans {
			if e.job == job && e.lease == lease && e.task >= span.First && e.task < span.First+int64(span.Count) {
				list = append(list, Span{First: e.task, Count: 1})
				delete(r.ordinals, e)
			}
		}
	}
	if len(list) > 0 && !r.closed {
		r.enqueue(&message{Type: messageEnded, Job: job, Lease: lease, Spans: list})
	}
}

func (r *remote) list(ctx context.Context) ([]shared.Info, error) {
	list := []shared.Info{}
	return list, r.ask(ctx, &message{Type: messageList}, &list)
}

func (r *remote) read(ctx context.Context, name string) (shared.Info, error) {
	var info shared.Info
	return info, r.ask(ctx, &message{Type: messageRead, Name: name}, &info)
}

// ask sends a question and decodes its answer.
func (r *remote) ask(ctx context.Context, m *message, into any) error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return errMoved
	}
	r.used = true
	c := r.enqueue(m)
	r.mu.Unlock()
	data, err := r.await(ctx, c)
	if err != nil {
		return err
	}
	answer, err := shared.ParseAnswer(data)
	if err == nil && answer.Err != nil {
		err = answer.Err
	}
	if err != nil {
		return fmt.Errorf("ask the home of %s: %w", r.place.scope, err)
	}
	return json.Unmarshal(answer.Value, into)
}

// close ends the sender. Calls that are on their way are answered still; those that are
// not sent go to the next backend.
func (r *remote) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.closed = true
	close(r.stop)
	for _, c := range r.queue {
		close(c.answer)
	}
	r.queue = nil
}

var errNoScope = fmt.Errorf("it was never used: %w", jobs.ErrNotFound)
