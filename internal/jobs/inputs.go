package jobs

import (
	"encoding/json"
	"iter"
	"math"
	"math/bits"
	"strings"
	"time"
)

// MaxInlineItems is the most inputs in inputs.items.
const MaxInlineItems = 10_000

// Bounds of Inputs.IdleSeal.
const (
	MinIdleSeal = time.Second
	MaxIdleSeal = 30 * 24 * time.Hour
)

// MaxTasks is the most tasks of a job.
const MaxTasks = 1_000_000_000

// Inputs are a job's inputs as submitted: exactly one of Items, Range, Lines, Open and
// Stored is set.
type Inputs struct {
	Items []json.RawMessage `json:"items,omitempty" maxItems:"10000" doc:"JSON values, one per task; at most 10,000 inline. Names are unique in an object."`
	Range *Range            `json:"range,omitempty" doc:"Whole numbers as Python's range; stored as three numbers."`
	Lines *string           `json:"lines,omitempty" doc:"Text; each line, without its LF or CRLF, is an input. A byte order mark is skipped."`
	Open  bool              `json:"open,omitempty" doc:"Inputs come later; the job ends only after it is sealed."`

	IdleSeal *Duration `json:"idle_seal,omitempty" doc:"Of an open job: it is sealed when nothing was appended to it, nor was it kept alive, for that long; 1s to 720h."`

	Stored *Stored `json:"-"` // the database already has them
}

// Stored describes inputs that the database already has, so a submission costs
// the same whatever their number.
type Stored struct {
	Kind  string // "items" or "lines"
	Count int64
	// From is the id of the job whose first Count inputs are copied. It is empty
	// for inputs that were written under the new job's id before the job.
	From string
}

// A Range is the whole numbers Start, Start+Step, … up to Stop (exclusive), as
// Python's range.
type Range struct {
	Start int64 `json:"start" default:"0"`
	Stop  int64 `json:"stop" required:"true"`
	Step  int64 `json:"step" default:"1"`
}

// UnmarshalJSON defaults Step to 1.
func (r *Range) UnmarshalJSON(data []byte) error {
	type plain Range
	p := plain{Step: 1}
	err := json.Unmarshal(data, &p)
	*r = Range(p) // also of bad input, so that its other violations are found
	return err
}

// Len returns the number of values in r, as Python's len(range(start, stop, step)).
// It returns 0 when Step is 0, and at most math.MaxInt64.
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

// At returns the value at index i, which must be below Len.
func (r Range) At(i int64) int64 { return r.Start + i*r.Step }

// InputsShape describes a job's inputs in answers, without their values.
type InputsShape struct {
	Kind  string `json:"kind" enum:"items,range,lines,open"`
	Count int64  `json:"count"`
	Range *Range `json:"range,omitempty"`
	Open  bool   `json:"open,omitempty" doc:"Still taking inputs."`

	IdleSeal   *Duration `json:"idle_seal,omitempty" doc:"An open job is sealed after that long without inputs."`
	IdleSealed bool      `json:"idle_sealed,omitempty" doc:"The job was sealed because no inputs came, nor was it kept alive, for idle_seal."`
}

// Kind returns "items", "range", "lines" or "open".
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

// Count returns the number of tasks of the inputs.
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

// Shape returns in without its values.
func (in Inputs) Shape() InputsShape {
	return InputsShape{Kind: in.Kind(), Count: in.Count(), Range: in.Range, Open: in.Open, IdleSeal: in.IdleSeal}
}

// Values yields the inputs to store, each as one line of compact JSON without a
// line break. It yields nothing for a range, which is stored as three numbers, and
// for inputs that are already stored.
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

// ByteOrderMark begins the text files of some editors. It is no part of the text.
const ByteOrderMark = "\uFEFF"

// lines yields the inputs of Lines.
func (in Inputs) lines() iter.Seq[string] {
	return SplitLines(strings.TrimPrefix(*in.Lines, ByteOrderMark))
}

// SplitLines yields the lines of text without their line ends (LF or CRLF). A line
// end at the end of text does not begin another line.
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
