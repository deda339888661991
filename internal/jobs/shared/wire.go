package shared

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"time"
)

// A call as bytes, little endian, where str8, str16 and str32 are a length of as many
// bits and the text:
//
//	str8 kind, str8 op, str16 name
//	u8 flags: 1 parameters follow, 2 a timeout follows (else for ever), 4 company
//	f64 timeout in seconds, at least 0; only with flag 2
//	i64 size, str8 type, str32 initial (empty for none); only with flag 1
//	u8 number of arguments, each a str32
//
// An answer is u8 0 and the value, or u8 1, str8 kind and the message.

const (
	flagParams  = 1
	flagTimeout = 2
	flagCompany = 4
)

// Append appends the call as bytes. The texts must be within the format's lengths.
func (c *Call) Append(b []byte) []byte {
	b = append(b, byte(len(c.Kind)))
	b = append(b, c.Kind...)
	b = append(b, byte(len(c.Op)))
	b = append(b, c.Op...)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(c.Name)))
	b = append(b, c.Name...)
	flags := byte(0)
	if c.Params != nil {
		flags |= flagParams
	}
	if c.Timeout >= 0 {
		flags |= flagTimeout
	}
	if c.Company {
		flags |= flagCompany
	}
	b = append(b, flags)
	if c.Timeout >= 0 {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(c.Timeout.Seconds()))
	}
	if p := c.Params; p != nil {
		b = binary.LittleEndian.AppendUint64(b, uint64(p.Size))
		b = append(b, byte(len(p.Type)))
		b = append(b, p.Type...)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(p.Initial)))
		b = append(b, p.Initial...)
	}
	b = append(b, byte(len(c.Args)))
	for _, a := range c.Args {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(a)))
		b = append(b, a...)
	}
	return b
}

// ErrWire is the error of bytes that are no call or answer.
var ErrWire = errors.New("malformed call or answer")

// ParseCall reads a call of the whole of b. Its arguments share b's memory.
func ParseCall(b []byte) (Call, error) {
	r := reader{b: b}
	c := r.call()
	if r.bad || len(r.b) > 0 {
		return Call{}, ErrWire
	}
	return c, nil
}

// Append appends the answer as bytes.
func (a Answer) Append(b []byte) []byte {
	if a.Err == nil {
		return append(append(b, 0), a.Value...)
	}
	b = append(b, 1, byte(len(a.Err.Kind)))
	b = append(b, a.Err.Kind...)
	return append(b, a.Err.Message...)
}

// ParseAnswer reads an answer of the whole of b. Its value shares b's memory.
func ParseAnswer(b []byte) (Answer, error) {
	r := reader{b: b}
	switch r.u8() {
	case 0:
		if !r.bad {
			return Answer{Value: r.b}, nil
		}
	case 1:
		kind := ErrorKind(r.take(int(r.u8())))
		if !r.bad {
			return Answer{Err: &Error{Kind: kind, Message: string(r.b)}}, nil
		}
	}
	return Answer{}, ErrWire
}

// A reader reads bytes from the front of b. It is bad after what was too short.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	head := r.b[:n:n]
	r.b = r.b[n:]
	return head
}

func (r *reader) u8() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if b := r.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.take(len(r.b) + 1)
		return 0
	}
	r.b = r.b[n:]
	return v
}

// text reads a text whose length is a uvarint.
func (r *reader) text() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.take(len(r.b) + 1)
		return nil
	}
	return r.take(int(n))
}

func (r *reader) call() Call {
	c := Call{Timeout: Forever}
	c.Kind = Kind(r.take(int(r.u8())))
	c.Op = string(r.take(int(r.u8())))
	c.Name = string(r.take(int(r.u16())))
	flags := r.u8()
	if flags&flagTimeout != 0 {
		seconds := math.Float64frombits(r.u64())
		c.Timeout = 0
		if seconds > 0 {
			c.Timeout = time.Duration(min(seconds, 1e9) * float64(time.Second))
		}
	}
	c.Company = flags&flagCompany != 0
	if flags&flagParams != 0 {
		p := &Params{Size: int64(r.u64())}
		p.Type = string(r.take(int(r.u8())))
		if initial := r.take(int(r.u32())); len(initial) > 0 {
			p.Initial = json.RawMessage(initial)
		}
		c.Params = p
	}
	if n := int(r.u8()); n > 0 && !r.bad {
		c.Args = make([]json.RawMessage, 0, n)
		for range n {
			c.Args = append(c.Args, r.take(int(r.u32())))
		}
	}
	return c
}
