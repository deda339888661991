package jobs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Errors that callers handle. Test with errors.Is.
var (
	ErrNotFound    = errors.New("not found")     // does not exist, or belongs to another user
	ErrConflict    = errors.New("conflict")      // impossible in the present state
	ErrForbidden   = errors.New("forbidden")     // the role does not allow it
	ErrUnavailable = errors.New("not available") // the database does not answer; try again
)

// A Violation is one error in what a user sent.
type Violation struct {
	Location string // dotted path from the submission's root, such as program.python.function
	Message  string // a sentence for the user
	Value    any    // the value sent, where that helps; else nil

	// More is the number of violations that a list leaves out. Only the last
	// element has it, and no other field.
	More int
}

// MaxViolations is the number of violations in a list; further ones are only
// counted.
const MaxViolations = 20

// Bounds in bytes of a listed violation.
const (
	maxLocation = 200
	maxMessage  = 500
)

// Invalid is the error of an invalid submission: its violations.
type Invalid []Violation

// Add appends a violation, or counts it once MaxViolations are listed.
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

// Has reports whether a violation has the location.
func (v Invalid) Has(location string) bool {
	location = Cut(location, maxLocation)
	return slices.ContainsFunc(v, func(x Violation) bool { return x.More == 0 && x.Location == location })
}

// Brief returns v bounded as by Add: at most MaxViolations, and the number of
// further ones.
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

// Cut returns text if it has at most that many bytes, else its beginning with an
// ellipsis.
func Cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
