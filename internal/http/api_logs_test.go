package http_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/allcores/allcores/internal/jobs"
)

// logged returns the lines of a job's logs in short.
func (s *server) logged(id, query string) []string {
	s.t.Helper()
	a := s.get("/api/v1/jobs/" + id + "/logs" + query)
	if a.StatusCode != 200 {
		s.t.Fatalf("%s: %d %s", query, a.StatusCode, a.text)
	}
	var out []string
	for _, l := range lines[jobs.LogLine](s.t, a.text) {
		out = append(out, fmt.Sprintf("%d %s %s", l.Task, l.Stream, l.Line))
	}
	return out
}

func TestLogFilters(t *testing.T) {
	t.Parallel()
	s := serve(t)
	source := "import sys\ndef f(x):\n    print('Out', x)\n    print('ERR', x, file=sys.stderr)\n"
	j := s.submit(program(source, `{"range":{"stop":12}}`, `,"policy":{"processes":1,"chunk_size":12}`), "Prefer", "wait=30")
	for query, want := range map[string][]string{
		"?task=3":                             {"3 stdout Out 3", "3 stderr ERR 3"},
		"?task=3&stream=stderr":               {"3 stderr ERR 3"},
		"?q=OUT+1":                            {"1 stdout Out 1", "10 stdout Out 10", "11 stdout Out 11"},
		"?q=err&task=7&follow=true":           {"7 stderr ERR 7"},
		"?q=out&task=7&stream=stderr":         nil,
		"?follow=true&stream=stdout&q=out+11": {"11 stdout Out 11"},
	} {
		if diff := cmp.Diff(want, s.logged(j.ID, query)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
	for _, query := range []string{"?stream=other", "?task=12", "?task=12&follow=true", "?q=%00"} {
		if a := s.get("/api/v1/jobs/" + j.ID + "/logs" + query); a.StatusCode != 422 {
			t.Errorf("%s: %d %s", query, a.StatusCode, a.text)
		}
	}
}

// TestLogsFollowed checks that lines arrive while tasks run, and that the stream ends
// with the job.
func TestLogsFollowed(t *testing.T) {
	t.Parallel()
	s := serve(t)
	gate := filepath.Join(t.TempDir(), "gate")
	source := fmt.Sprintf("import os, time\ndef f(x):\n    print('begin', x, flush=True)\n    while not os.path.exists(%q): time.sleep(0.01)\n    print('end', x)\n", gate)
	j := s.submit(program(source, `{"range":{"stop":1}}`))
	res := s.send("GET", "/api/v1/jobs/"+j.ID+"/logs?follow=true", "")
	defer res.Body.Close()
	body := bufio.NewReader(res.Body)
	if line := next(t, body); res.StatusCode != http.StatusOK || !strings.Contains(line, "begin 0") {
		t.Fatalf("%d %q", res.StatusCode, line)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if line := next(t, body); !strings.Contains(line, "end 0") {
		t.Errorf("%q", line)
	}
	if _, err := body.ReadByte(); err == nil || err.Error() != "EOF" {
		t.Errorf("the stream of an ended job ends with %v", err)
	}
}

// TestLogsOfDeletedJob checks that deleting a job breaks the stream of its logs,
// which would seem complete otherwise.
func TestLogsOfDeletedJob(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	id := s.manual(3)
	res := s.send("GET", "/api/v1/jobs/"+id+"/logs?follow=true", "")
	defer res.Body.Close()
	if _, err := s.store.Pool.Exec(t.Context(), `delete from jobs where id = $1`, id); err != nil {
		t.Fatal(err)
	}
	if c, err := io.ReadAll(res.Body); len(c) > 0 || err == nil {
		t.Errorf("status %d, the stream %q ends with %v", res.StatusCode, c, err)
	}
}

// TestLogsAreSentAtOnce checks that a line which is recorded while a chunk goes on
// reaches a stream after a silence without the wait for a tick.
func TestLogsAreSentAtOnce(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	id := s.manual(2)
	lease := s.lease(id, 1)
	res := s.send("GET", "/api/v1/jobs/"+id+"/logs?follow=true", "")
	defer res.Body.Close()
	body := bufio.NewReader(res.Body)
	var took []time.Duration
	for i := range 5 {
		time.Sleep(150 * time.Millisecond) // the silence
		began := time.Now()
		if err := s.store.AppendLogs(t.Context(), id, lease.ID, []jobs.LogLine{{Task: 0, Stream: "stdout", Line: fmt.Sprint("line ", i)}}); err != nil {
			t.Fatal(err)
		}
		if line := next(t, body); !strings.Contains(line, fmt.Sprint("line ", i)) {
			t.Fatal(line)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	t.Log(took)
	if took[2] > 100*time.Millisecond {
		t.Errorf("lines took %v", took)
	}
}
