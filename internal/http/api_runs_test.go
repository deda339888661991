package http_test

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/insight"
)

// mended is a program whose task 3 fails until a file exists.
func mended(t *testing.T) (source, file string) {
	file = t.TempDir() + "/mended"
	return `
import os, time
def f(x):
    if os.path.exists("` + file + `"):
        return x
    time.sleep(0.02)
    if x == 3:
        raise ValueError(x)
`, file
}

// TestRunsAPI retries a job and reads its runs, their reports and timelines.
func TestRunsAPI(t *testing.T) {
	t.Parallel()
	s := serve(t)
	source, file := mended(t)
	id := s.ended(s.submit(program(source, `{"range":{"stop":60}}`, `,"policy":{"processes":1}`)).ID).ID
	var before insight.Report
	s.get("/api/v1/jobs/"+id+"/report").into(t, &before)
	touch(t, file)
	if a := s.call("POST", "/api/v1/jobs/"+id+"/retry", ""); a.StatusCode != http.StatusOK {
		t.Fatal(a.text)
	}
	j := s.ended(id)
	if j.Run != 2 || j.FinishedAt.Sub(j.StartedAt.Time).Seconds() > before.WallSeconds {
		t.Errorf("%+v", j.Job)
	}
	var runs struct {
		Items      []jobs.Run
		NextCursor *string `json:"next_cursor"`
	}
	s.get("/api/v1/jobs/"+id+"/runs").into(t, &runs)
	if len(runs.Items) != 2 || runs.NextCursor != nil || runs.Items[0].TasksRun != 60 || runs.Items[1].TasksRun != 1 ||
		runs.Items[0].State != jobs.Failed || runs.Items[1].State != jobs.Succeeded || runs.Items[0].ElapsedSeconds < 1 {
		t.Errorf("%+v", runs)
	}
	s.get("/api/v1/jobs/"+id+"/runs?limit=1&cursor=1").into(t, &runs)
	if len(runs.Items) != 1 || runs.Items[0].Run != 2 {
		t.Errorf("%+v", runs)
	}
	for query, tasks := range map[string]int64{"?run=1": 60, "?run=2": 1, "": 1} {
		var r insight.Report
		s.get("/api/v1/jobs/"+id+"/report"+query).into(t, &r)
		// Short tasks are timed together: the time of a few may not be known.
		if r.Tasks.Count > tasks || r.Tasks.Count < tasks-tasks/10 {
			t.Errorf("report%s is of %d tasks", query, r.Tasks.Count)
		}
		ran := int64(0)
		for _, n := range s.stream("/api/v1/jobs/" + id + "/timeline" + query).Rects.Count {
			ran += n
		}
		if ran != tasks {
			t.Errorf("stream%s has %d tasks", query, ran)
		}
	}
	for _, path := range []string{"report?run=3", "stream?run=3"} {
		if a := s.get("/api/v1/jobs/" + id + "/" + path); a.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.text)
		}
	}
	for _, path := range []string{"report?run=0", "stream?run=-1", "runs?cursor=x", "runs?cursor=9223372036854775808"} {
		if a := s.get("/api/v1/jobs/" + id + "/" + path); a.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.text)
		}
	}
}

// TestRunsPage checks that the page of a retried job has a choice of runs and shows
// the figures of the chosen one.
func TestRunsPage(t *testing.T) {
	t.Parallel()
	s := serve(t)
	source, file := mended(t)
	id := s.ended(s.submit(program(source, `{"range":{"stop":60}}`, `,"policy":{"processes":1}`)).ID).ID
	if doc := s.page("/jobs/"+id, 200); doc.Find("#job-runs a").Length() != 0 || doc.Find("head title").Text() != "f failed (1 of 60) · Allcores" {
		t.Errorf("before a retry: %s, %s", text(doc, "#job-runs"), doc.Find("head title").Text())
	}
	touch(t, file)
	s.call("POST", "/api/v1/jobs/"+id+"/retry", "")
	s.ended(id)
	for path, want := range map[string]struct{ current, report, stream string }{
		"":       {"Retry 1", "/api/v1/jobs/" + id + "/report", "/api/v1/jobs/" + id + "/timeline"},
		"?run=2": {"Retry 1", "/api/v1/jobs/" + id + "/report", "/api/v1/jobs/" + id + "/timeline"},
		"?run=1": {"First run", "/api/v1/jobs/" + id + "/report?run=1", "/api/v1/jobs/" + id + "/timeline?run=1"},
	} {
		doc := s.page("/jobs/"+id+path, 200)
		if got := text(doc, `#job-runs a[aria-current]`); doc.Find("#job-runs a").Length() != 2 || !strings.Contains(got, want.current) {
			t.Errorf("%q shows %q", path, got)
		}
		if got := doc.Find("#report-title a").AttrOr("href", ""); got != want.report {
			t.Errorf("%q links to %s", path, got)
		}
		if got := doc.Find("#timeline-box").AttrOr("data-url", ""); got != want.stream {
			t.Errorf("%q draws %s", path, got)
		}
		if first := path == "?run=1"; first != strings.Contains(text(doc, "#job-figures"), "of 60") || first == strings.Contains(text(doc, "#job-report"), "Too short") {
			t.Errorf("%q: %s, %s", path, text(doc, "#job-figures"), text(doc, "#job-report"))
		}
	}
	for _, run := range []string{"0", "3", "x"} {
		s.page("/jobs/"+id+"?run="+run, 404)
	}
}

func touch(t *testing.T, file string) {
	t.Helper()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}
