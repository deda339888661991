package http_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/allcores/allcores/internal/jobs"
)

func TestQueuesAreAddedChangedAndDeleted(t *testing.T) {
	t.Parallel()
	s := serve(t)
	put := func(name, body string, status int) jobs.Queue {
		t.Helper()
		a := s.call("PUT", "/api/v1/queues/"+name, body)
		if a.StatusCode != status {
			t.Fatalf("PUT %s %s: status %d: %s", name, body, a.StatusCode, a.text)
		}
		var q jobs.Queue
		a.into(t, &q)
		return q
	}
	if q := put("gpu", `{"per_core": 0.5}`, http.StatusCreated); q.Name != "gpu" || q.PerCore != .5 || q.Pinned || q.MaxProcesses != nil || q.Paused {
		t.Errorf("a new queue: %+v", q)
	}
	if q := put("gpu", `{"pinned": true, "max_processes": 3}`, http.StatusOK); q.PerCore != .5 || !q.Pinned || *q.MaxProcesses != 3 {
		t.Errorf("changed in part: %+v", q)
	}
	// A client may change an answer and send it back.
	whole := s.get("/api/v1/queues/gpu").text
	if q := put("gpu", whole, http.StatusOK); q.PerCore != .5 || *q.MaxProcesses != 3 {
		t.Errorf("sent back: %+v", q)
	}
	if q := put("gpu", `{"max_processes": null, "per_core": 32, "paused": true}`, http.StatusOK); q.PerCore != 32 || q.MaxProcesses != nil || !q.Paused {
		t.Errorf("without a limit: %+v", q)
	}
	spec := program(squares, `{"range":{"stop":3}}`, `,"queue":"gpu"`)
	j := s.submit(spec, "Idempotency-Key", "mine")
	if a := s.call("DELETE", "/api/v1/queues/gpu", ""); a.StatusCode != http.StatusConflict {
		t.Errorf("deleting a queue with work: %d %s", a.StatusCode, a.text)
	}
	if a := s.call("POST", "/api/v1/queues/gpu/resume", ""); a.StatusCode != http.StatusOK {
		t.Errorf("resume: %d %s", a.StatusCode, a.text)
	}
	if j := s.ended(j.ID); j.State != jobs.Succeeded {
		t.Errorf("%+v", j)
	}
	if a := s.call("DELETE", "/api/v1/queues/gpu", ""); a.StatusCode != http.StatusNoContent {
		t.Errorf("delete: %d %s", a.StatusCode, a.text)
	}
	for _, call := range [][2]string{{"GET", ""}, {"DELETE", ""}, {"POST", "/pause"}, {"POST", "/resume"}} {
		if a := s.call(call[0], "/api/v1/queues/gpu"+call[1], ""); a.StatusCode != http.StatusNotFound {
			t.Errorf("%s %s of a deleted queue: %d", call[0], call[1], a.StatusCode)
		}
	}
	if q := s.ended(j.ID).Queue; q != "gpu" {
		t.Errorf("the ended job's queue is %q", q)
	}
	a := s.call("POST", "/api/v1/jobs", program(squares, `{"range":{"stop":3}}`, `,"queue":"gpu"`))
	if a.StatusCode != http.StatusUnprocessableEntity || !slices.Contains(a.problem(t).locations(), "body.queue") {
		t.Errorf("submitting to a deleted queue: %d %s", a.StatusCode, a.text)
	}
	if again := s.call("POST", "/api/v1/jobs", spec, "Idempotency-Key", "mine"); again.StatusCode != 201 || again.Header.Get("Idempotent-Replayed") != "true" || !strings.Contains(again.text, j.ID) {
		t.Errorf("the same submission again: %d %s", again.StatusCode, again.text)
	}
	if a := s.call("POST", "/api/v1/jobs", spec+" ", "Idempotency-Key", "mine"); a.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("another with its key: %d %s", a.StatusCode, a.text)
	}
}

