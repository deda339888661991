package http

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/shared"
)

// sharedCall is the body of a call on a shared object.
type sharedCall struct {
	Op      string            `json:"op,omitempty" doc:"The operation, unless the path has it. end says that the client makes no further call, ping that it lives; both have no name."`
	Name    string            `json:"name,omitempty" doc:"The object's name, unless the path has it."`
	Kind    shared.Kind       `json:"kind,omitempty" doc:"The object's kind; the first call on an object may need it."`
	Args    []json.RawMessage `json:"args,omitempty" doc:"The operation's arguments."`
	Params  *shared.Params    `json:"params,omitempty" doc:"The object's parameters; a call without them takes the object as it is."`
	Timeout *float64          `json:"timeout,omitempty" doc:"Seconds; 0 to try only, null to wait until it is answered."`
	Client  string            `json:"client,omitempty" maxLength:"100" doc:"Names the process that calls. Its locks fall when it has not called for 30 seconds."`
}

// SharedCallHead is what the calls of jobs and of scopes have in common.
type SharedCallHead struct {
	Key    string `header:"Idempotency-Key" doc:"A repeated call with the same key gets the answer of the first one."`
	Prefer string `header:"Prefer" doc:"wait=SECONDS, at most 60: how long the answer may take. 20 by default."`
}

func (h *SharedCallHead) key() string { return h.Key }

// The addresses of calls. The body has what the address has not.
type (
	jobCall struct {
		SharedJobPath
		SharedCallHead
	}
	scopeCall struct {
		SharedScopePath
		SharedCallHead
	}
	jobObjectCall struct {
		SharedJobPath
		SharedCallHead
		SharedOp
	}
	scopeObjectCall struct {
		SharedScopePath
		SharedCallHead
		SharedOp
	}
	SharedOp struct {
		SharedName
		Op string `path:"op" doc:"The operation."`
	}
)

// at returns the name and the operation that an address has.
func (o *SharedOp) at() (name, op string) { return o.Name, o.Op }

type sharedAnswer struct {
	Status int
	Body   struct {
		Value   json.RawMessage `json:"value,omitempty" doc:"The result."`
		Waiting bool            `json:"waiting,omitempty" doc:"The call waits on; ask again with the same key and body."`
	}
}

// callShared makes a call of an outside client.
func callShared[P any, I interface {
	*P
	sharedPath
	key() string
}](s *Site) func(context.Context, *P) (*sharedAnswer, error) {
	return func(ctx context.Context, in *P) (*sharedAnswer, error) {
		c := callOf(ctx)
		text, err := readJSON(c.r)
		if err != nil {
			return nil, err
		}
		body, err := readSharedCall(text)
		if err != nil {
			return nil, err
		}
		if o, ok := any(in).(interface{ at() (string, string) }); ok {
			if err := body.complete(o.at()); err != nil {
				return nil, err
			}
		}
		if key := I(in).key(); key != "" {
			if _, err := newKey(key, c.user, text); err != nil {
				return nil, err
			}
		}
		scope, err := I(in).scope(ctx, s)
		if err != nil {
			return nil, err
		}
		caller := shared.Caller{Scope: scope, Client: c.user.ID + "/" + body.Client}
		if key := I(in).key(); key != "" {
			caller.Key = c.user.ID + "/" + key
		}
		return s.sharedAnswer(ctx, caller, body)
	}
}

// sharedAnswer makes a call and waits for its answer, as long as the request prefers.
func (s *Site) sharedAnswer(ctx context.Context, caller shared.Caller, body *sharedCall) (*sharedAnswer, error) {
	wait, asked := waitPreference(callOf(ctx).r.Header.Values("Prefer"))
	if !asked {
		wait = sharedWait
	}
	drain, stop := s.streams.UntilDrain(ctx)
	defer stop()
	waiting, cancel := context.WithTimeout(drain, max(wait, time.Second))
	defer cancel()
	call := shared.Call{Name: body.Name, Kind: body.Kind, Op: body.Op, Params: body.Params, Args: body.Args, Timeout: shared.Forever}
	if t := body.Timeout; t != nil {
		call.Timeout = time.Duration(max(0, min(*t, 1e9)) * float64(time.Second))
	}
	answer, err := s.engine.Shared().Call(waiting, caller, call)
	out := &sharedAnswer{Status: http.StatusOK}
	switch {
	case err != nil && waiting.Err() != nil && ctx.Err() == nil:
		out.Status, out.Body.Waiting = http.StatusAccepted, true
	case err != nil:
		return nil, err
	case answer.Err != nil:
		return nil, answer.Err
	}
	out.Body.Value = answer.Value
	return out, nil
}

