package shared

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// A class says what a journal does with an operation's answer.
type class uint8

const (
	reads   class = iota // changes nothing; forgotten at the end of a journal
	changes              // has an effect, which counts once
	holds                // acquires or releases a lock; made really by each execution
)

// An operation describes what an operation takes and does.
type operation struct {
	class    class
	min, max int // arguments
	waits    bool
}

func op(c class, args ...int) operation {
	o := operation{class: c}
	if len(args) > 0 {
		o.min, o.max = args[0], args[0]
	}
	if len(args) > 1 {
		o.max = args[1]
	}
	return o
}

func (o operation) waiting() operation {
	o.waits = true
	return o
}

// operations are the operations by kind, without make and remove.
var operations = map[Kind]map[string]operation{
	Queue: {
		"put": op(changes, 1).waiting(), "get": op(changes).waiting(), "size": op(reads), "empty": op(reads), "full": op(reads),
		"task_done": op(changes), "join": op(reads).waiting(),
	},
	Pipe: {
		"send": op(changes, 2), "recv": op(changes, 1).waiting(), "poll": op(reads, 1).waiting(), "close": op(changes, 1),
	},
	Value: {"get": op(reads), "set": op(changes, 1), "add": op(changes, 1), "compare_exchange": op(changes, 2)},
	Array: {
		"get": op(reads, 1), "set": op(changes, 2), "add": op(changes, 2), "slice": op(reads, 0, 3), "set_slice": op(changes, 4), "len": op(reads),
	},
	Dict: {
		"get": op(reads, 1), "set": op(changes, 2), "delete": op(changes, 1), "pop": op(changes, 1), "setdefault": op(changes, 2),
		"popitem": op(changes), "update": op(changes, 1), "add": op(changes, 2), "keys": op(reads), "values": op(reads), "items": op(reads),
		"contains": op(reads, 1), "len": op(reads), "clear": op(changes),
	},
	List: {
		"append": op(changes, 1), "extend": op(changes, 1), "insert": op(changes, 2), "pop": op(changes, 0, 1), "get": op(reads, 1),
		"set": op(changes, 2), "delete": op(changes, 1), "slice": op(reads, 0, 3), "set_slice": op(changes, 4), "del_slice": op(changes, 3),
		"index": op(reads, 1, 3), "count": op(reads, 1), "contains": op(reads, 1), "remove": op(changes, 1), "reverse": op(changes),
		"clear": op(changes), "assign": op(changes, 1), "len": op(reads),
	},
	Lock:      {"acquire": op(holds).waiting(), "release": op(holds), "locked": op(reads)},
	Event:     {"set": op(changes), "clear": op(changes), "is_set": op(reads), "wait": op(reads).waiting()},
	Semaphore: {"acquire": op(changes).waiting(), "release": op(changes, 0, 1), "value": op(reads)},
	Condition: {
		"acquire": op(holds).waiting(), "release": op(holds), "wait": op(changes).waiting(), "notify": op(changes, 0, 1), "notify_all": op(changes),
	},
	Barrier: {"wait": op(changes).waiting(), "abort": op(changes), "reset": op(changes), "state": op(reads)},
}

// Kinds lists the kinds by name.
func Kinds() []Kind { return slices.Sorted(maps.Keys(operations)) }

// lookUp returns the operation of a call, which is none of make and remove.
func lookUp(c *Call) (operation, *Error) {
	of, ok := operations[c.Kind]
	if !ok {
		return operation{}, errorf(ErrArgument, "there is no kind %q; kinds are %s", c.Kind, join(Kinds()))
	}
	o, ok := of[c.Op]
	if !ok {
		return o, errorf(ErrArgument, "a %s has no operation %q; it has %s", c.Kind, c.Op, join(slices.Sorted(maps.Keys(of))))
	}
	if n := len(c.Args); n < o.min || n > o.max {
		want := fmt.Sprint(o.min)
		if o.max > o.min {
			want = fmt.Sprintf("%d to %d", o.min, o.max)
		}
		return o, errorf(ErrArgument, "%s of a %s takes %s arguments, not %d", c.Op, c.Kind, want, n)
	}
	return o, nil
}

func join[T ~string](list []T) string {
	texts := make([]string, len(list))
	for i, t := range list {
		texts[i] = string(t)
	}
	return strings.Join(texts, ", ")
}

// check checks what a call says by itself: names, lengths and JSON.
func (b *Bounds) check(c *Call) (operation, *Error) {
	if len(c.Name) > b.Name {
		return operation{}, errorf(ErrBounds, "the name has %d bytes; at most %d are allowed", len(c.Name), b.Name)
	}
	if c.Name == "" || !utf8.ValidString(c.Name) || strings.ContainsRune(c.Name, 0) {
		return operation{}, errorf(ErrArgument, "the name %.40q of a shared object must be text and not empty", c.Name)
	}
	for i, a := range c.Args {
		if !isJSON(a) {
			return operation{}, errorf(ErrArgument, "argument %d of %s is not a JSON document", i+1, c.Op)
		}
	}
	if c.Params != nil {
		if c.Params.Initial != nil && !isJSON(c.Params.Initial) {
			return operation{}, errorf(ErrArgument, "the initial value is not a JSON document")
		}
	}
	switch c.Op {
	case OpMake, OpRemove:
		if _, ok := operations[c.Kind]; !ok && c.Op == OpMake {
			return operation{}, errorf(ErrArgument, "there is no kind %q; kinds are %s", c.Kind, join(Kinds()))
		}
		return operation{class: reads}, nil
	}
	return lookUp(c)
}

// isJSON is json.Valid with a short way for integers.
func isJSON(b []byte) bool {
	if n := len(b); n > 0 && n < 16 && b[0] >= '1' && b[0] <= '9' {
		digits := 1
		for digits < n && b[digits] >= '0' && b[digits] <= '9' {
			digits++
		}
		if digits == n {
			return true
		}
	}
	return json.Valid(b)
}
