package views

import (
	"math"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"github.com/allcores/allcores/internal/jobs/insight"
)

func TestReport(t *testing.T) {
	t.Parallel()
	p := sampleFailed()
	doc := parse(t, render(t, Job(p)))
	report := doc.Find("#job-report")
	squeeze := func(text string) string { return strings.Join(strings.Fields(text), "") }
	text := squeeze(report.Text())
	for _, want := range []string{
		"One long task sets the pace Task 9811 took 1.7 s, 41 % of the wall time", "Split that task",
		"Wall time 4.1 s", "Task time 21.4 s, added up", "Speed-up 5.22 of 8 tasks at once", "Efficiency 65 %", "Ideal 2.7 s wall time",
		"Median 1.5 ms", "99 % within 2.1 ms", "Longest 1.7 s of task 9,811", "Data 81.0 KiB out", "Peak memory 31.0 MiB",
		"65 % in tasks", "2.9 % encoding and moving data", "30 % idle tail", "0 % waiting for a slot",
	} {
		if !strings.Contains(text, squeeze(want)) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	if strings.Contains(text, squeeze("as far as is known")) || strings.Contains(text, squeeze("nothing to claim")) {
		t.Errorf("a job that has ended, and was not paused: %s", text)
	}
	if figure := doc.Find("#job-figures").Text(); !strings.Contains(squeeze(figure), squeeze("Speed-up 5.22× of 8")) {
		t.Errorf("figures %s", figure)
	}
	end := 0
	report.Find("svg.share rect").Each(func(_ int, rect *goquery.Selection) {
		if x := rect.AttrOr("x", ""); x != itoa(end) {
			t.Errorf("a part begins at %s, the one before ends at %d", x, end)
		}
		var width int
		for _, c := range rect.AttrOr("width", "") {
			width = 10*width + int(c-'0')
		}
		end += width
	})
	if end != barWidth {
		t.Errorf("the bar ends at %d", end)
	}
	rows := report.Find("table tbody tr")
	if rows.Length() != len(p.Report.Histogram) || squeeze(rows.Last().Text()) != "1s2s1" {
		t.Errorf("%d rows, the last %q", rows.Length(), rows.Last().Text())
	}
	if bars := report.Find("svg.histogram rect"); bars.Length() >= rows.Length() || bars.Last().AttrOr("height", "") != "2" {
		t.Errorf("%d bars, the last of height %s", bars.Length(), bars.Last().AttrOr("height", ""))
	}
	running := sampleRunning()
	if text := parse(t, render(t, Job(running))).Find("#report-title").Text(); !strings.Contains(text, "as far as is known after 4.1 s") {
		t.Errorf("while it runs: %s", text)
	}
}

func TestVerdictWords(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, kind := range insight.VerdictKinds {
		word := verdictWord(kind)
		if seen[word] || strings.Contains(word, "_") {
			t.Errorf("%s is called %q", kind, word)
		}
		seen[word] = true
		found := false
		for _, row := range verdictRows {
			found = found || row[0] == string(kind)
		}
		if !found {
			t.Errorf("the manual does not know %s", kind)
		}
	}
	if len(verdictRows) != len(seen) {
		t.Errorf("the manual knows %d verdicts", len(verdictRows))
	}
}

func TestBorders(t *testing.T) {
	t.Parallel()
	for ms, want := range map[float64]string{
		.00005: "50 ns", .00012: "120 ns", .0008: "800 ns", .001: "1 µs", .0025: "2.5 µs", .8: "800 µs", 1: "1 ms", 1.2: "1.2 ms",
		800: "800 ms", 1000: "1 s", 1500: "1.5 s", 60000: "60 s", 2.5e6: "2,500 s",
	} {
		if got := borderText(ms); got != want {
			t.Errorf("%v ms is %q, want %q", ms, got, want)
		}
	}
	for n := 1; n <= 40; n++ {
		r := &insight.Report{}
		for i := range n {
			r.Histogram = append(r.Histogram, insight.Bin{FromMS: math.Exp2(float64(i)), ToMS: math.Exp2(float64(i + 1)), Count: 1})
		}
		labels := histogramLabels(r)
		if last := labels[len(labels)-1]; len(labels) < 2 || len(labels) > maxLabels || labels[0].x != "0.000%" || last.x != "100.000%" || last.text != borderText(r.Histogram[n-1].ToMS) {
			t.Errorf("labels of %d bins: %+v", n, labels)
		}
	}
}
