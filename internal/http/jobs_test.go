package web_test

import (
	"net/http"
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

// A job without a task has ended when it is submitted: nobody waits for it.
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
