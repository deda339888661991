package http_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

func TestSubmitAndWait(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a := s.call("POST", "/api/v1/jobs", program(squares, `{"items":[1,2,3]}`, `,"tags":["demo"],"policy":{"chunk_size":null,"timeout":"30s","memory_limit":null,"max_failures":null}`), "Prefer", "respond-async, wait=30")
	if a.StatusCode != http.StatusCreated || a.Header.Get("Preference-Applied") != "wait" || a.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("status %d, %v: %s", a.StatusCode, a.Header, a.text)
	}
	var j job
	a.into(t, &j)
	if a.Header.Get("Location") != "/api/v1/jobs/"+j.ID {
		t.Errorf("Location %q", a.Header.Get("Location"))
	}
	if j.State != jobs.Succeeded || string(j.Outputs) != "[1,4,9]" || j.Name != "square" || j.Owner != "admin" || j.Counts != (jobs.Counts{Total: 3, Succeeded: 3}) {
		t.Errorf("job %s", a.text)
	}
	for _, want := range []string{`"finished_at":"20`, `"eta_seconds":null`, `"chunk_size":null`, `"timeout":"30s"`, `"max_attempts":1`, `"tags":["demo"]`, `"inputs":{"kind":"items","count":3}`} {
		if !strings.Contains(a.text, want) {
			t.Errorf("no %s in %s", want, a.text)
		}
	}
	if a.Header.Get("Idempotent-Replayed") != "" {
		t.Error("replayed at first")
	}
	plain := s.get("/api/v1/jobs/" + j.ID)
	if plain.StatusCode != 200 || strings.Contains(plain.text, "outputs") {
		t.Errorf("%d %s", plain.StatusCode, plain.text)
	}
}

// TestSubmitNothingAndWait checks that a job without tasks has ended when it is
// submitted, so its answer does not wait.
func TestSubmitNothingAndWait(t *testing.T) {
	t.Parallel()
	s := serve(t)
	best := time.Hour
	for range 3 {
		began := time.Now()
		if j := s.submit(program(squares, `{"items":[]}`), "Prefer", "wait=30"); j.State != jobs.Succeeded || string(j.Outputs) != "[]" {
			t.Errorf("%+v", j)
		}
		best = min(best, time.Since(began))
	}
	if best >= time.Second {
		t.Errorf("it took %v at best", best)
	}
}

// TestOutputsOfTheJob checks that outputs come with the job if they take at most 1
// MiB.
func TestOutputsOfTheJob(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for _, over := range []int{0, 1} {
		size := 1<<20 + over - len(`["",1]`)
		j := s.submit(program("def f(n): return 'a' * n if n > 1 else n\n", fmt.Sprintf(`{"items":[%d,1]}`, size)), "Prefer", "wait=30")
		if want := (1 - over) << 20; j.State != jobs.Succeeded || len(j.Outputs) != want {
			t.Errorf("%d bytes too many: %s with %d bytes of outputs, want %d", over, j.State, len(j.Outputs), want)
		}
	}
}

// TestErrorsPageByPage checks that the pages of errors list every failure once.
func TestErrorsPageByPage(t *testing.T) {
	t.Parallel()
	s := serve(t)
	j := s.submit(program("def f(x): raise ValueError('abcdefghijklmnopqr'[x % 5 if x < 15 else x])\n", `{"range":{"stop":18}}`), "Prefer", "wait=30")
	if j.Counts.Failed != 18 {
		t.Fatalf("%+v", j)
	}
	path := "/api/v1/jobs/" + j.ID + "/errors"
	var got []string
	for cursor := ""; ; {
		var list struct {
			Items []jobs.FailureGroup
			Next  string `json:"next_cursor"`
		}
		s.get(path+"?limit=3&cursor="+cursor).into(t, &list)
		for _, g := range list.Items {
			got = append(got, fmt.Sprint(g.Message, "×", g.Count))
		}
		if cursor = list.Next; cursor == "" {
			break
		}
		if len(list.Items) != 3 {
			t.Fatalf("a page of %d with another behind it", len(list.Items))
		}
	}
	if want := []string{"a×3", "b×3", "c×3", "d×3", "e×3", "p×1", "q×1", "r×1"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for _, bad := range []string{"x", "1", "1-", "-", "3-x", "99999999999999999999-1"} {
		if a := s.get(path + "?cursor=" + bad); a.StatusCode != 422 || !slices.Equal(a.problem(t).locations(), []string{"query.cursor"}) {
			t.Errorf("cursor %q: %d %s", bad, a.StatusCode, a.text)
		}
	}
}

// TestDescription checks that the OpenAPI description has the bodies of streamed
// inputs and of queues, the status of a created queue, and what may be null. No type
// in it is empty.
func TestDescription(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	var d struct {
		Paths map[string]map[string]struct {
			RequestBody struct{ Content map[string]any }
			Responses   map[string]any
		}
		Components struct{ Schemas map[string]schema }
	}
	a := s.get("/api/v1/openapi.json")
	a.into(t, &d)
	for _, c := range []struct{ method, path, body, status string }{
		{"post", "/jobs", "application/json", "201"},
		{"post", "/jobs/{id}/tasks", "application/x-ndjson", "200"},
		{"put", "/queues/{name}", "application/json", "200"},
		{"put", "/queues/{name}", "application/json", "201"},
	} {
		op := d.Paths["/api/v1"+c.path][c.method]
		if op.RequestBody.Content[c.body] == nil || op.Responses[c.status] == nil {
			t.Errorf("%+v: %+v", c, op)
		}
	}
	for name, fields := range map[string][]string{
		"Job": {"started_at", "finished_at"}, "JobAnswer": {"started_at", "finished_at"}, "Task": {"started_at"},
		"Attempt": {"started_at"}, "Bar": {"finished_at"}, "Queue": {"oldest_waiting_at"},
	} {
		for _, field := range fields {
			if got := string(d.Components.Schemas[name].Properties[field].Type); got != `["string","null"]` {
				t.Errorf("%s.%s is of type %s", name, field, got)
			}
		}
	}
	if strings.Contains(a.text, `""`) {
		t.Error("something in it is empty")
	}
}
