package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
	"github.com/google/go-cmp/cmp"
)

// TestLogsOfATalkativeJob checks that the beginning and the end of long logs are
// kept.
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
	// The middle is removed when the end grows.
	for range 14 {
		if err := s.AppendLogs(t.Context(), id, lease, []jobs.LogLine{line(40, strings.Repeat("y", 1<<20))}); err != nil {
			t.Fatal(err)
		}
	}
	if n := kept(); n > 18<<20 || errors(0) != 1 || errors(10) != 0 {
		t.Errorf("%d bytes are kept, with %d and %d errors of tasks 0 and 10", n, errors(0), errors(10))
	}
}

func TestLogs(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	id := insert(t, s, admin, pythonSpec(rangeOf(10)))
	lease := claim(t, s, id, 10).ID
	at := jobs.Time{Time: time.Now()}
	for i := range int64(3) {
		err := s.AppendLogs(t.Context(), id, lease, []jobs.LogLine{{Task: i, Stream: "stdout", Line: "a<b", At: at}, {Task: i + 1, Stream: "stderr", Line: "e", At: at}})
		if err != nil {
			t.Fatal(err)
		}
	}
	one := int64(1)
	page, err := s.Logs(t.Context(), id, store.LogFilter{Task: &one}, 0)
	if err != nil || len(page.Lines) != 2 || page.Lines[0].Stream != "stderr" || page.Lines[1].Line != "a<b" || page.Cut {
		t.Errorf("task 1 printed %+v, %v", page, err)
	}
	big := jobs.LogLine{Task: 5, Stream: "stdout", Line: strings.Repeat("x", 1<<20), At: at}
	for range 17 {
		if err := s.AppendLogs(t.Context(), id, lease, []jobs.LogLine{big}); err != nil {
			t.Fatal(err)
		}
	}
	tail, err := s.LogWindow(t.Context(), id, store.LogFilter{}, store.LogsEnd, false, 2)
	cut, err2 := s.LogsCut(t.Context(), id)
	if err != nil || err2 != nil || len(tail.Lines) != 2 || !cut {
		t.Errorf("the tail has %d lines, cut %v, %v, %v", len(tail.Lines), cut, err, err2)
	}
	// Pages in both directions have all lines once.
	id = insert(t, s, admin, pythonSpec(rangeOf(10)))
	lease = claim(t, s, id, 10).ID
	var want []string
	for row := range 40 {
		var lines []jobs.LogLine
		for i := range row%4 + 1 {
			want = append(want, fmt.Sprintf("Line %d.%d", row, i))
			lines = append(lines, jobs.LogLine{Task: int64(row % 2), Stream: "stdout", Line: want[len(want)-1], At: at})
		}
		if err := s.AppendLogs(t.Context(), id, lease, lines); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{"line", "line 3", ".0"} {
		chosen := slices.DeleteFunc(slices.Clone(want), func(l string) bool { return !strings.Contains(strings.ToLower(l), text) })
		for _, ahead := range []bool{false, true} {
			var got []string
			place := store.LogsEnd
			if ahead {
				place = store.LogPlace{Line: -1}
			}
			for more := true; more; {
				w, err := s.LogWindow(t.Context(), id, store.LogFilter{Text: text}, place, ahead, 7)
				if err != nil || len(w.Lines) > 7 {
					t.Fatal(len(w.Lines), err)
				}
				var part []string
				for _, l := range w.Lines {
					part = append(part, l.Line)
				}
				if ahead {
					got, place, more = append(got, part...), w.Last, w.Newer
				} else {
					got, place, more = append(part, got...), w.First, w.Older
				}
			}
			if diff := cmp.Diff(chosen, got); diff != "" {
				t.Errorf("lines with %q, ahead %v (-want +got):\n%s", text, ahead, diff)
			}
		}
	}
}
