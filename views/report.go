package views

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/allcores/allcores/internal/jobs/insight"
)

// reportURL returns the address of the shown run's report.
func reportURL(p JobPage) templ.SafeURL {
	url := "/api/v1/jobs/" + p.Job.ID + "/report"
	if p.Run != nil {
		url += "?run=" + strconv.Itoa(p.Run.Run)
	}
	return templ.SafeURL(url)
}

func toSpan(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

// verdictWord names the verdict; its sentence gives the reason.
func verdictWord(kind insight.VerdictKind) string {
	switch kind {
	case insight.WellSpread:
		return "Well spread"
	case insight.InterpreterLock:
		return "Bound by the interpreter lock"
	case insight.WaitingOnIO:
		return "Waiting on I/O"
	case insight.DataMovement:
		return "Dominated by data movement"
	case insight.OneLongTask:
		return "One long task sets the pace"
	case insight.IdleTail:
		return "Idle at the end"
	case insight.TooLittleWork:
		return "Too little work per task"
	case insight.WaitingForSlots:
		return "Waiting for slots"
	case insight.NothingToClaim:
		return "Nothing to claim"
	}
	return string(kind)
}

// verdictClass returns the state whose colour the verdict has.
func verdictClass(kind insight.VerdictKind) string {
	if kind == insight.WellSpread {
		return "succeeded"
	}
	return "paused"
}

// judged reports whether a job did enough work for a meaningful speed-up.
func judged(r *insight.Report) bool { return r.Verdict != nil }

// upperFirst capitalises the first letter of text.
func upperFirst(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// A share is one part of the lanes' time.
type share struct {
	class, word string
	share       float64
}

// shares returns the parts in the bar's order. Rare parts are omitted if they
// are empty.
func shares(r *insight.Report) []share {
	list := []share{
		{"in-tasks", "in tasks", r.Shares.Tasks},
		{"moving", "encoding and moving data", r.Shares.Moving},
		{"other", "starting, claiming and recording", r.Shares.Other},
		{"waiting", "waiting for a slot", r.Shares.Waiting},
		{"tail", "idle tail", r.Shares.Tail},
	}
	if r.Shares.Idle >= 0.001 {
		list = append(list, share{"idle", "paused or nothing to claim", r.Shares.Idle})
	}
	return list
}

func shareSegments(r *insight.Report) []segment {
	var out []segment
	x, sum := 0, 0.0
	for _, s := range shares(r) {
		// The sum is cumulative, so rounding leaves no gap.
		sum += s.share
		end := min(int(math.Round(barWidth*sum)), barWidth)
		out = append(out, segment{s.class, x, max(end-x, 0)})
		x = max(end, x)
	}
	return out
}

func sharesText(r *insight.Report) string {
	var parts []string
	for _, s := range shares(r) {
		parts = append(parts, sharePercent(s.share)+" "+s.word)
	}
	return "Of the lanes' time: " + strings.Join(parts, ", ")
}

// sharePercent formats a share, with a decimal below 10 %.
func sharePercent(v float64) string {
	if p := 100 * v; p >= 0.05 && p < 9.95 {
		return strconv.FormatFloat(p, 'f', 1, 64) + " %"
	}
	return strconv.FormatFloat(100*v, 'f', 0, 64) + " %"
}

// reportPairs returns the report's figures.
func reportPairs(r *insight.Report) []pair {
	pairs := []pair{
		{"Wall time", span(toSpan(r.WallSeconds))},
		{"Task time", span(toSpan(r.TaskSeconds)) + ", added up"},
	}
	cpu := pair{"CPU", span(toSpan(r.UserSeconds)) + " user, " + span(toSpan(r.SystemSeconds)) + " system"}
	if judged(r) {
		pairs = append(pairs,
			pair{"Speed-up", significant(r.SpeedUp) + " of " + plural(int64(r.AtOnce), "task", "tasks") + " at once"},
			pair{"Efficiency", sharePercent(r.Efficiency)},
			pair{"Ideal", span(toSpan(r.IdealSeconds)) + " wall time with as many at once"})
		cpu.value += ": " + significant(r.CoresBusy)
		if r.Cores > 0 {
			cpu.value += " of " + plural(int64(r.Cores), "core", "cores")
		} else {
			cpu.value += " cores"
		}
		cpu.value += " busy"
	}
	pairs = append(pairs, cpu)
	switch {
	case r.InputBytes > 0:
		pairs = append(pairs, pair{"Data", size(r.InputBytes) + " in, " + size(r.OutputBytes) + " out"})
	case r.OutputBytes > 0:
		pairs = append(pairs, pair{"Data", size(r.OutputBytes) + " out"})
	}
	if r.PeakMemory > 0 {
		pairs = append(pairs, pair{"Peak memory", size(r.PeakMemory) + " in a process"})
	}
	return pairs
}

// taskPairs returns the figures of single tasks.
func taskPairs(r *insight.Report) []pair {
	t := r.Tasks
	return []pair{
		{"Median", millisText(t.P50MS)},
		{"Mean", millisText(t.MeanMS)},
		{"95 %", "within " + millisText(t.P95MS)},
		{"99 %", "within " + millisText(t.P99MS)},
	}
}

// millisText formats a duration as span does, below a microsecond in
// nanoseconds.
func millisText(ms float64) string {
	if d := milliseconds(ms); d >= time.Microsecond {
		return span(d)
	}
	return short(ms*1e6) + " ns"
}

// histogramHeight is the distance from the top of the drawing to its axis, in
// pixels.
const histogramHeight = 132

// histogramTop is the space above the highest bar.
const histogramTop = 18

func mostInBin(r *insight.Report) int64 {
	most := int64(0)
	for _, b := range r.Histogram {
		most = max(most, b.Count)
	}
	return most
}

// A histogramBar is one bin; x and width are in percent of the drawing.
type histogramBar struct {
	x, width, title string
	height          int
}

func histogramBars(r *insight.Report) []histogramBar {
	var bars []histogramBar
	most := mostInBin(r)
	n := len(r.Histogram)
	for i, b := range r.Histogram {
		if b.Count == 0 {
			continue
		}
		height := int(math.Round(float64(histogramHeight-histogramTop) * float64(b.Count) / float64(most)))
		bars = append(bars, histogramBar{
			x: share100(i, n), width: share100(1, n), height: max(height, 2),
			title: fmt.Sprintf("%s to %s: %s", borderText(b.FromMS), borderText(b.ToMS), plural(b.Count, "task", "tasks")),
		})
	}
	return bars
}

func share100(i, n int) string {
	return strconv.FormatFloat(100*float64(i)/float64(n), 'f', 3, 64) + "%"
}

// A histogramLabel labels a border between bins.
type histogramLabel struct{ x, anchor, text string }

// maxLabels is the number of labels that fit under a histogram on a narrow
// screen.
const maxLabels = 6

// histogramLabels labels the first and the last border, and as many between
// them as fit.
func histogramLabels(r *insight.Report) []histogramLabel {
	n := len(r.Histogram)
	every := (n + maxLabels - 2) / (maxLabels - 1)
	labels := []histogramLabel{{share100(0, n), "start", borderText(r.Histogram[0].FromMS)}}
	for i := every; n-i >= every; i += every {
		labels = append(labels, histogramLabel{share100(i, n), "middle", borderText(r.Histogram[i].FromMS)})
	}
	return append(labels, histogramLabel{share100(n, n), "end", borderText(r.Histogram[n-1].ToMS)})
}

// borderText formats a border between bins with its unit. Borders are round
// numbers.
func borderText(ms float64) string {
	unit := "ms"
	switch {
	case ms >= 999.5:
		ms, unit = ms/1e3, "s"
	case ms < 0.0009995:
		ms, unit = ms*1e6, "ns"
	case ms < 0.9995:
		ms, unit = ms*1e3, "µs"
	}
	if ms >= 1000 {
		return thousands(int64(math.Round(ms))) + " " + unit
	}
	return strconv.FormatFloat(ms, 'g', 3, 64) + " " + unit
}

func histogramText(r *insight.Report) string {
	return fmt.Sprintf("Histogram of %s: half within %s, 95 %% within %s. As a table follows.",
		plural(r.Tasks.Count, "task", "tasks"), millisText(r.Tasks.P50MS), millisText(r.Tasks.P95MS))
}
