package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// Of what a talkative job prints, the beginning and the end are kept.
func TestLogsOfATalkativeJob(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	id := insert(t, s, admin, pythonSpec(rangeOf(50)))
	lease := claim(t, s, id, 50).ID
	line := func(task int64, text string) jobs.LogLine {
		return jobs.LogLine{Task: task, Stream: "stderr", Line: text, At: jobs.Time{Time: time.Now()}}
	}
	for i := range int64(24) { // of 1 MiB each
		lines := make([]jobs.LogLine, 17)
		for j := range 16 {
			lines[j] = line(i, strings.Repeat("x", 64<<10))
		}
		lines[16] = line(i, "the error")
		if err := s.AppendLogs(t.Context(), id, lease, lines); err != nil {
			t.Fatal(err)
		}
	}
	errors := func(task int64) (n int) {
		t.Helper()
		page, err := s.Logs(t.Context(), id, store.LogFilter{Task: &task}, 0)
		if err != nil || !page.Cut {
			t.Fatalf("cut %v, %v", page.Cut, err)
		}
		for _, l := range page.Lines {
			if l.Line == "the error" {
				n++
			}
		}
		return n
	}
	for _, task := range []int64{0, 1, 2, 16, 20, 22, 23} {
		if n := errors(task); n != 1 {
			t.Errorf("task %d has its error %d times", task, n)
		}
	}
	tail, err := s.LogWindow(t.Context(), id, store.LogFilter{}, store.LogsEnd, false, 2)
	if err != nil || len(tail.Lines) != 2 || tail.Lines[1].Task != 23 || tail.Lines[1].Line != "the error" {
		t.Errorf("the tail has %d lines, %v", len(tail.Lines), err)
	}
	kept := func() (bytes int) {
		t.Helper()
		if err := s.Pool.QueryRow(t.Context(), `select sum(octet_length(data)) from logs where job_id = $1`, id).Scan(&bytes); err != nil {
			t.Fatal(err)
		}
		return bytes
	}
	if n := kept(); n > 18<<20 || n < 12<<20 {
		t.Errorf("%d bytes are kept", n)
	}
	// The middle goes when the end grows.
	for range 14 {
		if err := s.AppendLogs(t.Context(), id, lease, []jobs.LogLine{line(40, strings.Repeat("y", 1<<20))}); err != nil {
			t.Fatal(err)
		}
	}
	if n := kept(); n > 18<<20 || errors(0) != 1 || errors(10) != 0 {
		t.Errorf("%d bytes are kept, with %d and %d errors of tasks 0 and 10", n, errors(0), errors(10))
	}
}
