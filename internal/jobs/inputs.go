package jobs

import (
	"encoding/json"
	"iter"
	"math"
	"math/bits"
	"strings"
)

// MaxInlineItems is how many inputs a submission may carry in inputs.items.
const MaxInlineItems = 10_000

// MaxTasks is how many tasks one job may have.
const MaxTasks = 1_000_000_000

// Inputs are a job's inputs as submitted: exactly one of its fields is set.
type Inputs struct {
	Items []json.RawMessage `json:"items,omitempty" maxItems:"10000" doc:"JSON values, one a task; at most 10,000 inline. Names are unique in an object."`
	Range *Range            `json:"range,omitempty" doc:"Whole numbers as Python's range; stored as three numbers."`
	Lines *string           `json:"lines,omitempty" doc:"Text; each line, without its LF or CRLF, is an input. A byte order mark is passed over."`
	Open  bool              `json:"open,omitempty" doc:"Inputs come later; the job ends only after it is sealed."`

	Stored *Stored `json:"-"` // they need not be carried: the database has them
}

// Stored is inputs that the database has already, so that their number does not
// matter to whoever submits.
type Stored struct {
	Kind  string // "items" or "lines"
	Count int64
	// From is the id of the job whose first Count inputs are taken; empty where
	// they were written under the new job's id before the job itself.
	From string
}

// A Range is the whole numbers Start, Start+Step, … up to but without Stop, as
// Python's range.
type Range struct {
	Start int64 `json:"start" default:"0"`
	Stop  int64 `json:"stop" required:"true"`
	Step  int64 `json:"step" default:"1"`
}

// UnmarshalJSON takes 1 for a step that is not given.
func (r *Range) UnmarshalJSON(data []byte) error {
	type plain Range
	p := plain{Step: 1}
	err := json.Unmarshal(data, &p)
	*r = Range(p) // also of bad input, for what else is wrong with it
	return err
}

// Len is the number of values in r, as Python's len(range(start, stop, step)).
// It is 0 when Step is 0, and math.MaxInt64 when the number is larger.
func (r Range) Len() int64 {
	var width, step uint64
	switch {
	case r.Step > 0 && r.Start < r.Stop:
		width, step = uint64(r.Stop)-uint64(r.Start), uint64(r.Step)
	case r.Step < 0 && r.Start > r.Stop:
		width, step = uint64(r.Start)-uint64(r.Stop), -uint64(r.Step)
	default:
		return 0
	}
	n, _ := bits.Div64(0, width-1, step)
	if n >= math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(n) + 1
}

// At is the value at index i of r; i must be below Len.
func (r Range) At(i int64) int64 { return r.Start + i*r.Step }

// InputsShape is what a job's answer tells of its inputs: everything but the
// values themselves.
type InputsShape struct {
	Kind  string `json:"kind" enum:"items,range,lines,open"`
	Count int64  `json:"count"`
	Range *Range `json:"range,omitempty"`
	Open  bool   `json:"open,omitempty" doc:"Still taking inputs."`
}

// Kind is the inputs' word: "items", "range", "lines" or "open".
func (in Inputs) Kind() string {
	switch {
	case in.Items != nil:
		return "items"
	case in.Range != nil:
		return "range"
	case in.Lines != nil:
		return "lines"
	case in.Open:
		return "open"
	case in.Stored != nil:
		return in.Stored.Kind
	}
	return ""
}

// Count is the number of tasks that the inputs make.
func (in Inputs) Count() int64 {
	switch {
	case in.Items != nil:
		return int64(len(in.Items))
	case in.Range != nil:
		return in.Range.Len()
	case in.Lines != nil:
		n := int64(0)
		for range in.lines() {
			n++
		}
		return n
	case in.Stored != nil:
		return in.Stored.Count
	}
	return 0
}

// Shape is in without its values.
func (in Inputs) Shape() InputsShape {
	return InputsShape{Kind: in.Kind(), Count: in.Count(), Range: in.Range, Open: in.Open}
}

// Values yields the inputs that must be stored, each as one line of compact
// JSON without a line break. A range yields nothing, as it is stored as three
// numbers; nor do inputs that are stored already.
func (in Inputs) Values() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for _, item := range in.Items {
			if !yield(item) {
				return
			}
		}
		if in.Lines == nil {
			return
		}
		for line := range in.lines() {
			if !yield(AppendString(nil, line)) {
				return
			}
		}
	}
}

// ByteOrderMark is what some editors begin a text with. It is no part of it.
const ByteOrderMark = "\uFEFF"

// lines yields the inputs of Lines.
func (in Inputs) lines() iter.Seq[string] {
	return SplitLines(strings.TrimPrefix(*in.Lines, ByteOrderMark))
}

// SplitLines yields the lines of text without their line ends (LF or CRLF). A
// last line end does not begin another line.
func SplitLines(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for len(text) > 0 {
			line, rest, _ := strings.Cut(text, "\n")
			if !yield(strings.TrimSuffix(line, "\r")) {
				return
			}
			text = rest
		}
	}
}
