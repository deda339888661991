package http

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// maxBulkWait is how long a bulk operation's answer waits for its end. Browsers
// and proxies give up later.
const maxBulkWait = 10 * time.Second

type bulkInput struct {
	Key string `header:"Idempotency-Key" doc:"Within 24 hours, the same key and body return the same operation."`
}

type bulkOutput struct {
	Status   int
	Location string `header:"Location"`
	Replayed string `header:"Idempotent-Replayed"`
	Body     jobs.Bulk
}

// bulkRequest describes the body of a bulk operation.
type bulkRequest struct {
	Action jobs.BulkAction `json:"action" enum:"cancel,pause,resume,retry,delete,tag,untag"`
	IDs    []string        `json:"ids,omitempty" maxItems:"10000" minItems:"1" doc:"Ids of the jobs. Either ids or search is required."`
	Search string          `json:"search,omitempty" doc:"A search as in q of the list of jobs. It may match at most 100,000 jobs."`
	Tags   []string        `json:"tags,omitempty" maxItems:"20" doc:"Tags that the actions tag and untag add or remove."`
}

// documentBulk describes the body of a bulk operation, and that the answer may come
// before its end.
func (a *api) documentBulk() {
	post := a.OpenAPI().Paths[apiPrefix+"/jobs/bulk"].Post
	post.Description = "Ids that are not there, or belong to someone else, are refused as the verbs of one job refuse them. The operation goes on when the caller leaves or the server restarts: 200 is its result, 202 says that it still runs; poll the Location."
	answer := post.Responses["201"]
	delete(post.Responses, "201")
	answer.Description = "It is done"
	post.Responses["200"] = answer
	post.Responses["202"] = &huma.Response{Description: "It runs", Content: answer.Content, Headers: answer.Headers}
	post.RequestBody = &huma.RequestBody{
		Required: true,
		Content:  map[string]*huma.MediaType{"application/json": {Schema: a.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[bulkRequest](), true, "BulkRequest")}},
	}
}

// bulk begins a bulk operation and answers when it is done, or the time is up.
func (s *Site) bulk(ctx context.Context, in *bulkInput) (*bulkOutput, error) {
	c := callOf(ctx)
	text, err := readJSON(c.r)
	if err != nil {
		return nil, err
	}
	bulk, found := readBulk(text)
	key, err := newKey(in.Key, c.user, append([]byte("bulk "), text...))
	if wrong, ok := errors.AsType[jobs.Invalid](err); ok {
		found = append(found, wrong...)
	}
	if len(found) > 0 {
		return nil, found
	}
	v := store.As(c.user)
	id, ended, err := s.engine.Bulk(ctx, v, bulk, key, "body.search")
	if err != nil {
		return nil, err
	}
	if !key.Replays() {
		select {
		case <-ended:
		case <-time.After(maxBulkWait):
		case <-ctx.Done():
		case <-s.streams.Draining().Done():
		}
	}
	out := &bulkOutput{Status: http.StatusOK, Location: apiPrefix + "/jobs/bulk/" + id, Replayed: replayed(key)}
	now, err := s.store.Bulk(ctx, v, id)
	if err != nil {
		return nil, err
	}
	out.Body = *now
	if now.FinishedAt == nil {
		out.Status = http.StatusAccepted
	}
	return out, nil
}

func (s *Site) getBulk(ctx context.Context, in *struct {
	ID string `path:"id"`
}) (*struct{ Body jobs.Bulk }, error) {
	b, err := s.store.Bulk(ctx, store.As(callOf(ctx).user), in.ID)
	if err != nil {
		return nil, err
	}
	return &struct{ Body jobs.Bulk }{*b}, nil
}

// readBulk reads the body of a bulk operation. found lists its violations.
func readBulk(text []byte) (n store.NewBulk, found jobs.Invalid) {
	if v := malformed(text); v != nil {
		return n, jobs.Invalid{*v}
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil || fields == nil {
		return n, jobs.Invalid{{Location: "body", Message: "must be a JSON object with action, and ids or search"}}
	}
	add := func(location, message string, value any) {
		found.Add(jobs.Violation{Location: location, Message: message, Value: value})
	}
	var search *string
	for _, field := range []struct {
		name, kind string
		into       any
	}{{"action", "a string", &n.Action}, {"ids", "an array of strings", &n.IDs}, {"search", "a string", &search}, {"tags", "an array of strings", &n.Tags}} {
		value, given := fields[field.name]
		delete(fields, field.name)
		if given && (string(value) == "null" || json.Unmarshal(value, field.into) != nil) {
			add("body."+field.name, "must be "+field.kind, nil)
		}
	}
	for _, unknown := range slices.Sorted(maps.Keys(fields)) {
		add("body."+unknown, "unknown field", nil)
	}
	if len(found) > 0 {
		return n, found
	}
	if !slices.Contains(jobs.BulkActions, n.Action) {
		add("body.action", fmt.Sprintf("must be one of %s", joinActions()), string(n.Action))
	}
	tags := n.Action == jobs.BulkTag || n.Action == jobs.BulkUntag
	switch {
	case tags && len(n.Tags) == 0:
		add("body.tags", "must have at least one tag", nil)
	case !tags && n.Tags != nil:
		add("body.tags", "only tag and untag take tags", nil)
	}
	found = append(found, inBody(jobs.WrongTags("tags", n.Tags))...)
	switch {
	case n.IDs != nil && search != nil:
		add("body", "must have exactly one of ids, search; it has both", nil)
	case n.IDs == nil && search == nil:
		add("body", "must have exactly one of ids, search", nil)
	case search != nil:
		terms, wrong := jobs.ParseSearch(*search)
		found = append(found, at("body.search", wrong)...)
		if len(terms)+len(wrong) == 0 {
			add("body.search", "must not be empty; to select all, name every state: "+everyState, nil)
		}
		n.Search, n.Text = &terms, *search
	case len(n.IDs) == 0:
		add("body.ids", "must name at least one job", nil)
	case len(n.IDs) > jobs.MaxBulkIDs:
		add("body.ids", fmt.Sprintf("at most %d; use search for more", jobs.MaxBulkIDs), len(n.IDs))
	}
	for i, id := range n.IDs {
		if len(id) > maxIDBytes || !storable(id) {
			add(fmt.Sprintf("body.ids[%d]", i), "must be an id", id)
		}
	}
	return n, found
}

const (
	maxIDBytes = 200 // of an id that is echoed
	everyState = "state:open,queued,running,paused,succeeded,failed,cancelled"
)

func joinActions() (all string) {
	for i, a := range jobs.BulkActions {
		if i > 0 {
			all += ", "
		}
		all += string(a)
	}
	return all
}
