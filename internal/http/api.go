package http

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"

	"github.com/allcores/allcores/internal/http/live"
	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/insight"
	"github.com/allcores/allcores/internal/jobs/shared"
)

const (
	apiPrefix = "/api/v1"
	ndjson    = "application/x-ndjson"
)

// Field names of JSON are case-sensitive: a misspelled one is a violation.
func init() { huma.ValidateStrictCasing = true }

// An api holds the operations of the REST API and their description.
type api struct {
	huma.API
	site *Site
}

func (s *Site) newAPI(r chi.Router) *api {
	config := huma.DefaultConfig("Allcores", s.version)
	config.Info.Description = "Put every core to work, and lose nothing. Streams are NDJSON or server-sent events."
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	config.CreateHooks = nil // no $schema fields in answers
	config.Transformers = []huma.Transformer{tidy}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token":   {Type: "http", Scheme: "bearer"},
		"session": {Type: "apiKey", In: "cookie", Name: sessionCookie},
	}
	config.Security = []map[string][]string{{"token": {}}, {"session": {}}}
	config.Servers = []*huma.Server{{URL: "/"}}
	s.schemas = config.Components.Schemas
	describeTypes(s.schemas)
	return &api{humachi.New(r.With(s.authenticated), config), s}
}

// describeTypes registers the JSON types of package jobs that huma cannot derive,
// and which fields of a request are optional.
func describeTypes(r huma.Registry) {
	r.RegisterTypeAlias(reflect.TypeFor[jobs.Time](), reflect.TypeFor[time.Time]())
	r.RegisterTypeAlias(reflect.TypeFor[jobs.FailureLimit](), reflect.TypeFor[failureLimitSchema]())
	for _, t := range []reflect.Type{reflect.TypeFor[jobs.Spec](), reflect.TypeFor[jobs.Job](), reflect.TypeFor[jobs.Task](), reflect.TypeFor[insight.Report]()} {
		r.Schema(t, true, "")
	}
	all := r.Map()
	all["Policy"].Required = nil
	all["Range"].Required = []string{"stop"}
	verdict := all["Report"].Properties["verdict"]
	*verdict = huma.Schema{Description: verdict.Description, AnyOf: []*huma.Schema{{Ref: verdict.Ref}, {Type: "null"}}}
	for _, s := range all {
		s.PrecomputeMessages()
	}
}

// failureLimitSchema describes jobs.FailureLimit.
type failureLimitSchema struct{}

// Schema is for huma.
func (failureLimitSchema) Schema(huma.Registry) *huma.Schema {
	zero := 0.0
	return &huma.Schema{
		Description: "A number of tasks, or a share of them such as 5%.",
		Examples:    []any{10, "5%"},
		AnyOf: []*huma.Schema{ // a schema without a type cannot be nullable itself
			{Type: huma.TypeInteger, Minimum: &zero, Nullable: true},
			{Type: huma.TypeString, Pattern: `^(0|[1-9][0-9]*|[0-9]+(\.[0-9]+)?%)$`, Nullable: true},
		},
	}
}

// deprecated marks an operation as deprecated.
func deprecated(op *huma.Operation) { op.Deprecated = true }

// route adds an operation to the site and to its description. The pattern is a
// method and a path below the API's prefix.
func route[I, O any](a *api, role jobs.Role, pattern, id, summary string, h func(context.Context, *I) (*O, error), options ...func(*huma.Operation)) {
	method, path, _ := strings.Cut(pattern, " ")
	op := huma.Operation{
		OperationID: id, Method: method, Path: apiPrefix + path, Summary: summary,
		Middlewares: huma.Middlewares{a.requires(role)},
	}
	if method == http.MethodPost && !strings.Contains(path, "{") {
		op.DefaultStatus = http.StatusCreated
	}
	for _, option := range options {
		option(&op)
	}
	huma.Register(a.API, op, func(ctx context.Context, in *I) (*O, error) {
		if ignored := callOf(ctx).ignored; ignored != nil {
			return nil, a.refusal(ctx, ignored)
		}
		out, err := h(ctx, in)
		if err != nil {
			return nil, a.refusal(ctx, err)
		}
		return out, nil
	})
}

// stream is route for an operation that answers with a stream of one of the types.
// Its handler checks the request and returns what writes the stream.
func stream[I any](a *api, role jobs.Role, pattern, id, summary string, h func(context.Context, *I) (live.WriteFunc, error), types ...string) {
	_, path, _ := strings.Cut(pattern, " ")
	content := map[string]*huma.MediaType{}
	for _, t := range types {
		content[t] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	}
	op := huma.Operation{
		OperationID: id, Method: http.MethodGet, Path: apiPrefix + path, Summary: summary,
		Middlewares: huma.Middlewares{a.requires(role)},
		Responses:   map[string]*huma.Response{"200": {Description: "The stream", Content: content}},
	}
	huma.Register(a.API, op, func(ctx context.Context, in *I) (*huma.StreamResponse, error) {
		if ignored := callOf(ctx).ignored; ignored != nil {
			return nil, a.refusal(ctx, ignored)
		}
		write, err := h(ctx, in)
		if err != nil {
			return nil, a.refusal(ctx, err)
		}
		return &huma.StreamResponse{Body: func(hc huma.Context) {
			r, w := humachi.Unwrap(hc)
			if types[0] == live.EventType {
				a.site.serveEvents(w, r, make(chan struct{}, 1), write)
			} else {
				a.site.serveStream(w, r, write)
			}
		}}, nil
	})
}

