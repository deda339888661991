package jobs

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"time"
)

// An ErrorKind says what ended a failed task.
type ErrorKind string

// The kinds of failure.
const (
	KindException ErrorKind = "exception" // the function raised, or its output is not JSON
	KindExit      ErrorKind = "exit"      // the command ended with an exit code that is not ok
	KindTimeout   ErrorKind = "timeout"   // still running after the policy's timeout
	KindMemory    ErrorKind = "memory"    // took more than the memory limit
	KindCrash     ErrorKind = "crash"     // its process died under it
	KindLost      ErrorKind = "lost"      // its node was lost with it, again and again
)

// ErrorKinds are all kinds of failure.
var ErrorKinds = []ErrorKind{KindException, KindExit, KindTimeout, KindMemory, KindCrash, KindLost}

// A TaskError is why a task failed.
type TaskError struct {
	Kind      ErrorKind `json:"kind" enum:"exception,exit,timeout,memory,crash,lost"`
	Type      string    `json:"type" doc:"The exception's class, exit 3, SIGSEGV and the like."`
	Message   string    `json:"message"`
	Traceback string    `json:"traceback,omitempty" doc:"Trimmed to the frames of the user's source."`
	// Output is what a command had printed before it failed, when there is any.
	Output string `json:"output,omitempty" doc:"What a command had printed, capped."`
}

func (e *TaskError) Error() string { return fmt.Sprintf("%s: %s: %s", e.Kind, e.Type, e.Message) }

// A TaskState is where one task is in its life.
type TaskState string

// The states of a task. The last three are outcomes.
const (
	TaskWaiting   TaskState = "waiting"
	TaskRunning   TaskState = "running"
	TaskSucceeded TaskState = "succeeded"
	TaskFailed    TaskState = "failed"
	TaskCancelled TaskState = "cancelled"
)

// A Span is neighbouring tasks: First, First+1, … First+Count-1.
type Span struct {
	First int64
	Count int
}

// A Run is the outcomes of neighbouring tasks, as an executor reports them and
// the store keeps them.
type Run struct {
	First int64 // index of the first task
	Count int   // number of tasks, at least 1

	// Outputs has one line a task, each ended by '\n': the output as JSON
	// without a line break, or failureMark and the TaskError as JSON. Numbers
	// without a failure among them may be packed: see [Text].
	Outputs []byte
	// Failed are the offsets from First of the tasks that failed, ascending.
	Failed []int32
	// Durations has one duration code (see EncodeDuration) a task, two bytes
	// each, little endian.
	Durations []byte
}

// Duration is how long the task at an offset took; false where that is not known.
func (r Run) Duration(offset int) (time.Duration, bool) {
	if 2*offset+1 >= len(r.Durations) {
		return 0, false
	}
	return DecodeDuration(binary.LittleEndian.Uint16(r.Durations[2*offset:])), true
}

