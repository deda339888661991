package http

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"regexp"
	"runtime/debug"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

// A call is the state of one request. It travels in the context.
type call struct {
	id      string
	r       *http.Request
	w       http.ResponseWriter
	user    *jobs.User   // nil until recognised
	ignored jobs.Invalid // parameters that the operation would ignore
}

// unanswered reports whether nothing of the answer has been sent.
func (c *call) unanswered() bool {
	seen, ok := c.w.(*seenWriter)
	return ok && seen.status == 0
}

type callKey struct{}

// callOf returns the call in ctx; observe puts it there.
func callOf(ctx context.Context) *call { return ctx.Value(callKey{}).(*call) }

func requestID(ctx context.Context) string {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c.id
	}
	return ""
}

var givenID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// observe gives each request an id, logs it, and turns a panic into a 500. The
// id of a proxy in front is kept.
func (s *Site) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{id: r.Header.Get("X-Request-Id")}
		if !givenID.MatchString(c.id) {
			c.id = rand.Text()[:16]
		}
		w.Header().Set("X-Request-Id", c.id)
		seen := &seenWriter{ResponseWriter: w, counters: &s.counters}
		r = r.WithContext(context.WithValue(r.Context(), callKey{}, c))
		c.r, c.w = r, seen
		began := time.Now()
		defer func() {
			if cause := recover(); cause != nil {
				//lint:ignore errorlint net/http compares the panic's value with ==
				if cause == http.ErrAbortHandler {
					panic(cause)
				}
				err := fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
				if seen.status != 0 {
					s.fail(http.Header{}, r, err)
					panic(http.ErrAbortHandler) // so that the client sees that the answer is cut
				}
				s.refuse(seen, r, err)
			}
			s.log.Debug("request", "request", c.id, "method", r.Method, "path", r.URL.Path,
				"status", seen.status, "took", time.Since(began))
		}()
		next.ServeHTTP(seen, r)
	})
}

// A seenWriter keeps and counts the status.
type seenWriter struct {
	http.ResponseWriter
	counters *counters
	status   int
}

func (w *seenWriter) WriteHeader(status int) {
	w.see(status)
	w.ResponseWriter.WriteHeader(status)
}

func (w *seenWriter) Write(b []byte) (int, error) {
	w.see(http.StatusOK)
	return w.ResponseWriter.Write(b)
}

func (w *seenWriter) see(status int) {
	if w.status == 0 {
		w.status = status
		w.counters.responses[min(max(status/100, 1), 5)].Add(1)
	}
}

// FlushError is for http.ResponseController. It sends the status, too.
func (w *seenWriter) FlushError() error {
	w.see(http.StatusOK)
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (w *seenWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