// readSharedCall reads the body of a call. An empty one is a call without arguments.
func readSharedCall(text []byte) (*sharedCall, error) {
	var body sharedCall
	if len(bytes.TrimSpace(text)) == 0 {
		return &body, nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&body); err != nil {
		message := strings.TrimPrefix(err.Error(), "json: ")
		return nil, jobs.Invalid{{Location: "body", Message: "must be an object such as {\"args\": [1]}: " + message}}
	}
	if d.More() {
		return nil, jobs.Invalid{{Location: "body", Message: "must be one object"}}
	}
	if len(body.Client) > 100 {
		return nil, jobs.Invalid{{Location: "body.client", Message: "must have at most 100 bytes"}}
	}
	return &body, nil
}

// complete adds the name and the operation of the address.
func (b *sharedCall) complete(name, op string) (err error) {
	if b.Name != "" || b.Op != "" {
		return jobs.Invalid{{Location: "body", Message: "must not have name or op: the address has them"}}
	}
	b.Op = op
	b.Name, err = unescaped("name", name)
	return err
}

// unescaped returns a part of a path, in which / is %2F.
func unescaped(what, part string) (string, error) {
	text, err := url.PathUnescape(part)
	if err != nil || !storable(text) {
		return "", jobs.Invalid{{Location: "path." + what, Message: "must be UTF-8 without NUL characters"}}
	}
	return text, nil
}

// routeShared adds the operations on shared objects.
func (s *Site) routeShared(a *api) {
	route(a, jobs.Viewer, "GET /jobs/{id}/shared", "list-shared", "Objects that the tasks of a job share, at most 1000", listShared[SharedJobPath](s))
	route(a, jobs.Viewer, "GET /jobs/{id}/shared/{name}", "get-shared", "A shared object with its value", getShared[jobObject](s))
	route(a, jobs.Submitter, "POST /jobs/{id}/shared", "call-shared", "Make a call on a shared object that the body names", callShared[jobCall](s))
	route(a, jobs.Submitter, "POST /jobs/{id}/shared/{name}/{op}", "call-shared-object", "Make a call on a shared object", callShared[jobObjectCall](s))
	route(a, jobs.Viewer, "GET /shared", "list-scopes", "Your named scopes, whose objects your jobs share", s.listScopes)
	route(a, jobs.Viewer, "GET /shared/{scope}", "list-scope", "The objects of a named scope of yours, at most 1000", listShared[SharedScopePath](s))
	route(a, jobs.Viewer, "GET /shared/{scope}/{name}", "get-scope-object", "An object of a named scope of yours", getShared[scopeObject](s))
	route(a, jobs.Submitter, "POST /shared/{scope}", "call-scope", "Make a call on an object of a named scope of yours; the body names it", callShared[scopeCall](s))
	route(a, jobs.Submitter, "POST /shared/{scope}/{name}/{op}", "call-scope-object", "Make a call on an object of a named scope of yours", callShared[scopeObjectCall](s))
	route(a, jobs.Submitter, "DELETE /shared/{scope}", "delete-scope", "Delete a named scope of yours with its objects; calls that wait for them fail", s.deleteScope)
	for _, path := range []string{"/jobs/{id}/shared", "/jobs/{id}/shared/{name}/{op}", "/shared/{scope}", "/shared/{scope}/{name}/{op}"} {
		post := a.OpenAPI().Paths[apiPrefix+path].Post
		post.Description = "A call that waits is answered with 202 when the time of the request is up: ask again with the same key and body. An error has the status and the kind of package shared, such as empty."
		post.RequestBody = &huma.RequestBody{
			Content: map[string]*huma.MediaType{"application/json": {Schema: a.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[sharedCall](), true, "SharedCall")}},
		}
		post.Responses["202"] = &huma.Response{Description: "It waits on", Content: post.Responses["200"].Content}
	}
}
