package http_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
)

// large makes a job of 40 leases of 2,000 tasks each that succeed with 250 bytes
// or, each hundredth, fail, and 2,000 more tasks that are cancelled.
func (s *server) large() string {
	s.t.Helper()
	const size = 2000
	id := s.manual(41 * size)
	line := []byte(`"` + strings.Repeat("x", 250) + "\"\n")
	for range 40 {
		lease := s.lease(id, size)
		run := outcomes.Encoded{First: lease.First, Count: size, Durations: make([]byte, 2*size)}
		for i := range int32(size) {
			if i%100 == 0 {
				run.Failed = append(run.Failed, i)
				run.Outputs = outcomes.AppendFailure(run.Outputs, &jobs.TaskError{Kind: jobs.KindException, Message: strings.Repeat("y", 250)})
			} else {
				run.Outputs = append(run.Outputs, line...)
			}
		}
		p, _, err := s.store.Record(s.t.Context(), store.Record{Job: id, Lease: lease.ID, Count: size, Outcomes: []outcomes.Encoded{run}}, nil)
		if err != nil || !p.Held {
			s.t.Fatalf("record: %+v, %v", p, err)
		}
	}
	if a := s.call("POST", "/api/v1/jobs/"+id+"/cancel", ""); a.StatusCode != 200 {
		s.t.Fatal(a.text)
	}
	return id
}

// TestResultsOfAJobThatGoes checks that deleting or retrying a job breaks the stream
// of its results: no task becomes cancelled, and no part passes for the whole.
func TestResultsOfAJobThatGoes(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	queries := []string{"", "?format=csv", "?format=outputs", "?follow=true", "?order=completion", "?follow=true&order=completion&format=outputs",
		"?state=failed", "?state=cancelled,failed"}
	for _, how := range []string{"deleted", "retried", "retained"} {
		id := s.large()
		if whole := s.get("/api/v1/jobs/" + id + "/results"); strings.Count(whole.text, `"cancelled"`) != 2000 || strings.Count(whole.text, "\n") != 82_000 {
			t.Fatalf("%d cancelled in %d lines", strings.Count(whole.text, `"cancelled"`), strings.Count(whole.text, "\n"))
		}
		streams := make([]*http.Response, len(queries))
		for i, query := range queries {
			streams[i] = s.send("GET", "/api/v1/jobs/"+id+"/results"+query, "")
			defer streams[i].Body.Close()
			if _, err := io.ReadFull(streams[i].Body, make([]byte, 100)); err != nil {
				t.Fatal(query, err)
			}
		}
		var a *answer
		switch how {
		case "deleted":
			a = s.call("DELETE", "/api/v1/jobs/"+id, "")
		case "retried":
			a = s.call("POST", "/api/v1/jobs/"+id+"/retry", "")
		default:
			await(t, "the job is old enough", func() bool {
				n, err := s.store.DeleteOld(t.Context(), time.Millisecond, 10)
				return err == nil && n == 1
			})
		}
		if a != nil && a.StatusCode/100 != 2 {
			t.Fatal(a.text)
		}
		for i, query := range queries {
			rest, err := io.ReadAll(streams[i].Body)
			// The failed tasks alone fit in the buffers, so they were read before.
			small := strings.HasPrefix(query, "?state=")
			if err == nil && !small {
				t.Errorf("%s, %s: the stream ended in order after %d bytes: …%q", how, query, len(rest), rest[max(len(rest)-200, 0):])
			}
			if n := bytes.Count(rest, []byte("cancelled")) + bytes.Count(rest, []byte("null,null")); err != nil && n > 0 {
				t.Errorf("%s, %s: %d tasks are reported as cancelled", how, query, n)
			}
		}
		if how == "retried" {
			continue
		}
		for _, query := range queries {
			if a := s.get("/api/v1/jobs/" + id + "/results" + query); a.StatusCode != 404 {
				t.Errorf("%s, %s: %d %s", how, query, a.StatusCode, cut(a.text))
			}
		}
	}
}

// TestUnchanged checks that reads of a job that was retried or deleted since it was
// read return an error.
func TestUnchanged(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	viewer := store.As(s.admin)
	id := s.manual(2)
	s.record(id, s.lease(id, 2), 1)
	job, err := s.store.Job(t.Context(), viewer, id)
	if err != nil || s.store.Unchanged(t.Context(), job) != nil {
		t.Fatal(job, err)
	}
	if a := s.call("POST", "/api/v1/jobs/"+id+"/retry", ""); a.StatusCode != 200 {
		t.Fatal(a.text)
	}
	if task, err := s.store.Task(t.Context(), job, 1); err == nil {
		t.Errorf("a retried task was reported as %s", task.State)
	}
	if cells, err := s.store.Strip(t.Context(), job, 2); err == nil {
		t.Errorf("a retried job was reported as %+v", cells)
	}
	s.record(id, s.lease(id, 1))
	if job, err = s.store.Job(t.Context(), viewer, id); err != nil {
		t.Fatal(err)
	}
	if a := s.call("DELETE", "/api/v1/jobs/"+id, ""); a.StatusCode != 204 {
		t.Fatal(a.text)
	}
	if task, err := s.store.Task(t.Context(), job, 1); err == nil {
		t.Errorf("a deleted task was reported as %s", task.State)
	}
	if cells, err := s.store.Strip(t.Context(), job, 2); err == nil {
		t.Errorf("a deleted job was reported as %+v", cells)
	}
}
