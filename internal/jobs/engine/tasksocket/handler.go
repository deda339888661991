package tasksocket

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/allcores/allcores/internal/jobs"
)

// A Handler answers a request of an execution. rest is what follows the handler's
// name in the path, without a slash before it. The context of r ends with the session.
// An error is answered as a problem document (see Problem) and means that nothing was
// written to w.
type Handler func(w http.ResponseWriter, r *http.Request, x Execution, rest string) error

// A SessionHandler answers a request that names no task: one that only needs the job,
// or for requests on the same connection to name their tasks. It is a Handler
// otherwise.
type SessionHandler func(w http.ResponseWriter, r *http.Request, x *Session, rest string) error

// Handle registers the handler of /KEY/tasks/INDEX/NAME and of what lies below it. It
// must be called before Start.
func (s *Server) Handle(name string, h Handler) { s.handlers[name] = h }

// HandleSession registers the handler of /KEY/NAME and of what lies below it. It must be
// called before Start.
func (s *Server) HandleSession(name string, h SessionHandler) { s.sessionHandlers[name] = h }

// A Problem is an error that a task caused: its status and what it reads.
type Problem struct {
	Status int
	Detail string // a sentence
}

func (p *Problem) Error() string { return p.Detail }

// An address is a parsed path.
type address struct {
	key        string
	task       int64 // -1 for none
	name, rest string
}

// parseAddress parses /KEY/tasks/INDEX/NAME/REST and /KEY/NAME/REST.
func parseAddress(path string) (a address, ok bool) {
	a.task = -1
	key, path, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if below, found := strings.CutPrefix(path, "tasks/"); found {
		index, below, _ := strings.Cut(below, "/")
		task, err := strconv.ParseInt(index, 10, 64)
		if err != nil || task < 0 {
			return a, false
		}
		a.task, path = task, below
	}
	a.key = key
	a.name, a.rest, _ = strings.Cut(path, "/")
	return a, a.name != ""
}

// answer answers a request that failed.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, err error) {
	var problem *Problem
	switch {
	case errors.As(err, &problem):
		refuse(w, problem.Status, problem.Detail)
	case errors.Is(context.Cause(r.Context()), ErrEnded):
		refuse(w, http.StatusGone, "The task has ended.")
	case r.Context().Err() != nil:
		// nobody reads an answer
	case errors.Is(err, jobs.ErrUnavailable):
		refuse(w, http.StatusServiceUnavailable, "The database cannot be reached.")
	default:
		s.log.Error("a request of a task failed", "method", r.Method, "error", err)
		refuse(w, http.StatusInternalServerError, "The request failed; the server's log has the reason.")
	}
}

// refuse writes a problem document.
func refuse(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(status), "status": status, "detail": detail})
}
