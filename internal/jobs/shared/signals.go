package shared

import (
	"encoding/json"
	"fmt"
	"maps"
)

// An event is a flag that callers wait for.
type event struct {
	common
	flag    bool
	waiters waitList
}

func (e *event) do(a *act) result {
	switch a.call.Op {
	case "set":
		e.flag = true
		e.waiters.finishAll(a.s, boolean(true))
	case "clear":
		e.flag = false
	case "is_set":
		return boolean(e.flag)
	default: // wait
		if e.flag {
			return boolean(true)
		}
		e.waiters.add(a.s, a.wait)
		return parks
	}
	return done
}

func (e *event) park(_ *Space, w *Wait)    { e.waiters.list = append(e.waiters.list, w) }
func (e *event) dropped(_ *Space, w *Wait) { e.waiters.drop(w) }
func (e *event) late(*Space, *Wait) result { return boolean(false) }
func (e *event) show() json.RawMessage     { return boolean(e.flag).value }

// A semaphore has permits. Those that a party acquired belong to the party.
type semaphore struct {
	common
	free    int64
	waiters waitList
}

func (m *semaphore) take(p *party) {
	m.free--
	if p.permits == nil {
		p.permits = make(map[*semaphore]int64)
	}
	p.permits[m]++
}

func (m *semaphore) do(a *act) result {
	switch a.call.Op {
	case "value":
		return number(m.free)
	case "acquire":
		if m.free > 0 && m.waiters.first() == nil {
			m.take(a.wait.party)
			return boolean(true)
		}
		m.waiters.add(a.s, a.wait)
		return parks
	}
	n, err := count(a.call.Args, 0)
	if err == nil && n < 1 {
		err = errorf(ErrValue, "release takes one or more, not %d", n)
	}
	if err == nil && (m.params.Type == bounded && m.free+n > m.params.Size || m.free+n > 1<<40) {
		err = errorf(ErrValue, "the semaphore %q was released too many times", m.name)
	}
	if err != nil {
		return refuses(err)
	}
	if p := a.wait.party; p.permits != nil {
		p.permits[m] = max(p.permits[m]-n, 0)
	}
	m.free += n
	m.admit(a.s)
	return done
}

// admit lets waiting parties acquire.
func (m *semaphore) admit(s *Space) {
	for w := m.waiters.first(); w != nil && m.free > 0; w = m.waiters.first() {
		m.take(w.party)
		s.finish(w, boolean(true))
	}
}

// giveBack returns the permits of a party that is lost.
func (m *semaphore) giveBack(s *Space, n int64) {
	m.free += n
	if m.params.Type == bounded {
		m.free = min(m.free, m.params.Size)
	}
	m.admit(s)
}

func (m *semaphore) park(_ *Space, w *Wait)    { m.waiters.list = append(m.waiters.list, w) }
func (m *semaphore) dropped(_ *Space, w *Wait) { m.waiters.drop(w) }
func (m *semaphore) late(*Space, *Wait) result { return result{value: no, read: true} }
func (m *semaphore) show() json.RawMessage     { return number(m.free).value }

// A barrier lets its parties go when all have come.
type barrier struct {
	common
	waiters waitList
	broken  bool
	last    map[partyKey]bool // the parties of the round before
}

func (b *barrier) do(a *act) result {
	switch a.call.Op {
	case "state":
		return result{value: b.show()}
	case "abort":
		b.crush(a.s)
		return done
	case "reset":
		b.crush(a.s)
		b.broken = false
		return done
	}
	if b.broken {
		return b.isBroken()
	}
	if n := b.waiters.len(); int64(n)+1 < b.params.Size {
		b.waiters.add(a.s, a.wait)
		return parks
	}
	b.last = map[partyKey]bool{a.wait.party.partyKey: true}
	i := int64(0)
	for w := b.waiters.first(); w != nil; w = b.waiters.first() {
		b.last[w.party.partyKey] = true
		s := a.s
		s.finish(w, number(i))
		i++
	}
	return number(i)
}

func (b *barrier) isBroken() result { return fails(ErrBroken, "the barrier %q is broken", b.name) }

// crush breaks the barrier.
func (b *barrier) crush(s *Space) {
	b.broken = true
	b.waiters.finishAll(s, b.isBroken())
}

// lost breaks the barrier when a party that was in its last round has died: at once
// where the party does not come back, else if others wait for it.
func (b *barrier) lost(s *Space, p *party, forGood bool) {
	if b.last[p.partyKey] && (forGood || b.waiters.first() != nil) {
		b.crush(s)
	}
}

func (s *Space) eachBarrier(f func(*barrier)) {
	for _, b := range s.barriers {
		f(b)
	}
}

func (b *barrier) park(_ *Space, w *Wait) { b.waiters.list = append(b.waiters.list, w) }

// dropped breaks the barrier: a party that has come has gone.
func (b *barrier) dropped(s *Space, w *Wait) {
	b.waiters.drop(w)
	if !b.broken {
		b.crush(s)
	}
}

func (b *barrier) late(s *Space, w *Wait) result {
	b.waiters.drop(w)
	b.crush(s)
	return b.isBroken()
}

func (b *barrier) show() json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"parties":%d,"waiting":%d,"broken":%t}`, b.params.Size, b.waiters.len(), b.broken))
}

// sortedLast returns the parties of the last round in a fixed order.
func (b *barrier) sortedLast() []partyKey { return sortedKeys(maps.Keys(b.last)) }
