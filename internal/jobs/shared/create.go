package shared

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math"
)

// make returns an empty object of a kind, or nil.
func (c common) make() object {
	switch c.kind {
	case Queue:
		return &queue{common: c}
	case Pipe:
		return &pipe{common: c}
	case Value:
		return &value{common: c}
	case Array:
		return &array{common: c}
	case Dict:
		return &dict{common: c, at: make(map[string]int)}
	case List:
		return &list{common: c}
	case Lock:
		l := &lock{common: c}
		l.mutex.object, l.mutex.reentrant = l, c.params.Type == reentrant
		return l
	case Event:
		return &event{common: c}
	case Semaphore:
		return &semaphore{common: c, free: c.params.Size}
	case Condition:
		d := &condition{common: c}
		d.mutex.object, d.mutex.reentrant = d, true
		return d
	case Barrier:
		return &barrier{common: c}
	}
	return nil
}

// Types of locks and semaphores.
const (
	reentrant = "reentrant"
	bounded   = "bounded"
)

// create makes the object of a call.
func (s *Space) create(c *Call) (object, *Error) {
	common := common{name: c.Name, kind: c.Kind}
	if c.Params != nil {
		common.params = *c.Params
	} else if c.Kind == Semaphore {
		common.params.Size = 1
	}
	initial := common.params.Initial
	if err := common.params.check(c.Kind, c.Params != nil); err != nil {
		return nil, err
	}
	obj := common.make()
	b := obj.base()
	b.params.Initial = fingerprint(initial)
	if err := s.grow(b, int64(len(c.Name)), 1); err != nil {
		return nil, err
	}
	if filled, ok := obj.(interface {
		fill(s *Space, initial json.RawMessage) *Error
	}); ok {
		if err := filled.fill(s, initial); err != nil {
			s.bytes, s.items = s.bytes-b.bytes, s.items-b.items
			return nil, err
		}
	}
	return obj, nil
}

// fingerprint stands for an initial value that is compared and not kept.
func fingerprint(initial json.RawMessage) json.RawMessage {
	if len(initial) <= 64 {
		return bytes.Clone(initial)
	}
	return json.RawMessage(fmt.Sprintf(`"%d bytes, %08x"`, len(initial), crc32.Checksum(initial, castagnoli)))
}

// check checks the parameters of a kind, which given says were in the call.
func (p *Params) check(k Kind, given bool) *Error {
	types := map[Kind][]string{Lock: {reentrant}, Semaphore: {bounded}}
	if p.Type != "" && k != Array && (len(types[k]) == 0 || types[k][0] != p.Type) {
		return errorf(ErrArgument, "a %s has no type %.40q", k, p.Type)
	}
	switch k {
	case Value, Array, Dict, List:
	default:
		if p.Initial != nil {
			return errorf(ErrArgument, "a %s takes no initial value", k)
		}
	}
	switch k {
	case Queue:
		p.Size = max(p.Size, 0) // as in the standard library
	case Semaphore:
		if p.Size < 0 || p.Size > math.MaxInt32 {
			return errorf(ErrValue, "a semaphore begins with 0 to %d, not %d", math.MaxInt32, p.Size)
		}
	case Barrier:
		if p.Size < 1 || p.Size > math.MaxInt32 {
			if !given {
				return errorf(ErrArgument, "a barrier is made with the number of its parties")
			}
			return errorf(ErrValue, "a barrier has at least 1 party, not %d", p.Size)
		}
	case Array:
		if !given {
			return errorf(ErrArgument, "an array is made with a typecode and a size")
		}
	case Pipe, Value, Dict, List, Lock, Event, Condition:
		if p.Size != 0 {
			return errorf(ErrArgument, "a %s has no size", k)
		}
	}
	return nil
}

// accepts checks that a call is for an object of this kind, with these parameters.
func (c *common) accepts(call *Call) *Error {
	p := call.Params
	if c.kind == call.Kind && (p == nil || c.same(*p)) {
		return nil
	}
	wanted := describe(call.Kind, Params{})
	if p != nil {
		other := *p
		other.Initial = fingerprint(p.Initial)
		wanted = describe(call.Kind, other)
	}
	return errorf(ErrMismatch, "%q is %s, not %s", c.name, describe(c.kind, c.params), wanted)
}

// same reports whether an object of these parameters may be asked for with others.
func (c *common) same(p Params) bool {
	size := p.Size
	switch {
	case c.kind == Queue:
		size = max(size, 0)
	case c.kind == Array && size == 0 && p.Initial != nil:
		size = c.params.Size // it follows from the initial value
	}
	if size != c.params.Size || p.Type != c.params.Type {
		return false
	}
	return p.Initial == nil || bytes.Equal(fingerprint(p.Initial), c.params.Initial)
}

// describe describes a kind with parameters for messages.
func describe(k Kind, p Params) string {
	article := "a "
	switch k {
	case Array, Event:
		article = "an "
	case Queue, Pipe, Value, Dict, List, Lock, Semaphore, Condition, Barrier:
	}
	text := article + string(k)
	switch {
	case k == Queue && p.Size > 0:
		text += fmt.Sprintf(" of at most %d items", p.Size)
	case k == Semaphore:
		text += fmt.Sprintf(" of %d", p.Size)
	case k == Barrier:
		text += fmt.Sprintf(" of %d parties", p.Size)
	case k == Array:
		text += fmt.Sprintf(" of type %q and size %d", p.Type, p.Size)
	}
	if p.Type != "" && k != Array {
		text += " (" + p.Type + ")"
	}
	if p.Initial != nil {
		text += fmt.Sprintf(" that began as %.80s", p.Initial)
	}
	return text
}
