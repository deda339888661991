package shared

import (
	"encoding/json"
	"maps"
	"slices"
)

// A Space holds the objects of a scope, the journals of the tasks that use them and
// the calls that wait. Its methods must not be called concurrently. A method that
// changes something appends an event to the log, which TakeLog returns; Replay of all
// events of a Space's life gives the same Space.
type Space struct {
	bounds   Bounds
	objects  map[string]object
	names    []string // of the objects, in the order of their creation
	barriers []*barrier
	parties  map[partyKey]*party
	execs    map[uint64]*execution
	waits    map[uint64]*Wait
	alone    map[int64]*execution // by lease: the one that runs, where its lane runs one at a time
	keys     keyedAnswers

	bytes, items int64 // of the objects
	journals     int64 // bytes
	counters

	log       []byte
	woken     []Woken
	replaying bool
}

// counters number what must have the same numbers when the log is replayed.
type counters struct{ nextExec, nextWait, orders, steps uint64 }

// An object is what a name stands for.
type object interface {
	base() *common
	// do makes an operation. With park the call waits in one of the object's lists.
	do(a *act) result
	// park puts back a wait that a snapshot has.
	park(s *Space, w *Wait)
	// dropped is called when a wait has ended without an answer of the object.
	dropped(s *Space, w *Wait)
	// late is the result of a wait whose time is up.
	late(s *Space, w *Wait) result
	show() json.RawMessage
	appendTo(b []byte) []byte
	readFrom(s *Space, r *reader)
}

// common is what all objects have.
type common struct {
	name         string
	kind         Kind
	params       Params
	bytes, items int64
}

func (c *common) base() *common { return c }

// An act is an operation that is being made.
type act struct {
	s    *Space
	call *Call
	wait *Wait // with its party, execution and thread; made for the act
}

// A result is what an operation came to.
type result struct {
	value json.RawMessage
	err   *Error
	read  bool // nothing was changed, whatever the operation's class
	park  bool
}

var (
	null  = json.RawMessage("null")
	yes   = json.RawMessage("true")
	no    = json.RawMessage("false")
	done  = result{value: null}
	parks = result{park: true}
)

func boolean(b bool) result {
	if b {
		return result{value: yes}
	}
	return result{value: no}
}

func fails(kind ErrorKind, format string, args ...any) result {
	return result{err: errorf(kind, format, args...), read: true}
}

func refuses(err *Error) result { return result{err: err, read: true} }

// New makes an empty Space.
func New(b Bounds) *Space {
	return &Space{
		bounds: b, objects: make(map[string]object), parties: make(map[partyKey]*party),
		execs: make(map[uint64]*execution), waits: make(map[uint64]*Wait), alone: make(map[int64]*execution), keys: newKeyedAnswers(),
	}
}

// NextOrdinal is the ordinal of a call that has the next one of its thread.
const NextOrdinal = -1

// Do makes a call. It returns the answer, or a Wait whose answer will be among those
// that TakeWoken returns. A call of a task with an ordinal that the same execution has
// used gets the answer from then.
func (s *Space) Do(caller *Caller, ordinal int, call *Call) (Answer, *Wait) {
	if call.Op == OpEnd || call.Op == OpPing {
		return s.sayLife(caller, call.Op), nil
	}
	if call.Kind == "" && call.Op != OpRemove {
		kind, bad := s.kindOf(call)
		if bad != nil {
			return Answer{Err: bad}, nil
		}
		named := *call
		named.Kind = kind
		call = &named
	}
	o, bad := s.bounds.check(call)
	if bad != nil {
		return Answer{Err: bad}, nil
	}
	if call.Op == OpRemove && caller.Job != "" {
		return Answer{Err: errorf(ErrArgument, "a task cannot remove a shared object")}, nil
	}
	e, bad := s.execution(caller)
	if bad != nil {
		return Answer{Err: bad}, nil
	}
	w := Wait{Call: *call, party: e.party, exec: e, thread: caller.Thread, key: caller.Key}
	if call.Op == OpMake || call.Op == OpRemove {
		s.logCall(&w)
		s.steps++
		return s.manage(&w), nil
	}
	answer, waiting, how := s.known(&w, ordinal)
	switch how {
	case answered:
		return answer, waiting
	case fresh:
		if s.journals > s.bounds.Journal {
			return Answer{Err: errorf(ErrBounds, "the calls of unfinished tasks take more than %d bytes", s.bounds.Journal)}, nil
		}
		s.logCall(&w)
	case again:
		s.logCall(&w)
	case reread:
	}
	return s.make(&w, o)
}

// manage makes an operation on an object as a whole.
func (s *Space) manage(w *Wait) Answer {
	if w.Call.Op == OpRemove {
		return s.remove(w.Call.Name)
	}
	if _, err := s.object(&w.Call); err != nil {
		return Answer{Err: err}
	}
	return Answer{Value: null}
}

// make makes an operation on an object and journals its answer.
func (s *Space) make(w *Wait, o operation) (Answer, *Wait) {
	s.steps++
	obj, err := s.object(&w.Call)
	if err != nil {
		return s.journal(w, o.class, refuses(err)), nil
	}
	w.object = obj
	parked := *w
	r := obj.do(&act{s: s, call: &parked.Call, wait: &parked})
	if !r.park {
		parked.done = true
		if w.replay && o.class == holds && r.err != nil {
			r = done // it fell with the execution that held it
		}
		return s.journal(&parked, o.class, r), nil
	}
	if w.Call.Timeout == 0 && !w.replay {
		if late := obj.late(s, &parked); !late.park {
			parked.done = true
			obj.dropped(s, &parked)
			return s.journal(&parked, o.class, late), nil
		}
	}
	if len(s.waits) >= s.bounds.Waiting {
		parked.done = true
		obj.dropped(s, &parked)
		return Answer{Err: errorf(ErrBounds, "%d calls wait already", len(s.waits))}, nil
	}
	s.nextWait++
	parked.ID = s.nextWait
	s.waits[parked.ID] = &parked
	parked.exec.parked = append(parked.exec.parked, &parked)
	return Answer{}, &parked
}

