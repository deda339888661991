package views

import (
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/insight"
)

func TestChartPaths(t *testing.T) {
	none := math.NaN()
	for _, c := range []struct {
		shares []float64
		moves  int // pieces of the path
		lines  int
	}{
		{[]float64{none, none}, 0, 0},
		{[]float64{0, .5, 1}, 1, 2},
		{[]float64{0, none, 1}, 2, 0},
		{[]float64{none, .2, .3, none, .1, none}, 2, 1},
	} {
		d := linePath(c.shares)
		if strings.Count(d, "M") != c.moves || strings.Count(d, "L") != c.lines {
			t.Errorf("%v: %q", c.shares, d)
		}
		zero := make([]float64, len(c.shares))
		d = areaPath(zero, c.shares)
		if strings.Count(d, "M") != c.moves || strings.Count(d, "z") != c.moves || strings.Contains(d, "NaN") {
			t.Errorf("%v: area %q", c.shares, d)
		}
	}
	for v, want := range map[float64]float64{0: 1, 1: 1, 1.01: 2, 4.2: 5, 7: 10, 133_730: 200_000, .03: .05, none: 1} {
		if got := nice(v); !(math.Abs(got-want) < 1e-9*want) {
			t.Errorf("nice(%g) is %g, want %g", v, got, want)
		}
	}
	for v, want := range map[float64]string{0: "0", .5: "0.5", 250: "250", 1000: "1k", 133_730: "134k", 2.01e6: "2.01M", 5e9: "5G"} {
		if got := brief(v); got != want {
			t.Errorf("brief(%g) is %q, want %q", v, got, want)
		}
	}
	for e, want := range map[int]string{-6: "1 ns", -4: "100 ns", -3: "1 µs", -1: "100 µs", 0: "1 ms", 2: "100 ms", 3: "1 s", 6: "1000 s"} {
		if got := decade(e); got != want {
			t.Errorf("decade(%d) is %q, want %q", e, got, want)
		}
	}
}

func TestQueueCharts(t *testing.T) {
	var waits, runs insight.TimeClasses
	for range 100 {
		waits.AddDuration(0)
		runs.AddDuration(30 * time.Millisecond)
	}
	var s insight.QueueSeries
	s.Add(
		insight.QueueSample{At: sampleNow.Add(-time.Second), Succeeded: 90, Failed: 60, Waits: waits.Since(new(insight.TimeClasses)), Runs: runs.Since(new(insight.TimeClasses))},
		insight.QueueSample{At: sampleNow.Add(-10 * time.Minute), Succeeded: 3000},
	)
	list := queueCharts(jobs.Queue{Name: "q"}, s.History(sampleNow))
	if got := list[0]; !strings.Contains(got.text, "now 10.0/s, at most 100/s") || !strings.Contains(got.text, "3,090 tasks succeeded, 60 failed") || got.ticks[2].label != "100" {
		t.Errorf("%+v", got)
	}
	if n := len(list[0].reads); n != 120 || list[0].reads[119] != "10.0/s, 60 tasks failed" || list[0].reads[0] != "0/s" {
		t.Errorf("%d: %q", n, list[0].reads)
	}
	// Turns that did not wait are drawn at the foot of the scale.
	if got := list[1]; got.ticks[0].label != "100 µs" || !strings.HasSuffix(got.shapes[2].d, " 84h2") || got.keys[0].figure != "0 s" {
		t.Errorf("%+v", got)
	}
	if got := list[2]; got.ticks[0].label != "10 ms" || got.ticks[1].label != "100 ms" || !strings.Contains(got.text, "p50 31 ms") {
		t.Errorf("%+v", got)
	}
	for _, c := range queueCharts(jobs.Queue{Name: "q"}, insight.QueueHistory{}) { // a new queue
		for _, shape := range c.shapes {
			if shape.d != "" {
				t.Errorf("%s: %q of nothing", c.id, shape.d)
			}
		}
	}
}

