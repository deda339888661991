package http

import (
	"context"
	"errors"
	"net/http"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/store"
)

// healthz answers as long as the process does.
func (s *Site) healthz(w http.ResponseWriter, _ *http.Request) { writeHealth(w) }

func writeHealth(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

// readyz answers 200 if this node can work, else 503 with the reason: the server
// is about to stop, the database does not answer within a second or accepts no
// writes, its schema is another version's, or River does not run on a node that
// executes tasks.
func (s *Site) readyz(w http.ResponseWriter, r *http.Request) {
	var schema *store.SchemaError
	err := s.ready(r.Context())
	switch {
	case err == nil:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ready\n"))
	case errors.Is(err, errStopping), errors.Is(err, store.ErrReadOnly), errors.Is(err, engine.ErrNotRunning), errors.As(err, &schema):
		writeUnready(w, err.Error())
	case errors.Is(err, jobs.ErrUnavailable):
		s.log.Debug("not ready", "error", err)
		writeUnready(w, "the database does not answer")
	default:
		s.fail(w.Header(), r, err)
		writeUnready(w, "the query to the database failed")
	}
}

var errStopping = errors.New("the server is stopping")

func (s *Site) ready(ctx context.Context) error {
	if s.streams.Draining().Err() != nil {
		return errStopping
	}
	if err := s.store.Ready(ctx); err != nil {
		return err
	}
	return s.engine.Ready()
}

func writeUnready(w http.ResponseWriter, reason string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Retry-After", "2")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write([]byte(reason + "\n"))
}
