package jobs

import "strings"

// An OrderKey is what a list of jobs is sorted by.
type OrderKey string

// The keys of lists of jobs.
const (
	ByCreated  OrderKey = "created"
	ByDuration OrderKey = "duration" // from the first task's start to the end, or to now
	ByFailures OrderKey = "failures" // tasks that failed
)

// An Order is how a list of jobs is sorted. The zero value is newest first.
type Order struct {
	Key       OrderKey // empty for ByCreated
	Ascending bool
}

// OrderNames lists what [ParseOrder] takes.
var OrderNames = []string{"-created", "created", "-duration", "duration", "-failures", "failures"}

// ParseOrder reads an order: a key, after - for descending. Empty is -created.
func ParseOrder(text string) (o Order, ok bool) {
	if text == "" {
		return o, true
	}
	key, descending := strings.CutPrefix(text, "-")
	o = Order{OrderKey(key), !descending}
	switch o.Key {
	case ByCreated:
		o.Key = ""
	case ByDuration, ByFailures:
	default:
		return Order{}, false
	}
	return o, true
}

// By is the order's key.
func (o Order) By() OrderKey {
	if o.Key == "" {
		return ByCreated
	}
	return o.Key
}

// String is o as [ParseOrder] reads it; empty for newest first.
func (o Order) String() string {
	switch {
	case o == Order{}:
		return ""
	case o.Ascending:
		return string(o.By())
	}
	return "-" + string(o.By())
}
