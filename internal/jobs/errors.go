package jobs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Kinds of error that a caller can do something about. Test with errors.Is.
var (
	ErrNotFound    = errors.New("not found")     // there is none, or it belongs to someone else
	ErrConflict    = errors.New("conflict")      // impossible in the present state
	ErrForbidden   = errors.New("forbidden")     // the role is too small
	ErrUnavailable = errors.New("not available") // the database does not answer; try again
)

// A Violation is one thing wrong with what a user sent.
type Violation struct {
	Location string // dotted path from the submission's root, such as program.python.function
	Message  string // a sentence for the user
	Value    any    // what was given, where that helps; else nil

	// More is how many further violations a list has left out. Only its last
	// element has it, and nothing else.
	More int
}

// MaxViolations is how many violations are listed; of further ones only the
// number is kept.
const MaxViolations = 20

// Bounds in bytes of what a listed violation shows of what a user sent.
const (
	maxLocation = 200
	maxMessage  = 500
)

// Invalid is the error of a submission that has violations.
type Invalid []Violation

// Add adds a violation, or counts it where MaxViolations are listed.
func (v *Invalid) Add(x Violation) {
	switch more := max(x.More, 1); {
	case x.More == 0 && !v.Full():
		x.Location, x.Message = Cut(x.Location, maxLocation), Cut(x.Message, maxMessage)
		*v = append(*v, x)
	case len(*v) > 0 && (*v)[len(*v)-1].More > 0:
		(*v)[len(*v)-1].More += more
	default:
		*v = append(*v, Violation{More: more})
	}
}

// Full reports whether further violations are only counted.
func (v Invalid) Full() bool { return len(v) >= MaxViolations || len(v) > 0 && v[len(v)-1].More > 0 }

// Has reports whether there is a violation at a location.
func (v Invalid) Has(location string) bool {
	location = Cut(location, maxLocation)
	return slices.ContainsFunc(v, func(x Violation) bool { return x.More == 0 && x.Location == location })
}

// Brief is v bounded as by Add: at most MaxViolations, and how many more there
// are.
func (v Invalid) Brief() (listed Invalid, more int) {
	var brief Invalid
	for _, x := range v {
		brief.Add(x)
	}
	if n := len(brief); n > 0 && brief[n-1].More > 0 {
		return brief[:n-1], brief[n-1].More
	}
	return brief, 0
}

func (v Invalid) Error() string {
	listed, more := v.Brief()
	var b strings.Builder
	for i, x := range listed {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s: %s", x.Location, x.Message)
	}
	if more > 0 {
		fmt.Fprintf(&b, "; and %d more", more)
	}
	return b.String()
}

// Cut is text if it has at most so many bytes, else its beginning and an
// ellipsis.
func Cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