// journal keeps the answer of a call that has one and returns it.
func (s *Space) journal(w *Wait, c class, r result) Answer {
	answer := Answer{Value: r.value, Err: r.err}
	if r.read && c == changes {
		c = reads
	}
	switch {
	case w.replay:
	case w.party.isTask():
		s.journals += int64(w.exec.journal(w.thread).add(w.sum, c, answer))
		w.exec.at[w.thread]++
	case w.key != "":
		s.journals += s.keys.add(keyOf(w), keyed{w.sum, answer})
	}
	return answer
}

// finish answers a call that waits.
func (s *Space) finish(w *Wait, r result) {
	s.take(w)
	s.woken = append(s.woken, Woken{w.ID, s.journal(w, operations[w.Call.Kind][w.Call.Op].class, r)})
}

// take removes a call from those that wait.
func (s *Space) take(w *Wait) {
	w.done = true
	s.steps++
	delete(s.waits, w.ID)
	if i := slices.Index(w.exec.parked, w); i >= 0 {
		w.exec.parked = slices.Delete(w.exec.parked, i, i+1)
	}
}

// TimeUp ends a wait as its time is up. It does nothing where the call has its answer.
func (s *Space) TimeUp(wait uint64) {
	w := s.waits[wait]
	if w == nil {
		return
	}
	s.logNumber(eventTimeUp, wait)
	r := w.object.late(s, w)
	if r.park { // it waits for a lock now, whatever the time
		return
	}
	s.finish(w, r)
	w.object.dropped(s, w)
}

// Cancel ends a wait whose caller has gone away. It does nothing where the call has
// its answer.
func (s *Space) Cancel(wait uint64) {
	w := s.waits[wait]
	if w == nil {
		return
	}
	s.logNumber(eventCancel, wait)
	s.take(w)
	w.object.dropped(s, w)
}

// TakeWoken returns the answers to calls that waited, since it was last called. The
// slice is valid until the next call of a method.
func (s *Space) TakeWoken() []Woken {
	list := s.woken
	s.woken = s.woken[:0]
	return list
}

// object returns the object of a call, made if it does not exist.
func (s *Space) object(c *Call) (object, *Error) {
	if obj := s.objects[c.Name]; obj != nil {
		return obj, obj.base().accepts(c)
	}
	obj, err := s.create(c)
	if err != nil {
		return nil, err
	}
	s.keep(obj)
	return obj, nil
}

// keep gives an object its name.
func (s *Space) keep(obj object) {
	name := obj.base().name
	s.objects[name] = obj
	s.names = append(s.names, name)
	if b, ok := obj.(*barrier); ok {
		s.barriers = append(s.barriers, b)
	}
}

// remove removes an object. Calls that wait for it fail.
func (s *Space) remove(name string) Answer {
	obj := s.objects[name]
	if obj == nil {
		return Answer{Err: errorf(ErrKey, "there is no shared object %q", name)}
	}
	for _, id := range slices.Sorted(maps.Keys(s.waits)) {
		if w := s.waits[id]; w.object == obj {
			s.take(w)
			s.woken = append(s.woken, Woken{w.ID, Answer{Err: errorf(ErrRemoved, "the shared object %q was removed", name)}})
		}
	}
	for _, e := range s.execs {
		e.locks = slices.DeleteFunc(e.locks, func(l *mutex) bool { return l.object == obj })
	}
	for _, p := range s.parties {
		if sem, ok := obj.(*semaphore); ok {
			delete(p.permits, sem)
		}
	}
	b := obj.base()
	s.bytes, s.items = s.bytes-b.bytes, s.items-b.items
	delete(s.objects, name)
	s.barriers = slices.DeleteFunc(s.barriers, func(b *barrier) bool { return object(b) == obj })
	s.names = slices.DeleteFunc(s.names, func(other string) bool { return other == name })
	return Answer{Value: null}
}

// grow adds to an object's size, unless a bound would be passed. Less is never
// refused.
func (s *Space) grow(c *common, bytes, items int64) *Error {
	switch {
	case bytes > 0 && s.bytes+bytes > s.bounds.Bytes:
		return errorf(ErrBounds, "the shared objects would take %d bytes; at most %d are allowed", s.bytes+bytes, s.bounds.Bytes)
	case items > 0 && s.items+items > s.bounds.Items:
		return errorf(ErrBounds, "the shared objects would hold %d items; at most %d are allowed", s.items+items, s.bounds.Items)
	}
	c.bytes, c.items = c.bytes+bytes, c.items+items
	s.bytes, s.items = s.bytes+bytes, s.items+items
	return nil
}

// fits checks the length of one item.
func (s *Space) fits(items ...json.RawMessage) *Error {
	for _, item := range items {
		if len(item) > s.bounds.Item {
			return errorf(ErrBounds, "an item has %d bytes; at most %d are allowed", len(item), s.bounds.Item)
		}
	}
	return nil
}
