package shared

import (
	"encoding/json"
	"fmt"
	"time"
)

// A Scope is a namespace of objects: those of a job, or those that an owner gave a
// name. Exactly one of Job and Name is set.
type Scope struct {
	Job   string // the job's id
	Owner string // with Name: the user's id
	Name  string
}

// String returns the scope for messages and logs.
func (s Scope) String() string {
	if s.Job != "" {
		return "job " + s.Job
	}
	return fmt.Sprintf("scope %q", s.Name)
}

// A Caller makes calls: an execution of a task, or an outside client.
type Caller struct {
	Scope Scope // of the objects that it calls

	// A task's execution. A later lease of the same task supersedes it.
	Job    string // the job's id; empty for an outside client
	Task   int64  // index
	Lease  int64  // number of the chunk's lease
	Thread uint32 // 0 for the task's first thread or process; each has ordinals of its own
	// Alone says that the lane runs one task at a time: the first call of a task then
	// ends the executions of other tasks under the same lease.
	Alone bool

	// An outside client.
	Client string // names it, within the user; its locks fall when it has not called for ClientIdle
	Key    string // of this call; empty where the call is never repeated
}

// ClientIdle is how long an outside client is held alive after a call. A client that
// waits, or that makes the operation ping in time, stays alive.
const ClientIdle = 30 * time.Second

// A Kind is a kind of object.
type Kind string

// The kinds.
const (
	Queue     Kind = "queue"
	Pipe      Kind = "pipe"
	Value     Kind = "value"
	Array     Kind = "array"
	Dict      Kind = "dict"
	List      Kind = "list"
	Lock      Kind = "lock"
	Event     Kind = "event"
	Semaphore Kind = "semaphore"
	Condition Kind = "condition"
	Barrier   Kind = "barrier"
)

// Operations without an object: Name and Kind are empty.
const (
	// OpEnd says that the execution, or the outside client, makes no further call. Its
	// locks fall. A task's runner should send it when a task that made calls ends.
	OpEnd = "end"
	// OpPing says that an outside client lives.
	OpPing = "ping"
)

// OpMake creates the object, or checks its kind and parameters. It has no ordinal.
const OpMake = "make"

// OpRemove removes the object (a list has an operation remove). It is for outside clients only; who waits for the
// object gets an error of kind removed.
const OpRemove = "destroy"

// Params are the parameters of an object.
type Params struct {
	Size    int64           `json:"size,omitempty"`    // queue, semaphore, barrier, array
	Type    string          `json:"type,omitempty"`    // array: typecode; lock: "reentrant"; semaphore: "bounded"
	Initial json.RawMessage `json:"initial,omitempty"` // value, array, dict, list
}

// Forever is the Timeout of a call that waits as long as it takes.
const Forever time.Duration = -1

// A Call is an operation on an object.
type Call struct {
	Name   string  // of the object, at most Bounds.Name bytes of UTF-8
	Kind   Kind    // of the object
	Op     string  // see the package's table
	Params *Params // nil for whatever it has, or the kind's defaults
	Args   []json.RawMessage

	Timeout time.Duration // of an operation that waits: Forever, or 0 to try only
	// Company says that other threads or processes of the same task go on while this call
	// waits, so that the task as a whole does not wait.
	Company bool
}

// An Answer is the answer to a call.
type Answer struct {
	Value json.RawMessage // a JSON document; nil with Err
	Err   *Error
}

// An ErrorKind is the kind of a refused or failed call.
type ErrorKind string

// The kinds of errors. Their Python counterparts are in parentheses.
const (
	ErrArgument    ErrorKind = "argument"    // the call is malformed (TypeError)
	ErrMismatch    ErrorKind = "mismatch"    // the object has another kind or other parameters (ValueError)
	ErrBounds      ErrorKind = "bounds"      // past a bound (allcores.SharedBoundsError)
	ErrEmpty       ErrorKind = "empty"       // nothing to get in time (queue.Empty)
	ErrFull        ErrorKind = "full"        // no room in time (queue.Full)
	ErrTimeout     ErrorKind = "timeout"     // time is up (TimeoutError)
	ErrEOF         ErrorKind = "eof"         // the other end is closed and nothing is left (EOFError)
	ErrClosed      ErrorKind = "closed"      // this end is closed (OSError), or the other one (BrokenPipeError)
	ErrIndex       ErrorKind = "index"       // no such index (IndexError)
	ErrKey         ErrorKind = "key"         // no such key (KeyError)
	ErrValue       ErrorKind = "value"       // no such item, released too often (ValueError)
	ErrType        ErrorKind = "type"        // not a number (TypeError)
	ErrOverflow    ErrorKind = "overflow"    // does not fit the typecode (OverflowError)
	ErrOwner       ErrorKind = "owner"       // the caller does not hold the lock (AssertionError, RuntimeError)
	ErrBroken      ErrorKind = "broken"      // the barrier is broken (threading.BrokenBarrierError)
	ErrDiffers     ErrorKind = "differs"     // another call than in the task's earlier run
	ErrDeadlock    ErrorKind = "deadlock"    // all wait, and nobody could wake them
	ErrSuperseded  ErrorKind = "superseded"  // the execution has ended, or the task runs elsewhere by now
	ErrRemoved     ErrorKind = "removed"     // the object or its scope was removed
	ErrUnavailable ErrorKind = "unavailable" // the scope's home was lost; the call may have been made
)

// An Error is why a call failed.
type Error struct {
	Kind    ErrorKind `json:"kind"`
	Message string    `json:"message"`
}

func (e *Error) Error() string { return string(e.Kind) + ": " + e.Message }

func errorf(kind ErrorKind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Bounds bound a scope.
type Bounds struct {
	Name    int   // bytes of an object's name
	Item    int   // bytes of one item, key or argument
	Bytes   int64 // of all items of the scope
	Items   int64 // of the scope, an object itself counting as one
	Journal int64 // bytes of the journals of tasks without an outcome
	Waiting int   // calls that wait at once
}

// DefaultBounds are the bounds of a scope unless others are set.
var DefaultBounds = Bounds{Name: 256, Item: 1 << 20, Bytes: 64 << 20, Items: 100_000, Journal: 256 << 20, Waiting: 20_000}

// An Info describes an object as it is.
type Info struct {
	Name    string          `json:"name"`
	Kind    Kind            `json:"kind"`
	Size    int64           `json:"size,omitempty"` // the parameter
	Type    string          `json:"type,omitempty"` // the parameter
	Items   int64           `json:"items"`
	Bytes   int64           `json:"bytes"`
	Waiting int             `json:"waiting"`          // callers that wait for it
	Holder  string          `json:"holder,omitempty"` // of a lock, in words: "task 3"
	Value   json.RawMessage `json:"value"`            // null in a list where it is longer than 4 KiB
}
