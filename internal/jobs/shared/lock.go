package shared

import (
	"encoding/json"
	"fmt"
	"slices"
)

// A mutex is the lock in a lock or a condition. It is held by an execution.
type mutex struct {
	object    object
	reentrant bool

	owner   *execution // nil while it is free
	thread  uint32     // of the owner
	depth   int
	waiters waitList
}

func (m *mutex) heldBy(w *Wait) bool {
	return m.owner == w.exec && m.owner != nil && m.thread == w.thread
}

func (m *mutex) take(w *Wait, depth int) {
	m.owner, m.thread, m.depth = w.exec, w.thread, depth
	w.exec.locks = append(w.exec.locks, m)
}

func (m *mutex) acquire(a *act) result {
	switch {
	case m.reentrant && m.heldBy(a.wait):
		m.depth++
		return boolean(true)
	case m.owner == nil && m.waiters.first() == nil:
		m.take(a.wait, 1)
		return boolean(true)
	}
	a.wait.depth = 1
	m.waiters.add(a.s, a.wait)
	return parks
}

func (m *mutex) release(a *act) result {
	name := m.object.base().name
	switch {
	case m.reentrant && !m.heldBy(a.wait):
		return fails(ErrOwner, "the caller does not hold the %s %q", m.object.base().kind, name)
	case m.owner == nil:
		return fails(ErrValue, "the lock %q is not held: released too many times", name)
	}
	if m.depth--; m.depth == 0 {
		m.fall(a.s)
	}
	return done
}

// fall frees the lock and lets the next one have it.
func (m *mutex) fall(s *Space) {
	if e := m.owner; e != nil {
		e.locks = slices.DeleteFunc(e.locks, func(other *mutex) bool { return other == m })
	}
	m.owner, m.depth = nil, 0
	if w := m.waiters.first(); w != nil {
		m.take(w, w.depth)
		s.finish(w, boolean(w.Call.Op == "acquire" || w.stage == notified))
	}
}

func (m *mutex) appendTo(b []byte) []byte {
	owner := uint64(0)
	if m.owner != nil {
		owner = m.owner.number
	}
	return appendUvarints(b, owner, uint64(m.thread), uint64(m.depth))
}

func (m *mutex) readFrom(s *Space, r *reader) {
	owner := r.uvarint()
	m.thread, m.depth = uint32(r.uvarint()), int(r.uvarint())
	if m.owner = s.execs[owner]; m.owner != nil {
		m.owner.locks = append(m.owner.locks, m)
	}
}

func (m *mutex) show() json.RawMessage {
	if m.owner == nil {
		return json.RawMessage(`{"locked":false}`)
	}
	return json.RawMessage(fmt.Sprintf(`{"locked":true,"holder":%q}`, m.owner.party.String()))
}

// A lock is a mutex by itself.
type lock struct {
	common
	mutex mutex
}

func (l *lock) do(a *act) result {
	switch a.call.Op {
	case "acquire":
		return l.mutex.acquire(a)
	case "release":
		return l.mutex.release(a)
	}
	return boolean(l.mutex.owner != nil)
}

func (l *lock) park(_ *Space, w *Wait)    { l.mutex.waiters.list = append(l.mutex.waiters.list, w) }
func (l *lock) dropped(_ *Space, w *Wait) { l.mutex.waiters.drop(w) }

func (l *lock) late(*Space, *Wait) result { return result{value: no, read: true} }
func (l *lock) show() json.RawMessage     { return l.mutex.show() }

// Stages of a condition's wait.
const (
	unnotified uint8 = iota
	notified         // it waits for the lock
	timedOut         // it waits for the lock
)

// A condition is a mutex with waits that release it and acquire it again.
type condition struct {
	common
	mutex   mutex
	waiters waitList // unnotified
}

func (c *condition) do(a *act) result {
	switch a.call.Op {
	case "acquire":
		return c.mutex.acquire(a)
	case "release":
		return c.mutex.release(a)
	}
	if !c.mutex.heldBy(a.wait) {
		return fails(ErrOwner, "the caller does not hold the condition %q", c.name)
	}
	switch a.call.Op {
	case "wait":
		a.wait.depth = c.mutex.depth
		c.waiters.add(a.s, a.wait)
		c.mutex.fall(a.s)
		return parks
	case "notify":
		n, err := count(a.call.Args, 0)
		if err != nil {
			return refuses(err)
		}
		c.notify(a.s, n)
	default:
		c.notify(a.s, int64(len(c.waiters.list)))
	}
	return done
}

// notify lets the first n waits wait for the lock, which the caller holds.
func (c *condition) notify(s *Space, n int64) {
	for w := c.waiters.first(); w != nil && n > 0; w = c.waiters.first() {
		c.waiters.drop(w)
		w.stage = notified
		c.mutex.waiters.add(s, w)
		n--
	}
}

func (c *condition) park(_ *Space, w *Wait) {
	if w.Call.Op == "wait" && w.stage == unnotified {
		c.waiters.list = append(c.waiters.list, w)
		return
	}
	c.mutex.waiters.list = append(c.mutex.waiters.list, w)
}

func (c *condition) dropped(_ *Space, w *Wait) {
	c.waiters.drop(w)
	c.mutex.waiters.drop(w)
}

func (c *condition) late(s *Space, w *Wait) result {
	if w.Call.Op == "acquire" {
		return result{value: no, read: true}
	}
	if w.stage != unnotified {
		return parks
	}
	c.waiters.drop(w)
	if c.mutex.owner == nil && c.mutex.waiters.first() == nil {
		c.mutex.take(w, w.depth)
		return boolean(false)
	}
	w.stage = timedOut
	c.mutex.waiters.add(s, w)
	return parks
}

func (c *condition) show() json.RawMessage { return c.mutex.show() }
