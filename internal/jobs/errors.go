package jobs

import (
	"errors"
	"fmt"
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
}

// Invalid is the error of a submission that has violations.
type Invalid []Violation

func (v Invalid) Error() string {
	var b strings.Builder
	for i, x := range v {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s: %s", x.Location, x.Message)
	}
	return b.String()
}
