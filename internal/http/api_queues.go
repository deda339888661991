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

	"github.com/danielgtaylor/huma/v2"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/insight"
)

func (s *Site) listQueues(ctx context.Context, in *struct{ Paging }) (*listOutput[jobs.Queue], error) {
	queues, err := s.store.Queues(ctx)
	if err != nil {
		return nil, err
	}
	return pageOf(queues, in.Paging, func(q jobs.Queue) string { return q.Name })
}

// QueuePath is the address of a queue.
type QueuePath struct {
	Name string `path:"name"`
}

type queueOutput struct {
	Status int
	Body   jobs.Queue
}

func (s *Site) getQueue(ctx context.Context, in *QueuePath) (*queueOutput, error) {
	return s.queueAs(ctx, in.Name, http.StatusOK)
}

func (s *Site) queueAs(ctx context.Context, name string, status int) (*queueOutput, error) {
	queues, err := s.store.Queues(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(queues, func(q jobs.Queue) bool { return q.Name == name })
	if i < 0 {
		return nil, jobs.ErrNotFound
	}
	return &queueOutput{status, queues[i]}, nil
}

// putQueue adds a queue or changes it. Fields that the body leaves out keep their
// values; fields of a queue's state are ignored, so that an answer can be changed
// and sent back.
func (s *Site) putQueue(ctx context.Context, in *QueuePath) (*queueOutput, error) {
	text, err := readJSON(callOf(ctx).r)
	if err != nil {
		return nil, err
	}
	before, err := s.queueAs(ctx, in.Name, http.StatusOK)
	if err != nil && !errors.Is(err, jobs.ErrNotFound) {
		return nil, err
	}
	var q jobs.Queue
	if before != nil {
		q = before.Body
	}
	paused := q.Paused
	found := readQueue(ctx, text, &q, in.Name, before == nil)
	if len(found) > 0 {
		return nil, found
	}
	added, err := s.store.SetQueue(ctx, in.Name, q.QueueLimits)
	if err != nil {
		return nil, err
	}
	if q.Paused != paused {
		if err := s.store.PauseQueue(ctx, in.Name, q.Paused); err != nil {
			return nil, err
		}
	}
	s.cluster.changed()
	status := http.StatusOK
	if added {
		status = http.StatusCreated
	}
	return s.queueAs(ctx, in.Name, status)
}

// A queueChange describes the body of putQueue.
type queueChange struct {
	PerCore      float64 `json:"per_core,omitempty" doc:"Processes at once for each core of a node; 0.5 is one process for two cores."`
	Pinned       bool    `json:"pinned,omitempty" doc:"Each process runs on its own core."`
	MaxProcesses *int    `json:"max_processes,omitempty" doc:"Processes at once over all nodes; null for no limit."`
	Paused       bool    `json:"paused,omitempty"`
}

// documentQueueBody describes the body of putQueue, and its answer for a new queue.
func (a *api) documentQueueBody() {
	schema := a.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[queueChange](), true, "QueueChange")
	put := a.OpenAPI().Paths[apiPrefix+"/queues/{name}"].Put
	put.Responses["201"] = &huma.Response{Description: "Created", Content: put.Responses["200"].Content}
	put.RequestBody = &huma.RequestBody{
		Required: true,
		Content:  map[string]*huma.MediaType{"application/json": {Schema: schema}},
	}
}

// queueBody is the schema of the body of putQueue for a treeReader.
var queueBody = &huma.Schema{Type: huma.TypeObject, AdditionalProperties: &huma.Schema{}}

// readQueue applies a body of putQueue to q. It returns what is wrong with it.
func readQueue(ctx context.Context, text []byte, q *jobs.Queue, name string, fresh bool) jobs.Invalid {
	if v := malformed(text); v != nil {
		return jobs.Invalid{*v}
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil || fields == nil {
		return jobs.Invalid{{Location: "body", Message: "must be a JSON object with per_core, pinned and max_processes"}}
	}
	tree := newTreeReader(ctx, nil, text)
	if _, err := tree.read(queueBody); err != nil {
		return jobs.Invalid{{Location: "body", Message: err.Error()}}
	}
	var found jobs.Invalid
	add := func(v jobs.Violation) {
		if v.More > 0 || !found.Has(v.Location) {
			found.Add(v)
		}
	}
	var named string
	var ignored any
	for _, field := range []struct {
		name, kind string
		into       any
	}{
		{"name", "a string", &named},
		{"per_core", "a number", &q.PerCore},
		{"pinned", "true or false", &q.Pinned},
		{"max_processes", "a whole number or null", &q.MaxProcesses},
		{"paused", "true or false", &q.Paused},
		{"waiting_turns", "", &ignored},
		{"running_turns", "", &ignored},
		{"oldest_waiting_at", "", &ignored},
		{"jobs", "", &ignored},
	} {
		value, given := fields[field.name]
		delete(fields, field.name)
		if !given {
			continue
		}
		if field.name == "per_core" {
			fresh = false
		}
		if string(value) == "null" && field.name != "max_processes" && field.kind != "" || json.Unmarshal(value, field.into) != nil {
			add(jobs.Violation{Location: "body." + field.name, Message: "must be " + field.kind})
		}
	}
	for _, unknown := range slices.Sorted(maps.Keys(fields)) {
		add(jobs.Violation{Location: "body." + unknown, Message: "unknown field"})
	}
	if !jobs.ValidQueueName(name) {
		add(jobs.Violation{Location: "path.name", Message: jobs.QueueNameRule, Value: name})
	}
	if named != "" && named != name {
		add(jobs.Violation{Location: "body.name", Message: "must be the name in the address", Value: named})
	}
	if fresh {
		add(jobs.Violation{Location: "body.per_core", Message: "is required for a new queue"})
	}
	for _, v := range slices.Concat(inBody(q.Validate()), tree.found) {
		add(v)
	}
	return found
}

func (s *Site) deleteQueue(ctx context.Context, in *QueuePath) (*struct{}, error) {
	if !storable(in.Name) {
		return nil, jobs.ErrNotFound
	}
	err := s.store.DeleteQueue(ctx, in.Name)
	s.cluster.changed()
	return nil, explained(err, jobs.ErrConflict, "The queue has jobs that have not ended.")
}

// pauseQueue pauses or resumes a queue.
func (s *Site) pauseQueue(paused bool) func(context.Context, *QueuePath) (*queueOutput, error) {
	return func(ctx context.Context, in *QueuePath) (*queueOutput, error) {
		if !storable(in.Name) {
			return nil, jobs.ErrNotFound
		}
		if err := s.store.PauseQueue(ctx, in.Name, paused); err != nil {
			return nil, err
		}
		s.cluster.changed()
		return s.queueAs(ctx, in.Name, http.StatusOK)
	}
}

type queueHistoryOutput struct{ Body insight.QueueHistory }

// queueHistory answers what was done in a queue within the last hour.
func (s *Site) queueHistory(ctx context.Context, in *QueuePath) (*queueHistoryOutput, error) {
	now, err := s.cluster.now(ctx)
	if err != nil {
		return nil, err
	}
	h, known := now.queueHistory[in.Name]
	if !known {
		return nil, fmt.Errorf("queue %q: %w", in.Name, jobs.ErrNotFound)
	}
	return &queueHistoryOutput{h}, nil
}
