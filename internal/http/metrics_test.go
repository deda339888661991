package http_test

import (
	"math"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
)

// A scrape is an answer of /metrics.
type scrape map[string]*dto.MetricFamily

func (s *server) scrape() scrape {
	s.t.Helper()
	a := s.get("/metrics", "Authorization", "")
	if a.StatusCode != http.StatusOK || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/plain") {
		s.t.Fatalf("%d %s: %s", a.StatusCode, a.Header.Get("Content-Type"), a.text)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(a.text))
	if err != nil {
		s.t.Fatalf("%v in %s", err, a.text)
	}
	problems, err := promlint.New(strings.NewReader(a.text)).Lint()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "allcores_") {
			s.t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	return families
}

// metric returns the metric with these labels, given as names and values.
func (s scrape) metric(t testing.TB, name string, labels ...string) *dto.Metric {
	t.Helper()
	for _, m := range s[name].GetMetric() {
		same := len(m.GetLabel()) == len(labels)/2
		for i := 0; i+1 < len(labels); i += 2 {
			same = same && slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool {
				return l.GetName() == labels[i] && l.GetValue() == labels[i+1]
			})
		}
		if same {
			return m
		}
	}
	t.Fatalf("there is no %s%v", name, labels)
	return nil
}

func (s scrape) value(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	m := s.metric(t, name, labels...)
	return m.GetCounter().GetValue() + m.GetGauge().GetValue()
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	s := serve(t)
	before := s.scrape()
	if up, nodes := before.value(t, "allcores_db_up"), before.value(t, "allcores_nodes", "role", "all"); up != 1 || nodes != 1 {
		t.Errorf("up %v, %v nodes", up, nodes)
	}

	// 20 tasks: two raise, one of those after a second attempt; and one
	// job that is cancelled.
	const source = `
import os, time
def f(x):
    if x in (3, 7):
        raise ValueError(x)
    if x == 12:
        os._exit(4)
    time.sleep(0.02)
    return x
`
	id := s.submit(program(source, `{"range":{"stop":20}}`, `,"queue":"io","policy":{"max_attempts":2,"retry_backoff":"10ms"}`)).ID
	events := s.send("GET", "/api/v1/jobs/"+id+"/events", "")
	defer events.Body.Close()
	if j := s.ended(id); j.Counts.Succeeded != 17 || j.Counts.Failed != 3 {
		t.Fatalf("%+v", j.Counts)
	}
	long := s.submit(program("import time\ndef f(x):\n    time.sleep(60)\n", `{"range":{"stop":5}}`)).ID
	await(t, "the long job runs", func() bool {
		var j job
		s.get("/api/v1/jobs/"+long).into(t, &j)
		return j.Counts.Running > 0
	})
	// The database's figures are at most five seconds old.
	var now scrape
	await(t, "the turns are seen", func() bool {
		now = s.scrape()
		return now.value(t, "allcores_queue_turns", "queue", "cpu", "state", "running") > 0
	})
	for _, want := range []struct {
		value  float64
		name   string
		labels []string
	}{
		{1, "allcores_jobs", []string{"state", "running"}},
		{0, "allcores_jobs", []string{"state", "queued"}},
		{5, "allcores_queue_tasks", []string{"queue", "cpu", "state", "waiting"}},
		{0, "allcores_queue_tasks", []string{"queue", "io", "state", "waiting"}},
		{2, "allcores_slots", []string{"queue", "cpu"}},
		{16, "allcores_slots", []string{"queue", "io"}},
		{0, "allcores_slots_busy", []string{"queue", "io"}},
		{0, "allcores_queue_paused", []string{"queue", "io"}},
		{17, "allcores_tasks_total", []string{"outcome", "succeeded"}},
		{3, "allcores_tasks_total", []string{"outcome", "failed"}},
		{0, "allcores_tasks_total", []string{"outcome", "cancelled"}},
		{2, "allcores_task_failures_total", []string{"kind", "exception"}},
		{1, "allcores_task_failures_total", []string{"kind", "crash"}},
		{1, "allcores_jobs_ended_total", []string{"state", "failed"}},
		{1, "allcores_jobs_submitted_total", []string{"queue", "io"}},
		{1, "allcores_jobs_submitted_total", []string{"queue", "cpu"}},
		{8, "allcores_db_connections_max", []string{"pool", "main"}},
	} {
		got := now.value(t, want.name, want.labels...)
		if want.name == "allcores_queue_tasks" && want.value == 5 { // some of them run
			got += now.value(t, want.name, "queue", "cpu", "state", "running")
		}
		if got != want.value {
			t.Errorf("%s%v is %v, want %v", want.name, want.labels, got, want.value)
		}
	}
	checkMeasures(t, now)
	checkCancelled(t, s, long)
}

// checkCancelled cancels the long job and checks that its tasks are counted.
func checkCancelled(t *testing.T, s *server, long string) {
	t.Helper()
	s.call("POST", "/api/v1/jobs/"+long+"/cancel", "")
	s.ended(long)
	after := s.scrape()
	if got := after.value(t, "allcores_tasks_total", "outcome", "cancelled"); got != 5 {
		t.Errorf("%v tasks were cancelled", got)
	}
	if got := after.value(t, "allcores_jobs_ended_total", "state", "cancelled"); got != 1 {
		t.Errorf("%v jobs were cancelled", got)
	}
	checkLabels(t, after)
}

