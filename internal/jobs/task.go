package jobs

import (
	"encoding/json"
	"fmt"
)

// An ErrorKind is the kind of a failure.
type ErrorKind string

// The kinds of failure.
const (
	KindException ErrorKind = "exception" // the function raised, or its output is not JSON
	KindExit      ErrorKind = "exit"      // the command ended with an exit code that is not ok
	KindTimeout   ErrorKind = "timeout"   // still running after the policy's timeout
	KindMemory    ErrorKind = "memory"    // took more than the memory limit
	KindCrash     ErrorKind = "crash"     // its process died while it ran
	KindLost      ErrorKind = "lost"      // nodes were lost while it ran, too often
)

// ErrorKinds lists the kinds.
var ErrorKinds = []ErrorKind{KindException, KindExit, KindTimeout, KindMemory, KindCrash, KindLost}

// A TaskError is why a task failed.
type TaskError struct {
	Kind      ErrorKind `json:"kind" enum:"exception,exit,timeout,memory,crash,lost"`
	Type      string    `json:"type" doc:"The exception's class, exit 3, SIGSEGV and the like."`
	Message   string    `json:"message"`
	Traceback string    `json:"traceback,omitempty" doc:"Trimmed to the frames of the user's source."`
	// Output is the text that a command printed before it failed.
	Output string `json:"output,omitempty" doc:"What a command printed, shortened."`
	// Payload is the text in the exception's attribute __allcores_payload__. Nothing
	// here reads it. It is at most 4 MiB of UTF-8; PayloadDropped marks a larger one.
	PayloadDropped bool   `json:"payload_dropped,omitempty" doc:"The payload was larger than 4 MiB, or could not be read, and is not kept."`
	Payload        string `json:"payload,omitempty" doc:"Text that the exception carries for who submitted the job, in its attribute __allcores_payload__: at most 4 MiB, not interpreted. Groups of failures and earlier attempts do not have it."`
}

func (e *TaskError) Error() string { return fmt.Sprintf("%s: %s: %s", e.Kind, e.Type, e.Message) }

// A TaskState is the state of a task.
type TaskState string

// The states of a task. The last three are outcomes.
const (
	TaskWaiting   TaskState = "waiting"
	TaskRunning   TaskState = "running"
	TaskSucceeded TaskState = "succeeded"
	TaskFailed    TaskState = "failed"
	TaskCancelled TaskState = "cancelled"
)

// A Span is neighbouring task indexes: First, First+1, … First+Count-1.
type Span struct {
	First int64
	Count int
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
	Chunk      int64   `json:"chunk" doc:"Number of its lease; it grows in the order of the claims."`
	Node       string  `json:"node" doc:"Host of the node."`
	NodeID     string  `json:"node_id"`
	Core       *int    `json:"core" doc:"The core that it was pinned to; null for none."`
	Lane       int     `json:"lane"`
	First      int64   `json:"first"`
	Count      int     `json:"count"`
	State      string  `json:"state" enum:"leased,done,lost" doc:"lost: its node died, and other lanes claimed its tasks."`
	Failed     int     `json:"failed"`
	StartedAt  Time    `json:"started_at" format:"date-time"`
	FinishedAt *Time   `json:"finished_at" format:"date-time" nullable:"true"`
	UserMS     float64 `json:"user_ms" doc:"CPU time in user mode."`
	SystemMS   float64 `json:"system_ms" doc:"CPU time in the kernel."`
	TasksMS    float64 `json:"tasks_ms" doc:"Sum of the wall time of its tasks."`
	MovingMS   float64 `json:"moving_ms" doc:"Decoding inputs, encoding and moving outputs."`
	WaitingMS  float64 `json:"waiting_ms" doc:"On the first chunk of a turn: the turn's wait for its slot."`
	PeakMemory int64   `json:"peak_memory_bytes" doc:"Most resident memory of the process; 0 where unknown, as for a command that used less than the node's own program."`
}

// An Attempt is a failed run of a task that another run followed.
type Attempt struct {
	Attempt int        `json:"attempt" doc:"From 1; repeated where its process died and the task was not yet to blame."`
	Error   *TaskError `json:"error"`

	StartedAt  *Time    `json:"started_at" format:"date-time" nullable:"true"`
	DurationMS *float64 `json:"duration_ms"`
	Node       string   `json:"node,omitempty" doc:"Host of the node that ran it."`
	NodeID     string   `json:"node_id,omitempty"`
	Core       *int     `json:"core" doc:"The core that it was pinned to; null for none."`
}

// A Task is one input of a job and its outcome.
type Task struct {
	Job        string          `json:"job" format:"uuid"`
	Index      int64           `json:"index"`
	State      TaskState       `json:"state" enum:"waiting,running,succeeded,failed,cancelled"`
	Input      json.RawMessage `json:"input"`
	Output     json.RawMessage `json:"output,omitempty"`
	Error      *TaskError      `json:"error,omitempty"`
	Traceback  string          `json:"traceback,omitempty"`
	Attempts   int             `json:"attempts"`
	Earlier    []Attempt       `json:"earlier_attempts" nullable:"false" doc:"Failed runs that another run followed, also those whose process was killed."`
	Node       string          `json:"node,omitempty" doc:"Host of the node that ran it."`
	NodeID     string          `json:"node_id,omitempty"`
	Core       *int            `json:"core" doc:"The core that it was pinned to; null for none, or before it ran."`
	StartedAt  *Time           `json:"started_at" format:"date-time" nullable:"true"`
	DurationMS *float64        `json:"duration_ms"`
	Logs       []LogLine       `json:"logs" nullable:"false"`
}

// A TaskRow is a task in a list. Input and Output may be cut.
type TaskRow struct {
	Task
	InputBytes, OutputBytes int64 // of the whole
}
