package jobs

import "strings"

// An OrderKey is the sort key of a list of jobs.
type OrderKey string

// The sort keys.
const (
	ByCreated  OrderKey = "created"
	ByDuration OrderKey = "duration" // from the first task's start to the end, or to now
	ByFailures OrderKey = "failures" // tasks that failed
)

// An Order is the order of a list of jobs. The zero value is newest first.
type Order struct {
	Key       OrderKey // empty for ByCreated
	Ascending bool
}

// OrderNames lists the names that [ParseOrder] accepts.
var OrderNames = []string{"-created", "created", "-duration", "duration", "-failures", "failures"}

// ParseOrder parses an order: a key, with - before it for descending. Empty means
// -created.
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

// By returns the sort key.
func (o Order) By() OrderKey {
	if o.Key == "" {
		return ByCreated
	}
	return o.Key
}

// String returns the name of o; empty for newest first.
func (o Order) String() string {
	switch {
	case o == Order{}:
		return ""
	case o.Ascending:
		return string(o.By())
	}
	return "-" + string(o.By())
}
