package http

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"
	"github.com/go-chi/chi/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/views"
)

// kinds are the errors that a caller can act on, each with its status and its
// message for the user. Any other error is a 500.
var kinds = []struct {
	err     error
	status  int
	message string
}{
	{jobs.ErrNotFound, http.StatusNotFound, jobs.NotFoundSentence},
	{jobs.ErrConflict, http.StatusConflict, "The present state does not allow this."},
	{jobs.ErrForbidden, http.StatusForbidden, jobs.ForbiddenSentence},
	{jobs.ErrUnavailable, http.StatusServiceUnavailable, "The database does not answer. Running tasks go on; try again in a moment."},
	{errUnauthorized, http.StatusUnauthorized, "Sign in, or send a valid token as Authorization: Bearer."},
	{errCrossOrigin, http.StatusForbidden, "The request came from another site's page."},
	{errTooLarge, http.StatusRequestEntityTooLarge, "The request is larger than the server accepts."},
	{errMediaType, http.StatusUnsupportedMediaType, "The body must be JSON, sent with Content-Type: application/json."},
	{errMethod, http.StatusMethodNotAllowed, "This address does not accept this method."},
	{errSlowBody, http.StatusRequestTimeout, "The request's body did not arrive in time."},
	{errBrokenBody, http.StatusBadRequest, "The request's body ended too soon or could not be read."},
}

var (
	errUnauthorized = errors.New("not signed in")
	errCrossOrigin  = errors.New("cross-origin request")
	errTooLarge     = errors.New("request too large")
	errMediaType    = errors.New("unsupported media type")
	errMethod       = errors.New("method not allowed")
	errSlowBody     = errors.New("body too slow")
	errBrokenBody   = errors.New("body unreadable")
)

// An explainedError has a message of its own for the user.
type explainedError struct {
	error
	message string
}

func (t explainedError) Unwrap() error { return t.error }

// explained gives err a message for the user if it is of that kind.
func explained(err, kind error, message string) error {
	if errors.Is(err, kind) {
		return explainedError{err, message}
	}
	return err
}

// A failure is an error as its user sees it.
type failure struct {
	status     int
	message    string
	violations jobs.Invalid // at most MaxViolations
}

// failureOf maps err to a status and a message for the user.
func failureOf(err error) failure {
	var invalid jobs.Invalid
	switch {
	case errors.As(err, &invalid):
		listed, more := invalid.Brief()
		return failure{http.StatusUnprocessableEntity, violationsWord(len(listed), more), listed}
	case errors.Is(err, store.ErrKeyReused):
		const message = "was used with another request within the last 24 hours"
		return failure{http.StatusUnprocessableEntity, "The idempotency key " + message + ".",
			jobs.Invalid{{Location: "header.Idempotency-Key", Message: message}}}
	}
	f := failure{status: http.StatusInternalServerError, message: "The server failed to answer. Running jobs go on, and nothing that was submitted is lost."}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			f.status, f.message = k.status, k.message
			break
		}
	}
	var t explainedError
	var gone *store.DeletedQueueError
	switch {
	case errors.As(err, &gone):
		f.message = fmt.Sprintf("The queue %q was deleted. Add it again, or submit the job to another one.", gone.Queue)
	case errors.As(err, &t):
		f.message = t.message
	}
	return f
}

// violationsWord returns the number of violations in words. more are not listed.
func violationsWord(listed, more int) string {
	switch {
	case more > 0:
		return fmt.Sprintf("%d violations: %d are listed, and %d more", listed+more, listed, more)
	case listed == 1:
		return "1 violation"
	}
	return strconv.Itoa(listed) + " violations"
}

// fail logs err for the operator and sets the headers of its status. It returns
// the failure for the user.
func (s *Site) fail(h http.Header, r *http.Request, err error) failure {
	f := failureOf(err)
	level := slog.LevelDebug
	switch {
	case r.Context().Err() != nil && errors.Is(err, context.Canceled):
		// The client has gone.
	case f.status == http.StatusServiceUnavailable:
		level = slog.LevelWarn
	case f.status >= 500:
		level = slog.LevelError
	}
	s.log.Log(r.Context(), level, "request failed", "request", requestID(r.Context()),
		"method", r.Method, "path", r.URL.Path, "status", f.status, "error", err)
	switch f.status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "2")
	}
	return f
}

