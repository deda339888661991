package shared

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// An array has a fixed number of elements of one of Python's typecodes, each as the
// bits of a float64, an integer in two's complement, or a code point.
type array struct {
	common
	neverWaits
	elements []uint64
}

// An elementType is a typecode of Python's array module.
type elementType struct {
	size     int64 // bytes that Python takes for it
	low      int64
	high     uint64
	float    bool
	text     bool
	unsigned bool
}

var elementTypes = map[string]elementType{
	"b": {size: 1, low: math.MinInt8, high: math.MaxInt8}, "B": {size: 1, high: math.MaxUint8, unsigned: true},
	"h": {size: 2, low: math.MinInt16, high: math.MaxInt16}, "H": {size: 2, high: math.MaxUint16, unsigned: true},
	"i": {size: 4, low: math.MinInt32, high: math.MaxInt32}, "I": {size: 4, high: math.MaxUint32, unsigned: true},
	"l": {size: 8, low: math.MinInt64, high: math.MaxInt64}, "L": {size: 8, high: math.MaxUint64, unsigned: true},
	"q": {size: 8, low: math.MinInt64, high: math.MaxInt64}, "Q": {size: 8, high: math.MaxUint64, unsigned: true},
	"f": {size: 4, float: true}, "d": {size: 8, float: true}, "u": {size: 4, text: true}, "w": {size: 4, text: true},
}

const typecodes = "b, B, h, H, i, I, l, L, q, Q, f, d, u, w"

func (a *array) fill(s *Space, initial json.RawMessage) *Error {
	t, ok := elementTypes[a.params.Type]
	if !ok {
		return errorf(ErrArgument, "there is no typecode %.40q; typecodes are %s", a.params.Type, typecodes)
	}
	var items []json.RawMessage
	if initial != nil {
		if err := json.Unmarshal(initial, &items); err != nil {
			return errorf(ErrArgument, "an array's initial value is a list")
		}
		if a.params.Size == 0 {
			a.params.Size = int64(len(items))
		}
		if a.params.Size != int64(len(items)) {
			return errorf(ErrArgument, "an array of size %d cannot begin with %d items", a.params.Size, len(items))
		}
	}
	if a.params.Size < 0 || a.params.Size > s.bounds.Bytes {
		return errorf(ErrBounds, "an array of size %d", a.params.Size)
	}
	if err := s.grow(&a.common, t.size*a.params.Size, 0); err != nil {
		return err
	}
	a.elements = make([]uint64, a.params.Size)
	for i, item := range items {
		var err *Error
		if a.elements[i], err = t.parse(item); err != nil {
			return err
		}
	}
	return nil
}

// parse reads an element.
func (t elementType) parse(item json.RawMessage) (uint64, *Error) {
	switch {
	case t.text:
		var text string
		if json.Unmarshal(item, &text) != nil || utf8.RuneCountInString(text) != 1 {
			return 0, errorf(ErrType, "%.40s is not a single character", item)
		}
		r, _ := utf8.DecodeRuneInString(text)
		return uint64(r), nil
	case t.float:
		f, err := strconv.ParseFloat(strings.Trim(string(item), `"`), 64)
		if err != nil && !math.IsInf(f, 0) {
			return 0, errorf(ErrType, "%.40s is not a number", item)
		}
		if t.size == 4 {
			f = float64(float32(f))
		}
		return math.Float64bits(f), nil
	case t.unsigned:
		n, err := strconv.ParseUint(string(item), 10, 64)
		if err != nil && !isInteger(item) {
			return 0, errorf(ErrType, "%.40s is not an integer", item)
		}
		if err != nil || n > t.high {
			return 0, errorf(ErrOverflow, "%.40s is not in 0 to %d", item, t.high)
		}
		return n, nil
	}
	n, err := strconv.ParseInt(string(item), 10, 64)
	if err != nil && !isInteger(item) {
		return 0, errorf(ErrType, "%.40s is not an integer", item)
	}
	if err != nil || n < t.low || n > int64(t.high) {
		return 0, errorf(ErrOverflow, "%.40s is not in %d to %d", item, t.low, t.high)
	}
	return uint64(n), nil
}

// isInteger reports whether a JSON document is an integer of any size.
func isInteger(item json.RawMessage) bool {
	digits := strings.TrimPrefix(string(item), "-")
	return digits != "" && strings.Trim(digits, "0123456789") == ""
}

// append appends an element as JSON. A float that JSON lacks is a text.
func (t elementType) append(b []byte, bits uint64) []byte {
	switch {
	case t.text:
		text, _ := json.Marshal(string(rune(bits)))
		return append(b, text...)
	case t.float:
		switch f := math.Float64frombits(bits); {
		case math.IsNaN(f):
			return append(b, `"NaN"`...)
		case math.IsInf(f, 1):
			return append(b, `"Infinity"`...)
		case math.IsInf(f, -1):
			return append(b, `"-Infinity"`...)
		default:
			return appendFloat(b, f)
		}
	case t.unsigned:
		return strconv.AppendUint(b, bits, 10)
	}
	return strconv.AppendInt(b, int64(bits), 10)
}

func (a *array) do(act *act) result {
	args, t := act.call.Args, elementTypes[a.params.Type]
	switch act.call.Op {
	case "len":
		return number(int64(len(a.elements)))
	case "slice":
		p, err := sliceOf(args, len(a.elements))
		if err != nil {
			return refuses(err)
		}
		return result{value: a.list(t, p)}
	case "set_slice":
		return a.setSlice(t, args)
	}
	i, err := index(args[0], len(a.elements))
	if err != nil {
		return refuses(err)
	}
	switch act.call.Op {
	case "set":
		bits, err := t.parse(args[1])
		if err != nil {
			return refuses(err)
		}
		a.elements[i] = bits
		return done
	case "add":
		if t.text {
			return fails(ErrType, "an array of characters has no add")
		}
		total, err := sum(t.append(nil, a.elements[i]), args[1])
		if err != nil {
			return refuses(err)
		}
		bits, err := t.parse(total)
		if err != nil {
			return refuses(err)
		}
		a.elements[i] = bits
	}
	return result{value: t.append(nil, a.elements[i])}
}

func (a *array) list(t elementType, p slice) json.RawMessage {
	b := []byte{'['}
	for i := range p.count {
		if i > 0 {
			b = append(b, ',')
		}
		b = t.append(b, a.elements[p.at(i)])
	}
	return append(b, ']')
}

func (a *array) setSlice(t elementType, args []json.RawMessage) result {
	p, err := sliceOf(args[:3], len(a.elements))
	if err != nil {
		return refuses(err)
	}
	var items []json.RawMessage
	if json.Unmarshal(args[3], &items) != nil {
		return fails(ErrType, "a slice is set to a list")
	}
	if len(items) != p.count {
		return fails(ErrValue, "a slice of %d elements cannot be set to %d: an array's size is fixed", p.count, len(items))
	}
	parsed := make([]uint64, len(items))
	for i, item := range items {
		if parsed[i], err = t.parse(item); err != nil {
			return refuses(err)
		}
	}
	for i, bits := range parsed {
		a.elements[p.at(i)] = bits
	}
	return done
}

func (a *array) show() json.RawMessage {
	return a.list(elementTypes[a.params.Type], slice{step: 1, count: len(a.elements)})
}