func TestBadQueues(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	for _, test := range []struct {
		name, body string
		want       []string
	}{
		{"new", `{}`, []string{"body.per_core"}},
		{"new", `[]`, []string{"body"}},
		{"new", `{`, []string{"body"}},
		{"new", `null`, []string{"body"}},
		{"new", `{"per_core": 0}`, []string{"body.per_core"}},
		{"new", `{"per_core": -1, "max_processes": 0}`, []string{"body.max_processes", "body.per_core"}},
		{"new", `{"per_core": "2", "pinned": 1, "max_processes": 1.5, "colour": "red"}`, []string{"body.colour", "body.max_processes", "body.per_core", "body.pinned"}},
		{"new", `{"per_core": -1, "pinned": 1}`, []string{"body.per_core", "body.pinned"}},
		{"new", `{"pinned": 1}`, []string{"body.per_core", "body.pinned"}},
		{"new", `{"per_core": 1, "per_core": 2}`, []string{"body.per_core"}},
		{"new", "{\"per_core\": 1, \"jobs\": \"\xff\"}", []string{"body"}},
		{"new", `{"per_core": 99999999999999999999, "max_processes": 99999999999999999999}`, []string{"body.max_processes", "body.per_core"}},
		{"new", strings.Repeat("[", 100_000), []string{"body"}},
		{"new", `{"per_core": null}`, []string{"body.per_core"}},
		{"new", `{"per_core": 1, "name": "old"}`, []string{"body.name"}},
		{"cpu", `{"per_core": 1e9}`, []string{"body.per_core"}},
		{"UPPER", `{"per_core": 1}`, []string{"path.name"}},
		{"a--b", `{"per_core": 1}`, []string{"path.name"}},
		{"idle", `{"per_core": 1}`, []string{"path.name"}},
	} {
		a := s.call("PUT", "/api/v1/queues/"+test.name, test.body)
		got := a.problem(t).locations()
		slices.Sort(got)
		if a.StatusCode != http.StatusUnprocessableEntity || !slices.Equal(got, test.want) {
			t.Errorf("%s %s: status %d, errors at %v, want %v", test.name, test.body, a.StatusCode, got, test.want)
		}
	}
	for _, name := range []string{"%00", "%ff", "no"} {
		for _, call := range [][2]string{{"GET", ""}, {"DELETE", ""}, {"POST", "/pause"}, {"POST", "/resume"}, {"GET", "/history"}} {
			if a := s.call(call[0], "/api/v1/queues/"+name+call[1], ""); a.StatusCode != http.StatusNotFound {
				t.Errorf("%s of queue %s%s: %d %s", call[0], name, call[1], a.StatusCode, a.text)
			}
		}
	}
	var q jobs.Queue
	s.get("/api/v1/queues/cpu").into(t, &q)
	if q.PerCore != 1 || !q.Pinned {
		t.Errorf("bad requests changed cpu: %+v", q)
	}
}

func TestOnlyAdminsSteer(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for _, role := range []jobs.Role{jobs.Viewer, jobs.Submitter} {
		bearer := "Bearer " + s.user("a-"+string(role), role)
		for _, call := range [][3]string{
			{"PUT", "/queues/cpu", `{"per_core": 2}`}, {"PUT", "/queues/new", `{"per_core": 2}`}, {"DELETE", "/queues/io", ""},
			{"POST", "/queues/cpu/pause", ""}, {"POST", "/queues/cpu/resume", ""},
			{"POST", "/nodes/" + s.node + "/drain", ""}, {"POST", "/nodes/" + s.node + "/resume", ""},
		} {
			if a := s.call(call[0], "/api/v1"+call[1], call[2], "Authorization", bearer); a.StatusCode != http.StatusForbidden {
				t.Errorf("%s: %s %s: %d %s", role, call[0], call[1], a.StatusCode, a.text)
			}
		}
		for _, path := range []string{"/queues", "/queues/cpu", "/nodes"} {
			if a := s.get("/api/v1"+path, "Authorization", bearer); a.StatusCode != http.StatusOK {
				t.Errorf("%s: GET %s: %d %s", role, path, a.StatusCode, a.text)
			}
		}
	}
}

func TestNodesAreDrainedAndResumed(t *testing.T) {
	t.Parallel()
	s := serve(t)
	var n jobs.Node
	s.call("POST", "/api/v1/nodes/"+s.node+"/drain", "").into(t, &n)
	if !n.Draining || n.ID != s.node {
		t.Errorf("%+v", n)
	}
	j := s.submit(program(squares, `{"range":{"stop":3}}`))
	if a := s.call("POST", "/api/v1/nodes/"+s.node+"/resume", ""); a.StatusCode != http.StatusOK {
		t.Errorf("resume: %d %s", a.StatusCode, a.text)
	}
	if j := s.ended(j.ID); j.State != jobs.Succeeded {
		t.Errorf("%+v", j)
	}
	for _, id := range []string{"nonsense", "01890000-0000-7000-8000-000000000000"} {
		if a := s.call("POST", "/api/v1/nodes/"+id+"/drain", ""); a.StatusCode != http.StatusNotFound {
			t.Errorf("drain node %s: %d %s", id, a.StatusCode, a.text)
		}
	}
}