// refuse answers with err: as a problem for the API, as a page otherwise.
func (s *Site) refuse(w http.ResponseWriter, r *http.Request, err error) {
	f := s.fail(w.Header(), r, err)
	if isAPI(r) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(f.status)
		_ = json.NewEncoder(w).Encode(f.problem())
		return
	}
	p := views.ErrorPage{Page: s.base(r), Status: f.status, Message: f.message, Violations: f.violations}
	p.Retry = f.status == http.StatusServiceUnavailable && (r.Method == http.MethodGet || r.Method == http.MethodHead)
	if f.status >= 500 {
		p.RequestID = requestID(r.Context())
	}
	var b bytes.Buffer
	if err := views.Error(p).Render(r.Context(), &b); err != nil {
		s.log.Error("render the error page", "request", requestID(r.Context()), "error", err)
		http.Error(w, f.message, f.status)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(f.status)
	_, _ = w.Write(b.Bytes())
}

func isAPI(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/api/") }

// problem returns f in the form of RFC 9457.
func (f failure) problem() *huma.ErrorModel {
	return &huma.ErrorModel{Title: http.StatusText(f.status), Status: f.status, Detail: f.message, Errors: details(f.violations)}
}

func details(found jobs.Invalid) (out []*huma.ErrorDetail) {
	for _, v := range found {
		out = append(out, &huma.ErrorDetail{Location: v.Location, Message: v.Message, Value: echo(v.Value)})
	}
	return out
}

// unresolved returns violations of parameters as huma adds them to its own.
func unresolved(found jobs.Invalid) (out []error) {
	for _, d := range details(found) {
		out = append(out, d)
	}
	return out
}

// echo returns a value that may be sent back with a violation: a short scalar, or
// nil.
func echo(v any) any {
	const most = 200
	switch v := v.(type) {
	case string:
		return strings.ToValidUTF8(jobs.Cut(v, most), "\uFFFD")
	case fmt.Stringer, nil:
		return nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
		return v
	case bool, int, int32, int64:
		return v
	case jobs.Duration, jobs.Size, jobs.FailureLimit:
		return echo(fmt.Sprint(v))
	}
	return nil
}

// tidy gives huma's own answers, which are about parameters, the form of all
// others.
func tidy(ctx huma.Context, _ string, v any) (any, error) {
	p, ok := v.(*huma.ErrorModel)
	if !ok || p.Detail != "validation failed" {
		return v, nil
	}
	found := fromSchema(p.Errors)
	for _, v := range callOf(ctx.Context()).ignored {
		found.Add(v)
	}
	listed, more := found.Brief()
	slices.SortStableFunc(listed, func(a, b jobs.Violation) int { return strings.Compare(a.Location, b.Location) })
	p.Detail, p.Errors = violationsWord(len(listed), more), details(listed)
	return p, nil
}

// fromSchema converts what huma found wrong with a body to violations, each at the
// field itself rather than at the object around it.
func fromSchema[E error](errs []E) jobs.Invalid {
	var found jobs.Invalid
	for _, err := range errs {
		detail, ok := any(err).(*huma.ErrorDetail)
		if !ok {
			found.Add(jobs.Violation{Location: "body", Message: err.Error()})
			continue
		}
		v := jobs.Violation{Location: detail.Location, Message: detail.Message, Value: detail.Value}
		var property string
		if n, _ := fmt.Sscanf(detail.Message, validation.MsgExpectedRequiredProperty, &property); n == 1 {
			v.Location, v.Message, v.Value = detail.Location+"."+property, "is required", nil
		}
		switch detail.Message {
		case validation.MsgUnexpectedProperty:
			v.Message, v.Value = "unknown field", nil
		case validation.MsgExpectedMatchAtLeastOneSchema:
			v.Message = `must be a whole number, or a share such as "5%"`
		}
		found.Add(v)
	}
	return found
}

func notFound(http.ResponseWriter, *http.Request) error { return jobs.ErrNotFound }

// notHere is a worker's answer.
func notHere(http.ResponseWriter, *http.Request) error {
	return explained(jobs.ErrNotFound, jobs.ErrNotFound, "This node only executes tasks (-role worker). Pages and API are on a node whose role is web or all.")
}

// methodNotAllowed answers with the methods of an address.
func methodNotAllowed(routes chi.Routes) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		var allowed []string
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete} {
			asked := method
			if method == http.MethodHead { // every GET answers HEAD too
				asked = http.MethodGet
			}
			if routes.Match(chi.NewRouteContext(), asked, r.URL.Path) {
				allowed = append(allowed, method)
			}
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		return errMethod
	}
}
