package jobs

import (
	"encoding/json"
	"fmt"
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
