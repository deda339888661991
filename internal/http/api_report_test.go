package http_test

import (
	"html"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/insight"
)

// checkReport checks that the figures of a report agree, and that the page shows it.
func checkReport(t testing.TB, s *server, kind insight.VerdictKind, id string, r *insight.Report) {
	t.Helper()
	sum := r.Shares.Tasks + r.Shares.Moving + r.Shares.Waiting + r.Shares.Tail + r.Shares.Idle + r.Shares.Other
	if math.Abs(sum-1) > 1e-9 || !r.Ended || r.Efficiency <= 0 || r.Efficiency > 1 || r.IdealSeconds <= 0 || r.IdealSeconds > r.WallSeconds || r.CoresBusy > float64(r.Cores) || r.Cores < 1 {
		t.Errorf("%s: %+v", kind, r)
	}
	counted := int64(0)
	for _, b := range r.Histogram {
		counted += b.Count
	}
	if counted != r.Tasks.Count || counted == 0 || r.Longest == nil {
		t.Errorf("%s: %d tasks in the histogram of %+v", kind, counted, r)
	}
	page := html.UnescapeString(s.get("/jobs/" + id).text)
	if !strings.Contains(page, r.Verdict.Sentence) || !strings.Contains(page, `<svg class="histogram"`) {
		t.Errorf("%s: the page does not say so", kind)
	}
}

// TestOutputsAreNoTaskTime checks that encoding outputs does not count as time of
// tasks.
func TestOutputsAreNoTaskTime(t *testing.T) {
	t.Parallel()
	s := serve(t)
	list := "L = list(range(200_000))\ndef f(x):\n    return L\n"
	for what, job := range map[string]string{
		"one by one":  program(list, `{"range":{"stop":12}}`),
		"in threads":  program(list, `{"range":{"stop":12}}`, `,"policy":{"threads":2}`),
		"in one loop": program("L = list(range(200_000))\nasync def f(x):\n    return L\n", `{"range":{"stop":12}}`, `,"policy":{"threads":2}`),
	} {
		var r insight.Report
		s.get("/api/v1/jobs/"+s.ended(s.submit(job).ID).ID+"/report").into(t, &r)
		if moved := r.Shares.Moving * r.WallSeconds * float64(r.AtOnce); r.TaskSeconds > moved/2 {
			t.Errorf("%s: %.3f s in tasks, %.3f s with data", what, r.TaskSeconds, moved)
		}
	}
}

func TestReportIsTheOwners(t *testing.T) {
	t.Parallel()
	s := serve(t)
	id := s.ended(s.submit(program(squares, `{"items":[1,2,3]}`)).ID).ID
	eve := s.user("eve", jobs.Submitter)
	for path, want := range map[string]int{
		"/api/v1/jobs/" + id + "/report": http.StatusNotFound,
		"/api/v1/jobs/x/report":          http.StatusNotFound,
	} {
		if a := s.get(path, "Authorization", "Bearer "+eve); a.StatusCode != want {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.text)
		} else {
			a.problem(t)
		}
	}
}

// TestReportIsLive follows the report on a page while a job runs: changes within
// two seconds wait, and the end does not.
func TestReportIsLive(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	id := s.manual(12)
	stream := s.events("/jobs/" + id + "/live")
	until := func(selector, what string) (report string) {
		t.Helper()
		for {
			e, ok := one(t, stream)
			if !ok || e.name != "patch" {
				t.Fatalf("%v %+v before %s %s", ok, e, selector, what)
			}
			doc, err := goquery.NewDocumentFromReader(strings.NewReader(e.data))
			if err != nil {
				t.Fatal(err)
			}
			if text := doc.Find("#job-report").Text(); text != "" {
				report = text
			}
			if found := doc.Find(selector); strings.Contains(found.Text()+found.AttrOr("value", ""), what) {
				return report
			}
		}
	}
	s.record(id, s.lease(id, 4))
	until("#job-report", "as far as is known")
	began := time.Now()
	s.record(id, s.lease(id, 4))
	if report := until("#progress", "8"); report != "" && time.Since(began) < time.Second {
		t.Errorf("the report was made anew after %v: %s", time.Since(began), report)
	}
	s.record(id, s.lease(id, 4))
	if report := until("#job-title", "succeeded"); report == "" || strings.Contains(report, "as far as is known") {
		t.Errorf("at the end the report is %q", report)
	}
}
