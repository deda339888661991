package sharedcalls

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine/tasksocket"
	"github.com/allcores/allcores/internal/jobs/shared"
)

// A Home answers calls on shared objects.
type Home interface {
	// Call makes a call. It waits where the call does, until ctx ends. The error is
	// nil when the call was answered, also where the answer is an error.
	Call(ctx context.Context, caller shared.Caller, call shared.Call) (shared.Answer, error)
	// Snapshot describes the objects of a scope, without long values.
	Snapshot(ctx context.Context, scope shared.Scope) ([]shared.Info, error)
	// Read describes an object with its value. It returns jobs.ErrNotFound where there
	// is none.
	Read(ctx context.Context, scope shared.Scope, name string) (shared.Info, error)
}

// Progress is how far a task says it is.
type Progress struct {
	Fraction *float64 `json:"fraction"` // from 0 to 1; nil for unknown
	Message  string   `json:"message"`
}

// A Reporter keeps the progress of tasks.
type Reporter interface {
	// Report keeps the progress of a running task until the next one. It does not wait.
	Report(x tasksocket.Execution, p Progress)
}

// Handlers answer the requests of tasks.
type Handlers struct {
	Home     Home
	Reporter Reporter
	Logger   *slog.Logger
}

// Register adds the handlers to the socket. It must be called before s.Start.
func (h *Handlers) Register(s *tasksocket.Server) {
	s.HandleSession("shared", h.openSession)
	s.Handle("shared", h.serve)
	s.Handle("progress", h.report)
}

// callerOf returns an execution as a caller of objects in a scope of its job's owner, or
// of its job if scope is empty.
func callerOf(x tasksocket.Execution, scope string, thread uint32) shared.Caller {
	c := shared.Caller{Scope: shared.Scope{Job: x.Job}, Job: x.Job, Task: x.Task, Lease: x.Lease, Thread: thread, Alone: x.Alone}
	if scope != "" {
		c.Scope = shared.Scope{Owner: x.Owner, Name: scope}
	}
	return c
}

// call makes a call and turns an error of the home into an answer. ended tells that
// nobody waits for the answer.
func (h *Handlers) call(ctx context.Context, caller shared.Caller, call shared.Call) (answer shared.Answer, ended bool) {
	answer, err := h.Home.Call(ctx, caller, call)
	switch {
	case err == nil:
		return answer, false
	case errors.Is(context.Cause(ctx), tasksocket.ErrEnded):
		return failure(shared.ErrSuperseded, "the task has ended"), false
	case ctx.Err() != nil:
		return shared.Answer{}, true
	case errors.Is(err, jobs.ErrUnavailable):
		return failure(shared.ErrUnavailable, "the database cannot be reached"), false
	}
	h.Logger.Error("a call on a shared object failed", "operation", call.Op, "error", err)
	return failure(shared.ErrUnavailable, "the call failed; the server's log has the reason"), false
}

func failure(kind shared.ErrorKind, message string) shared.Answer {
	return shared.Answer{Err: &shared.Error{Kind: kind, Message: message}}
}

var null = json.RawMessage("null")
