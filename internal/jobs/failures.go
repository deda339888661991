package jobs

import (
	"fmt"
	"strconv"
	"strings"
)

// A FailureGroup is failures of a job with the same kind, type, frame and pattern,
// so presumably with one cause.
type FailureGroup struct {
	ID         GroupID   `json:"id"`
	Kind       ErrorKind `json:"kind" enum:"exception,exit,timeout,memory,crash,lost"`
	Type       string    `json:"type"`
	Message    string    `json:"message" doc:"The message of the first failure."`
	Pattern    string    `json:"pattern" doc:"The message with numbers, quoted text, paths and the like masked."`
	Frame      *Frame    `json:"frame,omitempty" doc:"Where the program raised it: the innermost call in its own source; absent where unknown."`
	Count      int64     `json:"count"`
	FirstIndex int64     `json:"first_index"`
	// Example is the failure of the task at FirstIndex.
	Example  *TaskError `json:"example" doc:"The failure of the task at first_index."`
	Messages []Message  `json:"messages" nullable:"false" doc:"Different messages of the group, at most 5."`
}

// A Message is the message of one failure of a group.
type Message struct {
	Index int64  `json:"index" doc:"The task that failed with it."`
	Text  string `json:"text"`
}

// A Frame is a place in the program's source.
type Frame struct {
	File     string `json:"file"`
	Line     int    `json:"line"`
	Function string `json:"function"`
}

func (f *Frame) String() string {
	if f == nil {
		return ""
	}
	return f.File + ":" + strconv.Itoa(f.Line) + " in " + f.Function
}

// A GroupID identifies a group of failures within its job. Its high half hashes
// the place: kind, type and frame; its low half hashes the pattern. A low half of
// 0 is the group of the other failures at the place, and 0 that of all others.
type GroupID uint64

// Other returns the group of the further failures at the place of g.
func (g GroupID) Other() GroupID { return g &^ (1<<32 - 1) }

func (g GroupID) String() string { return fmt.Sprintf("%016x", uint64(g)) }

// MarshalText returns String.
func (g GroupID) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// UnmarshalText parses what String returns.
func (g *GroupID) UnmarshalText(text []byte) error {
	id, err := ParseGroupID(string(text))
	*g = id
	return err
}

// ParseGroupID parses what String returns.
func ParseGroupID(text string) (GroupID, error) {
	n, err := strconv.ParseUint(text, 16, 64)
	if err != nil || len(text) != 16 {
		return 0, fmt.Errorf("%q is not the id of a group of failures: %w", text, ErrNotFound)
	}
	return GroupID(n), nil
}

// A Grouping is the group of a failure, and what it follows from.
type Grouping struct {
	ID      GroupID
	Pattern string
	Frame   *Frame
}

// GroupingVersion changes when Group returns something else for the same failure,
// so that stored groups are computed anew.
const GroupingVersion = 1

// LinesBefore separates, in a command's message, its last line on standard error
// from the lines before, which do not count for the group.
const LinesBefore = "\n\nbefore it:\n"

// Group returns the group of a failure. It depends on the failure alone.
func Group(e *TaskError) Grouping {
	message, _, _ := strings.Cut(e.Message, LinesBefore)
	g := Grouping{Pattern: Mask(message), Frame: userFrame(e)}
	g.ID = GroupID(uint64(hash32(string(e.Kind), e.Type, g.Frame.String()))<<32 | uint64(hash32(g.Pattern)))
	return g
}

// hash32 returns a hash of texts that is never 0.
func hash32(texts ...string) uint32 {
	// FNV-1a of 64 bits, without copies of the texts.
	sum := uint64(14695981039346656037)
	for _, text := range texts {
		for i := range len(text) {
			sum = (sum ^ uint64(text[i])) * 1099511628211
		}
		sum *= 1099511628211
	}
	return max(uint32(sum>>32^sum), 1)
}

// programFile is the name of the program's source in tracebacks.
const programFile = "program.py"

// userFrame finds the innermost frame of the program's own source: the last one
// that a traceback names, or the first of a stack, which begins at its inner
// end. It is nil where there is none.
func userFrame(e *TaskError) *Frame {
	if e.Traceback == "" {
		return nil
	}
	trace, last := e.Traceback, !strings.Contains(e.Traceback, "(most recent call first)")
	if message := strings.TrimSpace(e.Message); message != "" {
		// A message may look like a traceback.
		if i := strings.LastIndex(trace, message); i > 0 {
			trace = trace[:i]
		}
	}
	const begin = `File "` + programFile + `", line `
	for {
		i := strings.Index(trace, begin)
		if last {
			i = strings.LastIndex(trace, begin)
		}
		if i < 0 {
			return nil
		}
		line, _, _ := strings.Cut(trace[i+len(begin):], "\n")
		number, function, ok := strings.Cut(line, " in ")
		n, err := strconv.Atoi(strings.TrimSuffix(number, ","))
		before := trace[strings.LastIndexByte(trace[:i], '\n')+1 : i]
		if ok && err == nil && strings.Trim(before, " |") == "" {
			return &Frame{File: programFile, Line: n, Function: function}
		}
		if last {
			trace = trace[:i]
		} else {
			trace = trace[i+len(begin):]
		}
	}
}
