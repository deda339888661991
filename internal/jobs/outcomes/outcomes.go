package outcomes

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"github.com/allcores/allcores/internal/jobs"
	"iter"
	"math"
	"time"
)

// Encoded holds the outcomes of a span of tasks, as an executor sends them and the
// store keeps them.
type Encoded struct {
	First int64 // index of the first task
	Count int   // number of tasks, at least 1

	// Outputs has one line per task, each ended by '\n': the output as JSON
	// without a line break, or failureMark and the TaskError as JSON. Numbers
	// without a failure among them may be packed: see [Text].
	Outputs []byte
	// Failed are the offsets from First of the tasks that failed, ascending.
	Failed []int32
	// Durations has one duration code per task (see EncodeDuration), two bytes
	// each, little endian.
	Durations []byte
}

// Duration returns the wall time of the task at an offset; false where unknown.
func (r Encoded) Duration(offset int) (time.Duration, bool) {
	if 2*offset+1 >= len(r.Durations) {
		return 0, false
	}
	return DecodeDuration(binary.LittleEndian.Uint16(r.Durations[2*offset:])), true
}

// Without splits r into the outcomes that stay and the failed tasks that drop
// selects, both ascending. It calls drop for each failed task with its offset and
// line.
func (r Encoded) Without(drop func(offset int32, line Line) bool) (kept []Encoded, dropped []int32) {
	if len(r.Failed) == 0 {
		return []Encoded{r}, nil
	}
	var (
		from, begin int // offset of the next kept task, and where its line begins
		at, n       int // where the line begins, and the number of failed tasks before
		failed      []int32
	)
	keep := func(to, end int) {
		if from < to {
			kept = append(kept, Encoded{
				First: r.First + int64(from), Count: to - from, Failed: failed,
				Outputs: r.Outputs[begin:end], Durations: r.Durations[2*from : 2*to],
			})
		}
		failed = nil
	}
	for i, line := range Lines(r.Outputs) {
		end := at + len(line) + 1
		if n < len(r.Failed) && int(r.Failed[n]) == i {
			n++
			if drop(int32(i), line) {
				dropped = append(dropped, int32(i))
				keep(i, at)
				from, begin = i+1, end
			} else {
				failed = append(failed, int32(i-from))
			}
		}
		at = end
	}
	keep(r.Count, at)
	return kept, dropped
}

// failureMark begins the line of a failed task, and cancelMark is that of a cancelled
// one. No JSON value begins with either.
const (
	failureMark = '!'
	cancelMark  = '~'
)

// AppendFailure appends e as one line of Outputs.
func AppendFailure(dst []byte, e *jobs.TaskError) []byte {
	text, err := json.Marshal(e)
	if err != nil {
		panic(fmt.Sprintf("a TaskError is always JSON: %v", err))
	}
	dst = append(dst, failureMark)
	dst = append(dst, text...)
	return append(dst, '\n')
}

// Line is one line of Outputs, without its end.
type Line []byte

// Failed reports whether the line is of a failed task.
func (l Line) Failed() bool { return len(l) > 0 && l[0] == failureMark }

// Cancelled reports whether the line is of a task that was cancelled before it started.
func (l Line) Cancelled() bool { return len(l) > 0 && l[0] == cancelMark }

// State returns the state of the line's task.
func (l Line) State() jobs.TaskState {
	switch {
	case l.Failed():
		return jobs.TaskFailed
	case l.Cancelled():
		return jobs.TaskCancelled
	}
	return jobs.TaskSucceeded
}

// Value returns the output of a task that succeeded, or the TaskError of one that
// failed, as JSON. A cancelled task has none.
func (l Line) Value() []byte {
	switch {
	case l.Failed():
		return l[1:]
	case l.Cancelled():
		return nil
	}
	return l
}

// Lines yields the lines of Outputs with their offsets.
func Lines(outputs []byte) iter.Seq2[int, Line] {
	return func(yield func(int, Line) bool) {
		outputs := Text(outputs)
		for i := 0; len(outputs) > 0; i++ {
			end := bytes.IndexByte(outputs, '\n')
			if end < 0 {
				end = len(outputs)
			}
			if !yield(i, Line(outputs[:end])) {
				return
			}
			outputs = outputs[min(end+1, len(outputs)):]
		}
	}
}

// DurationScale is the number of codes per doubling: steps of 0.07 %.
const DurationScale = 1024

// EncodeDuration returns d as a code of 16 bits on a logarithmic scale:
// round(1024·log2(ns+1)), which covers 0 to 292 years in steps of 0.07 %.
// A negative d counts as 0.
func EncodeDuration(d time.Duration) uint16 {
	if d <= 0 {
		return 0
	}
	return uint16(min(math.Round(DurationScale*math.Log2(float64(d)+1)), math.MaxUint16))
}

// DecodeDuration returns the duration of a code made by EncodeDuration.
func DecodeDuration(code uint16) time.Duration {
	ns := math.Exp2(float64(code)/DurationScale) - 1
	if ns >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(math.Round(ns))
}