// checkLabels checks that the values of every label are bounded: none is a number,
// an id, a name of a job or a user.
func checkLabels(t *testing.T, after scrape) {
	t.Helper()
	bounded := regexp.MustCompile(`^(queue/(cpu|io)|state/[a-z]+|outcome/[a-z]+|kind/[a-z]+|role/[a-z]+|pool/(main|river)|class/[1-5]xx)$`)
	for name, family := range after {
		if !strings.HasPrefix(name, "allcores_") || name == "allcores_build_info" {
			continue
		}
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				if !bounded.MatchString(l.GetName() + "/" + l.GetValue()) {
					t.Errorf("%s has the label %s=%q", name, l.GetName(), l.GetValue())
				}
			}
		}
	}
}

// checkMeasures checks the slots, times and sizes of a scrape while the long job of
// TestMetrics runs.
func checkMeasures(t *testing.T, now scrape) {
	t.Helper()
	if busy := now.value(t, "allcores_slots_busy", "queue", "cpu"); busy < 1 || busy > 2 {
		t.Errorf("%v slots are busy", busy)
	}
	// 17 that slept, two that raised twice, and one that died until it was blamed.
	tasks := now.metric(t, "allcores_task_seconds", "queue", "io").GetHistogram()
	if n, sum := tasks.GetSampleCount(), tasks.GetSampleSum(); n < 23 || n > 35 || sum < 17*0.02 || sum > 30 {
		t.Errorf("%d runs of tasks took %v s", n, sum)
	}
	for _, b := range tasks.GetBucket() {
		// The 17 slept for 20 ms.
		n, few := b.GetCumulativeCount(), tasks.GetSampleCount()-17
		if b.GetUpperBound() < 0.02 && n > few || b.GetUpperBound() > 100 && n != tasks.GetSampleCount() {
			t.Errorf("%d tasks of %d took up to %v s", b.GetCumulativeCount(), tasks.GetSampleCount(), b.GetUpperBound())
		}
	}
	if waits := now.metric(t, "allcores_turn_wait_seconds", "queue", "io").GetHistogram(); waits.GetSampleCount() == 0 || waits.GetSampleSum() > 60 {
		t.Errorf("turns' waits: %v", waits)
	}
	if chunks := now.metric(t, "allcores_chunk_seconds", "queue", "io").GetHistogram(); chunks.GetSampleCount() == 0 || math.IsNaN(chunks.GetSampleSum()) {
		t.Errorf("chunks: %v", chunks)
	}
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes", "allcores_db_size_bytes"} {
		if now.value(t, name) <= 0 {
			t.Errorf("%s is not there", name)
		}
	}
}

func TestMetricsCountStreams(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	clients := func() float64 { return s.scrape().value(t, "allcores_sse_clients") }
	if n := clients(); n != 0 {
		t.Fatalf("%v clients", n)
	}
	first, second := s.send("GET", "/api/v1/events", ""), s.send("GET", "/live", "")
	await(t, "both are counted", func() bool { return clients() == 2 })
	first.Body.Close()
	await(t, "one has gone", func() bool { return clients() == 1 })
	second.Body.Close()
	await(t, "both have gone", func() bool { return clients() == 0 })
	s.get("/nowhere")
	if n := s.scrape().value(t, "allcores_http_responses_total", "class", "4xx"); n != 1 {
		t.Errorf("%v answers of class 4xx", n)
	}
}

// TestDocumentedMetrics checks that the alerts use existing metrics, and that the
// manual names all of them.
func TestDocumentedMetrics(t *testing.T) {
	t.Parallel()
	s := serve(t)
	await(t, "it serves its queues", func() bool { return len(s.scrape()["allcores_slots"].GetMetric()) > 0 })
	now := s.scrape()
	name := regexp.MustCompile(`allcores_[a-z_]+`)
	for _, file := range []string{"alerts.yml", "operations.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", file))
		if err != nil {
			t.Fatal(err)
		}
		named := name.FindAllString(string(text), -1)
		for _, name := range named {
			if now[name] == nil {
				t.Errorf("%s names %s, which there is not", file, name)
			}
		}
		for name := range now {
			if file == "operations.md" && strings.HasPrefix(name, "allcores_") && !slices.Contains(named, name) {
				t.Errorf("%s does not name %s", file, name)
			}
		}
	}
}

// TestMetricsWithoutDatabase checks that a scrape succeeds, with fewer metrics, while
// the database is unreachable.
func TestMetricsWithoutDatabase(t *testing.T) {
	t.Parallel()
	s, line := serveThrough(t, engine.RoleAll)
	line.cut()
	began := time.Now()
	now := s.scrape()
	if up := now.value(t, "allcores_db_up"); up != 0 {
		t.Errorf("db_up is %v", up)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("the scrape took %v", took)
	}
	if now.value(t, "allcores_tasks_total", "outcome", string(jobs.TaskSucceeded)) != 0 || now["allcores_jobs"] != nil {
		t.Error("it reports figures of the database")
	}
}