func TestJobInk(t *testing.T) {
	const id = "01957a3e-7b5c-7d1e-8f00-00000000001d" // 29
	if got := JobInk(id, nil); got != "job-f" {
		t.Error(got)
	}
	taken := map[string]bool{}
	for range len(jobRing) {
		ink := JobInk(id, taken)
		if taken[ink] {
			t.Errorf("%s is given twice", ink)
		}
		taken[ink] = true
	}
	if got := JobInk(id, taken); got != "job-f" {
		t.Errorf("when all are taken: %s", got)
	}
	if got := JobInk("odd", nil); got != "job-a" {
		t.Error(got)
	}
}

// TestFiguresOfAQueue covers a turn that River counts as running while it waits
// for a slot.
func TestFiguresOfAQueue(t *testing.T) {
	q := jobs.Queue{Name: "cpu", WaitingTurns: 4, RunningTurns: 9}
	use := map[string]jobs.SlotUse{"cpu": {Used: 7, Total: 8, Waiting: 2}}
	p := QueuesPage{Nodes: []jobs.Node{
		{ID: "a", Host: "h", PID: 1, Alive: true, Slots: use},
		{ID: "b", Host: "h", PID: 2, Alive: true, Slots: use, Serves: []string{"io"}},
		{ID: "c", Host: "h", PID: 3, Slots: use},
	}}
	if got := p.figures(q); got != (queueFigures{waiting: 6, running: 7, used: 7, slots: 8}) {
		t.Errorf("%+v", got)
	}
	if uses := p.uses(q); len(uses) != 1 || uses[0].node != "h #1" {
		t.Errorf("%+v", uses)
	}
}

func TestChartsTellWhatIsPointedAt(t *testing.T) {
	b := open(t, previewHandler())
	b.visit("/show/queues")
	b.wait(`document.querySelector("#rate-of-cpu .read")`)
	b.run(`document.querySelector("#rate-of-cpu").scrollIntoView({ block: "center" })`)
	box := eval[[]float64](b, `(() => { const r = document.querySelector("#rate-of-cpu .grid").getBoundingClientRect(); return [r.left, r.top, r.width] })()`)
	b.do(chromedp.MouseEvent(chromedp.MouseMoved, box[0]+box[2]-1, box[1]-10))
	b.wait(`document.querySelector("#rate-of-cpu .read").textContent.startsWith("now: ")`)
	b.do(chromedp.MouseEvent(chromedp.MouseMoved, box[0]+box[2]/2, box[1]-10))
	b.wait(`/^30 min ago: [\d,.]+\/s/.test(document.querySelector("#rate-of-cpu .read").textContent) && document.querySelector("#rate-of-cpu .cursor").getAttribute("d")`)
	b.do(chromedp.MouseEvent(chromedp.MouseMoved, 5, 5))
	b.wait(`document.querySelector("#rate-of-cpu .read").textContent === "" && !document.querySelector("#rate-of-cpu .cursor").hasAttribute("d")`)
}

// TestOneColourOnAPage covers a job whose colour another job on the page has
// already.
func TestOneColourOnAPage(t *testing.T) {
	preview := previewHandler()
	b := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/colours" {
			preview.ServeHTTP(w, r)
			return
		}
		p := sampleNodesPage(sampleNodes()...)
		p.Live, p.Timeline = "", TimelineView{Seconds: 60, Live: true}
		p.Inks[sampleID(1)] = "job-k"
		if err := Nodes(p).Render(r.Context(), w); err != nil {
			t.Error(err)
		}
	}))
	b.visit("/colours")
	b.wait(`document.querySelector("#timeline-jobs rect")`)
	if got := eval[string](b, `document.querySelector("#timeline-jobs rect").getAttribute("class") + " " + document.querySelector("#in-hand [data-job$='1'] .swatch").getAttribute("class")`); got != "job-k swatch job-k" {
		t.Errorf("the job has the colours %q", got)
	}
}
