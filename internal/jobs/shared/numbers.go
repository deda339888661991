package shared

import (
	"bytes"
	"encoding/json"
	"math"
	"math/big"
	"strconv"
)

// sum adds two JSON numbers as Python does: integers of any size exactly, others as
// floats.
func sum(a, b json.RawMessage) (json.RawMessage, *Error) {
	if len(a) < 18 && len(b) < 18 {
		x, errA := strconv.ParseInt(string(a), 10, 64)
		y, errB := strconv.ParseInt(string(b), 10, 64)
		if errA == nil && errB == nil {
			return strconv.AppendInt(nil, x+y, 10), nil
		}
	}
	for _, n := range []json.RawMessage{a, b} {
		if len(n) == 0 || n[0] != '-' && (n[0] < '0' || n[0] > '9') {
			return nil, errorf(ErrType, "%.40s is not a number", n)
		}
		if len(n) > 10_000 {
			return nil, errorf(ErrBounds, "a number of %d digits", len(n))
		}
	}
	if !bytes.ContainsAny(a, ".eE") && !bytes.ContainsAny(b, ".eE") {
		x, okA := new(big.Int).SetString(string(a), 10)
		y, okB := new(big.Int).SetString(string(b), 10)
		if okA && okB {
			return json.RawMessage(x.Add(x, y).String()), nil
		}
	}
	x, _ := strconv.ParseFloat(string(a), 64)
	y, _ := strconv.ParseFloat(string(b), 64)
	total := x + y
	if math.IsInf(total, 0) || math.IsNaN(total) {
		return nil, errorf(ErrOverflow, "%.40s plus %.40s is too large", a, b)
	}
	return appendFloat(nil, total), nil
}

// appendFloat appends a number that reads as a float: 2.0, not 2.
func appendFloat(b []byte, f float64) []byte {
	before := len(b)
	b = strconv.AppendFloat(b, f, 'g', -1, 64)
	if !bytes.ContainsAny(b[before:], ".e") {
		b = append(b, ".0"...)
	}
	return b
}

// integer reads a JSON integer.
func integer(a json.RawMessage) (int64, *Error) {
	n, err := strconv.ParseInt(string(a), 10, 64)
	if err != nil {
		return 0, errorf(ErrArgument, "%.40s is not an integer", a)
	}
	return n, nil
}

// count reads an optional argument that is a count.
func count(args []json.RawMessage, at int) (int64, *Error) {
	if at >= len(args) {
		return 1, nil
	}
	n, err := integer(args[at])
	if err == nil && n < 0 {
		err = errorf(ErrValue, "%d is negative", n)
	}
	return n, err
}

// index resolves an index of a sequence, negative from its end.
func index(a json.RawMessage, length int) (int, *Error) {
	i, err := integer(a)
	if err != nil {
		return 0, err
	}
	at := i
	if at < 0 {
		at += int64(length)
	}
	if at < 0 || at >= int64(length) {
		return 0, errorf(ErrIndex, "index %d is out of range: there are %d items", i, length)
	}
	return int(at), nil
}

// A slice is the resolved indexes of one of Python's slices.
type slice struct{ start, step, count int }

// at returns the i-th index.
func (p slice) at(i int) int { return p.start + i*p.step }

// sliceOf resolves up to three arguments as Python does for a sequence of a length.
func sliceOf(args []json.RawMessage, length int) (slice, *Error) {
	given := [3]*int64{}
	for i, a := range args {
		if i < 3 && string(a) != "null" {
			n, err := integer(a)
			if err != nil {
				return slice{}, err
			}
			given[i] = &n
		}
	}
	step := int64(1)
	if given[2] != nil {
		step = *given[2]
	}
	if step == 0 {
		return slice{}, errorf(ErrValue, "a slice's step cannot be zero")
	}
	step = max(step, -math.MaxInt32)
	step = min(step, math.MaxInt32)
	n := int64(length)
	low, high := int64(0), n
	if step < 0 {
		low, high = -1, n-1
	}
	bound := func(p *int64, absent int64) int64 {
		if p == nil {
			return absent
		}
		v := *p
		if v < 0 {
			v += n
		}
		return min(max(v, low), high)
	}
	var start, stop int64
	if step > 0 {
		start, stop = bound(given[0], low), bound(given[1], high)
	} else {
		start, stop = bound(given[0], high), bound(given[1], low)
	}
	size := int64(0)
	switch {
	case step > 0 && start < stop:
		size = (stop-start-1)/step + 1
	case step < 0 && start > stop:
		size = (start-stop-1)/-step + 1
	}
	return slice{int(start), int(step), int(size)}, nil
}