// Without splits r into what stays and the failed tasks that drop picks, both
// ascending. drop is asked of each failed task, by its offset and line.
func (r Run) Without(drop func(offset int32, line Line) bool) (kept []Run, dropped []int32) {
	if len(r.Failed) == 0 {
		return []Run{r}, nil
	}
	var (
		from, begin int // of what is kept next: its offset, and where its line begins
		at, n       int // where the line begins, and how many failed ones came before
		failed      []int32
	)
	keep := func(to, end int) {
		if from < to {
			kept = append(kept, Run{
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

// failureMark begins the line of a failed task. No JSON value begins with it.
const failureMark = '!'

// AppendFailure appends e as one line of a Run's Outputs.
func AppendFailure(dst []byte, e *TaskError) []byte {
	text, err := json.Marshal(e)
	if err != nil {
		panic(fmt.Sprintf("a TaskError is always JSON: %v", err))
	}
	dst = append(dst, failureMark)
	dst = append(dst, text...)
	return append(dst, '\n')
}

// Line is one line of a Run's Outputs, without its end.
type Line []byte

// Failed reports whether the line is of a failed task.
func (l Line) Failed() bool { return len(l) > 0 && l[0] == failureMark }

// Value is the output of a task that succeeded, or the TaskError of one that
// failed, as JSON.
func (l Line) Value() []byte {
	if l.Failed() {
		return l[1:]
	}
	return l
}

// Lines yields the lines of a Run's Outputs with their offsets.
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

// durationScale is the number of codes a doubling: steps of 0.07 %.
const durationScale = 1024

// EncodeDuration is d as a code of 16 bits on a logarithmic scale:
// round(1024·log2(ns+1)), which covers 0 to 292 years in steps of 0.07 %.
// A negative d counts as 0.
func EncodeDuration(d time.Duration) uint16 {
	if d <= 0 {
		return 0
	}
	return uint16(min(math.Round(durationScale*math.Log2(float64(d)+1)), math.MaxUint16))
}

// DecodeDuration is the duration of a code made by EncodeDuration.
func DecodeDuration(code uint16) time.Duration {
	ns := math.Exp2(float64(code)/durationScale) - 1
	if ns >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(math.Round(ns))
}

// A LogLine is one line that a task printed.
type LogLine struct {
	Task   int64  `json:"task"`
	Stream string `json:"stream" enum:"stdout,stderr"`
	Line   string `json:"line"`
	At     Time   `json:"at" format:"date-time"`
}

// A Bar is one chunk on a job's timeline.
type Bar struct {
	Chunk      int64   `json:"chunk" doc:"Number of its lease; grows in the order of the claims."`
	Node       string  `json:"node" doc:"Host of the node."`
	NodeID     string  `json:"node_id"`
	Core       *int    `json:"core" doc:"The core that it was pinned to; null without."`
	Lane       int     `json:"lane"`
	First      int64   `json:"first"`
	Count      int     `json:"count"`
	State      string  `json:"state" enum:"leased,done,lost" doc:"lost: its node died, and its tasks were claimed again."`
	Failed     int     `json:"failed"`
	StartedAt  Time    `json:"started_at" format:"date-time"`
	FinishedAt *Time   `json:"finished_at" format:"date-time" nullable:"true"`
	UserMS     float64 `json:"user_ms" doc:"CPU time in user mode."`
	SystemMS   float64 `json:"system_ms" doc:"CPU time in the kernel."`
	TasksMS    float64 `json:"tasks_ms" doc:"Wall time inside tasks, added up."`
	MovingMS   float64 `json:"moving_ms" doc:"Decoding inputs, encoding and moving outputs."`
	WaitingMS  float64 `json:"waiting_ms" doc:"The turn's wait for its slot, in the line too, on its first chunk."`
	PeakMemory int64   `json:"peak_memory_bytes" doc:"Most that the process had resident; 0 when it is not known, as of a command that had less than the node's own program."`
}

// An Attempt is a failed run of a task that was followed by another.
type Attempt struct {
	Attempt int        `json:"attempt" doc:"From 1; the same again where its process died and that was not yet held against it."`
	Error   *TaskError `json:"error"`

	StartedAt  *Time    `json:"started_at" format:"date-time" nullable:"true"`
	DurationMS *float64 `json:"duration_ms"`
	Node       string   `json:"node,omitempty" doc:"Host of the node that ran it."`
	NodeID     string   `json:"node_id,omitempty"`
	Core       *int     `json:"core" doc:"The core that it ran on; null where it was not pinned."`
}

// A Task is one input of a job and what became of it.
type Task struct {
	Job        string          `json:"job" format:"uuid"`
	Index      int64           `json:"index"`
	State      TaskState       `json:"state" enum:"waiting,running,succeeded,failed,cancelled"`
	Input      json.RawMessage `json:"input"`
	Output     json.RawMessage `json:"output,omitempty"`
	Error      *TaskError      `json:"error,omitempty"`
	Traceback  string          `json:"traceback,omitempty"`
	Attempts   int             `json:"attempts"`
	Earlier    []Attempt       `json:"earlier_attempts" nullable:"false" doc:"Failed runs that were followed by another, also those whose process was killed."`
	Node       string          `json:"node,omitempty" doc:"Host of the node that ran it."`
	NodeID     string          `json:"node_id,omitempty"`
	Core       *int            `json:"core" doc:"The core that it ran on; null where it was not pinned or has not run."`
	StartedAt  *Time           `json:"started_at" format:"date-time" nullable:"true"`
	DurationMS *float64        `json:"duration_ms"`
	Logs       []LogLine       `json:"logs" nullable:"false"`
}

// A TaskRow is a task in a list: Input and Output have their beginnings at most.
type TaskRow struct {
	Task
	InputBytes, OutputBytes int64 // of the whole
}
