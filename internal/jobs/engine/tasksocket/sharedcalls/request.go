package sharedcalls

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine/tasksocket"
	"github.com/allcores/allcores/internal/jobs/engine/tasksocket/frames"
	"github.com/allcores/allcores/internal/jobs/shared"
)

// serve answers an HTTP request below TASK/shared.
func (h *Handlers) serve(w http.ResponseWriter, r *http.Request, x tasksocket.Execution, rest string) error {
	switch {
	case rest == "" && r.Header.Get("Upgrade") != "":
		return h.open(w, r, x.Session)
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		return h.show(w, r, x, rest)
	case r.Method == http.MethodPost:
		return h.post(w, r, x, rest)
	}
	w.Header().Set("Allow", "GET, HEAD, POST")
	return &tasksocket.Problem{Status: http.StatusMethodNotAllowed, Detail: "Use POST for a call, GET to look."}
}

// show answers GET with one object, or with all of them where name is empty.
func (h *Handlers) show(w http.ResponseWriter, r *http.Request, x tasksocket.Execution, name string) error {
	query, err := parseQuery(r, "scope")
	if err != nil {
		return err
	}
	scope := callerOf(x, query.Get("scope"), 0).Scope
	if name == "" {
		list, err := h.Home.Snapshot(r.Context(), scope)
		if err != nil {
			return fmt.Errorf("list shared objects: %w", err)
		}
		return reply(w, map[string]any{"items": slices.Concat([]shared.Info{}, list)})
	}
	info, err := h.Home.Read(r.Context(), scope, name)
	if errors.Is(err, jobs.ErrNotFound) {
		return &tasksocket.Problem{Status: http.StatusNotFound, Detail: fmt.Sprintf("There is no shared object %.100q.", name)}
	}
	if err != nil {
		return fmt.Errorf("read shared object: %w", err)
	}
	return reply(w, info)
}

// post makes the call of NAME/OP.
func (h *Handlers) post(w http.ResponseWriter, r *http.Request, x tasksocket.Execution, rest string) error {
	cut := strings.LastIndexByte(rest, '/')
	if cut < 1 || cut == len(rest)-1 {
		return &tasksocket.Problem{Status: http.StatusNotFound, Detail: "The path of a call is …/shared/NAME/OPERATION, for example …/shared/hits/add."}
	}
	query, err := parseQuery(r, "arg", "kind", "scope", "timeout", "size", "type", "initial")
	if err != nil {
		return err
	}
	call := shared.Call{Name: rest[:cut], Op: rest[cut+1:], Kind: shared.Kind(query.Get("kind"))}
	if call.Args, err = argumentsOf(w, r, query["arg"]); err != nil {
		return err
	}
	if call.Params, err = paramsOf(query); err != nil {
		return err
	}
	var seconds *float64
	if query.Has("timeout") {
		n, err := strconv.ParseFloat(query.Get("timeout"), 64)
		if err != nil || math.IsNaN(n) {
			return invalid("timeout is %.40q, not a number of seconds", query.Get("timeout"))
		}
		seconds = &n
	}
	call.Timeout = timeoutOf(seconds)
	answer, ended := h.call(r.Context(), callerOf(x, query.Get("scope"), 0), call)
	if ended {
		return r.Context().Err()
	}
	if answer.Err != nil {
		refuse(w, answer.Err)
		return nil
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(slices.Clip(answer.Value), '\n'))
	return nil
}

// parseQuery parses the query and refuses unknown parameters, which are mistyped ones.
func parseQuery(r *http.Request, known ...string) (url.Values, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, invalid("the query cannot be read: %v", err)
	}
	for name := range query {
		if !slices.Contains(known, name) {
			return nil, invalid("there is no parameter %.40q; parameters are %s", name, strings.Join(known, ", "))
		}
		if name != "arg" && len(query[name]) > 1 {
			return nil, invalid("%s is there more than once", name)
		}
	}
	return query, nil
}

// argumentsOf returns the arguments of a call: those of the query, then the body.
func argumentsOf(w http.ResponseWriter, r *http.Request, texts []string) ([]json.RawMessage, error) {
	var list []json.RawMessage
	for _, text := range texts {
		list = append(list, looseJSON(text))
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, frames.MaxRequest))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &tasksocket.Problem{Status: http.StatusRequestEntityTooLarge, Detail: "An argument has more than 8 MiB."}
	case err != nil:
		return nil, fmt.Errorf("read body: %w", err)
	case len(body) == 0:
		return list, nil
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && kind == "text/plain" {
		if !utf8.Valid(body) {
			return nil, invalid("the body is not UTF-8")
		}
		return append(list, text(string(body))), nil
	}
	if !json.Valid(body) {
		return nil, invalid("the body is not JSON; a text needs quotes, or -H 'Content-Type: text/plain'")
	}
	return append(list, body), nil
}

// looseJSON returns a value of the query: JSON, or a text if it is not JSON.
func looseJSON(value string) json.RawMessage {
	if json.Valid([]byte(value)) {
		return json.RawMessage(value)
	}
	return text(value)
}

// text returns a text as JSON.
func text(value string) json.RawMessage {
	quoted, err := json.Marshal(value)
	if err != nil {
		return null // a text cannot fail
	}
	return quoted
}

// paramsOf returns the parameters of the object that a query has; nil for none.
func paramsOf(query url.Values) (*shared.Params, error) {
	if !query.Has("size") && !query.Has("type") && !query.Has("initial") {
		return nil, nil
	}
	p := &shared.Params{Type: query.Get("type")}
	if size := query.Get("size"); size != "" {
		var err error
		if p.Size, err = strconv.ParseInt(size, 10, 64); err != nil {
			return nil, invalid("size is %.40q, not a whole number", size)
		}
	}
	if query.Has("initial") {
		p.Initial = looseJSON(query.Get("initial"))
	}
	return p, nil
}

func invalid(format string, args ...any) error {
	return &tasksocket.Problem{Status: http.StatusUnprocessableEntity, Detail: upperFirst(fmt.Sprintf(format, args...)) + "."}
}

func upperFirst(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// reply answers with a JSON document and a line feed.
func reply(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(v)
}

// refuse answers with the error of a call.
func refuse(w http.ResponseWriter, e *shared.Error) {
	status := e.Kind.Status()
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(status), "status": status, "detail": e.Message, "kind": e.Kind})
}