// requires refuses users whose role does not include role, before it reads anything
// of the request, and then lists the parameters that the operation would ignore.
// (huma accepts repeated parameters, and hides all other violations when it refuses
// unknown ones.)
func (a *api) requires(role jobs.Role) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humachi.Unwrap(ctx)
		if err := require(r, role); err != nil {
			a.site.refuse(w, r, err)
			return
		}
		callOf(r.Context()).ignored = ignoredParameters(ctx.Operation(), r)
		next(ctx)
	}
}

// ignoredParameters returns violations for what the operation would ignore of r's
// query and headers.
func ignoredParameters(op *huma.Operation, r *http.Request) jobs.Invalid {
	query, ignored := parseQuery(r)
	for _, name := range slices.Sorted(maps.Keys(query)) {
		at := slices.IndexFunc(op.Parameters, func(p *huma.Param) bool { return p.In == "query" && p.Name == name })
		switch {
		case at < 0:
			ignored = append(ignored, jobs.Violation{Location: "query." + name, Message: "unknown query parameter"})
		case op.Parameters[at].Schema.Type != huma.TypeArray:
			ignored = append(ignored, repeated("query."+name, query[name])...)
		}
	}
	for _, p := range op.Parameters {
		if p.In == "header" && p.Name != "Prefer" {
			ignored = append(ignored, repeated("header."+p.Name, r.Header.Values(p.Name))...)
		}
	}
	return ignored
}

// parseQuery returns r's query, and a violation if a part of it cannot be read.
func parseQuery(r *http.Request) (url.Values, jobs.Invalid) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return query, jobs.Invalid{{Location: "query", Message: "cannot be read: " + err.Error()}}
	}
	return query, nil
}

// repeated returns a violation if there are several values.
func repeated(location string, values []string) jobs.Invalid {
	if len(values) < 2 {
		return nil
	}
	return jobs.Invalid{{Location: location, Message: fmt.Sprintf("may be given once; it was given %d times", len(values)), Value: values[1]}}
}

// refusal converts err for huma.
func (a *api) refusal(ctx context.Context, err error) error {
	if e, ok := errors.AsType[*shared.Error](err); ok {
		return problemOf(e)
	}
	c := callOf(ctx)
	return a.site.fail(c.w.Header(), c.r, err).problem()
}

// documentBody adds the body of a POST to the description. It is added afterwards
// because parseSpec reads the body, which finds more than huma does.
func (a *api) documentBody(path, schema string) {
	a.OpenAPI().Paths[apiPrefix+path].Post.RequestBody = &huma.RequestBody{
		Required:    true,
		Description: "At most 32 MiB, else the answer is 413: send more inputs to an open job.",
		Content:     map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Ref: schema}}},
	}
}

// describe answers the API's description.
func (a *api) describe(w http.ResponseWriter, _ *http.Request) {
	text, err := json.Marshal(a.OpenAPI())
	if err != nil {
		panic(err) // cannot fail for types of this program
	}
	w.Header().Set("Content-Type", "application/openapi+json")
	_, _ = w.Write(text)
}

// A list is one page of a list.
type list[T any] struct {
	Items      []T     `json:"items" nullable:"false"`
	NextCursor *string `json:"next_cursor" doc:"Pass it as cursor to get the following page; null on the last one."`
}

type listOutput[T any] struct{ Body list[T] }

func listOf[T any](items []T, next string) *listOutput[T] {
	out := &listOutput[T]{Body: list[T]{Items: items}}
	if items == nil {
		out.Body.Items = []T{}
	}
	if next != "" {
		out.Body.NextCursor = &next
	}
	return out
}

// Paging are the parameters of every list.
type Paging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"50"`
	Cursor string `query:"cursor" doc:"next_cursor of the page before."`
}

// pageOf returns one page of a short list that was read as a whole.
func pageOf[T any](all []T, in Paging, key func(T) string) (*listOutput[T], error) {
	if in.Cursor != "" {
		at := slices.IndexFunc(all, func(v T) bool { return key(v) == in.Cursor })
		if at < 0 {
			return nil, jobs.Invalid{{Location: "query.cursor", Message: "is not a next_cursor of this list", Value: in.Cursor}}
		}
		all = all[at+1:]
	}
	if len(all) <= in.Limit {
		return listOf(all, ""), nil
	}
	all = all[:in.Limit]
	return listOf(all, key(all[in.Limit-1])), nil
}
