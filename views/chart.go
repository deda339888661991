package views

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/insight"
)

// A chart draws one hour, newest at the right.
type chart struct {
	id, title string
	hint      string // explains the title; may be empty
	text      string // describes the chart in words
	ticks     []chartTick
	shapes    []chartShape
	keys      []chartKey
	reads     []string // text of each point, shown under the pointer
	step      float64  // seconds a point
}

// A chartTick is a line across the chart. A strong one marks a meaningful
// value.
type chartTick struct {
	y      int
	label  string
	strong bool
}

// A chartShape is a line or an area. Its class selects the series' colour.
type chartShape struct{ class, d string }

// A chartKey names a shape and gives its present figure.
type chartKey struct{ class, word, figure string }

// Geometry of a chart, in the units of its drawing.
const (
	chartWidth  = 360
	chartHeight = 104
	chartLeft   = 52
	chartRight  = 356
	chartTop    = 8
	chartBottom = 84
)

func chartX(i, n int) string {
	return strconv.FormatFloat(chartLeft+(float64(i)+.5)*(chartRight-chartLeft)/float64(max(n, 1)), 'f', 1, 64)
}

func chartY(share float64) int {
	return chartBottom - int(math.Round(min(max(share, 0), 1)*(chartBottom-chartTop)))
}

// areaPath draws the area between low and high, which are shares of the height.
// Both are NaN in gaps.
func areaPath(low, high []float64) string {
	var b strings.Builder
	n := len(high)
	for i := 0; i < n; i++ {
		if math.IsNaN(high[i]) {
			continue
		}
		end := i
		for end < n && !math.IsNaN(high[end]) {
			end++
		}
		if end == i+1 { // a single point has no width
			x := chartX(i, n)
			fmt.Fprintf(&b, "M%s %dV%dh1V%dz", x, chartY(low[i]), chartY(high[i]), chartY(low[i]))
			continue
		}
		for k := i; k < end; k++ {
			fmt.Fprintf(&b, "%c%s %d", "ML"[min(k-i, 1)], chartX(k, n), chartY(high[k]))
		}
		for k := end - 1; k >= i; k-- {
			fmt.Fprintf(&b, "L%s %d", chartX(k, n), chartY(low[k]))
		}
		b.WriteByte('z')
		i = end
	}
	return b.String()
}

// linePath connects shares of the height. NaN leaves a gap.
func linePath(shares []float64) string {
	var b strings.Builder
	n := len(shares)
	for i, share := range shares {
		switch {
		case math.IsNaN(share):
		case i > 0 && !math.IsNaN(shares[i-1]):
			fmt.Fprintf(&b, "L%s %d", chartX(i, n), chartY(share))
		case i == n-1 || math.IsNaN(shares[i+1]):
			fmt.Fprintf(&b, "M%s %dh2", chartX(i, n), chartY(share))
		default:
			fmt.Fprintf(&b, "M%s %d", chartX(i, n), chartY(share))
		}
	}
	return b.String()
}

// nice returns the least of 1, 2, 5, 10, 20, … that is at least v.
func nice(v float64) float64 {
	if !(v > 0) {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, factor := range []float64{1, 2, 5} {
		if v <= factor*unit*(1+1e-9) {
			return factor * unit
		}
	}
	return 10 * unit
}

// brief formats v with three significant digits and a prefix: "402k", "1.2M".
func brief(v float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if v >= unit.size {
			return strconv.FormatFloat(v/unit.size, 'g', 3, 64) + unit.name
		}
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// linear returns ticks at zero, the half and the whole.
func linear(half, whole string) []chartTick {
	return []chartTick{{y: chartY(0), label: "0"}, {y: chartY(.5), label: half}, {y: chartY(1), label: whole}}
}

// ms converts milliseconds to a duration.
func ms(v float64) time.Duration { return time.Duration(v * float64(time.Millisecond)) }

// approximately describes q in words.
func approximately(q *insight.Quantiles) string {
	if q == nil {
		return "–"
	}
	return fmt.Sprintf("p50 %s, p95 %s, p99 %s", span(ms(q.P50)), span(ms(q.P95)), span(ms(q.P99)))
}

// throughput charts the rate at which a queue's tasks end.
func throughput(id string, h insight.QueueHistory) chart {
	n := len(h.Points)
	rates, fails := make([]float64, n), make([]float64, n)
	most := 0.0
	c := chart{id: id, title: "Tasks per second", step: h.StepSeconds, reads: make([]string, n)}
	for i, p := range h.Points {
		rates[i], fails[i] = float64(p.Succeeded+p.Failed)/h.StepSeconds, float64(p.Failed)/h.StepSeconds
		if i == n-1 { // not complete yet
			if rates[i] > 0 {
				fails[i] *= h.Rate / rates[i]
			}
			rates[i] = h.Rate
		}
		most = max(most, rates[i])
		c.reads[i] = rate(rates[i])
		if p.Failed > 0 {
			c.reads[i] += ", " + plural(p.Failed, "task", "tasks") + " failed"
		}
	}
	top := nice(most)
	zero := make([]float64, n)
	for i := range rates {
		rates[i] /= top
		fails[i] /= top
	}
	c.ticks = linear(brief(top/2), brief(top))
	c.shapes = []chartShape{{"s", areaPath(fails, rates)}, {"f", areaPath(zero, fails)}}
	c.keys = []chartKey{{"s", "now", rate(h.Rate)}, {"", "in the hour", brief(float64(h.Succeeded + h.Failed))}}
	c.text = fmt.Sprintf("Tasks per second over the last hour: now %s, at most %s; %s, %s.", rate(h.Rate), rate(most),
		plural(h.Succeeded, "task succeeded", "tasks succeeded"), plural(h.Failed, "failed", "failed"))
	if h.Failed > 0 {
		c.keys = append(c.keys, chartKey{"f", "failed", brief(float64(h.Failed))})
	}
	return c
}

// quantiles charts durations on a logarithmic scale, which begins at least
// milliseconds or above.
func quantiles(id, title string, least float64, h insight.QueueHistory, all *insight.Quantiles, of func(insight.QueuePoint) *insight.Quantiles) chart {
	n := len(h.Points)
	c := chart{
		id: id, title: title + " ≈", step: h.StepSeconds, reads: make([]string, n),
		hint: "p95: 95 % took no longer. Durations are accurate to 19 %.",
		text: title + " over the last hour: " + approximately(all) + ".",
	}
	low, high := math.Inf(1), math.Inf(-1)
	for i, p := range h.Points {
		if q := of(p); q != nil {
			low, high = min(low, max(q.P50, least)), max(high, max(q.P99, least))
			c.reads[i] = approximately(q)
		}
	}
	if math.IsInf(low, 1) {
		low, high = 1, 100
		c.text = title + ": nothing within the last hour."
	}
	from, to := math.Floor(math.Log10(low)), math.Ceil(math.Log10(high))
	if to <= from {
		to = from + 1
	}
	every := math.Ceil((to - from) / 4)
	for e := from; e <= to; e++ {
		if t := (chartTick{y: chartY((e - from) / (to - from))}); math.Mod(e-from, every) == 0 {
			t.label = decade(int(e))
			c.ticks = append(c.ticks, t)
		}
	}
	for _, which := range []struct {
		class string
		pick  func(*insight.Quantiles) float64
	}{
		{"p99", func(q *insight.Quantiles) float64 { return q.P99 }},
		{"p95", func(q *insight.Quantiles) float64 { return q.P95 }},
		{"p50", func(q *insight.Quantiles) float64 { return q.P50 }},
	} {
		shares := make([]float64, n)
		for i, p := range h.Points {
			shares[i] = math.NaN()
			if q := of(p); q != nil {
				shares[i] = (math.Log10(max(which.pick(q), least)) - from) / (to - from)
			}
		}
		c.shapes = append(c.shapes, chartShape{which.class, linePath(shares)})
		figure := "–"
		if all != nil {
			figure = span(ms(which.pick(all)))
		}
		c.keys = append([]chartKey{{which.class, which.class, figure}}, c.keys...)
	}
	return c
}

// decade returns the duration of 10^e milliseconds.
func decade(e int) string {
	switch {
	case e < -3:
		return strconv.FormatFloat(math.Pow10(e+6), 'g', 3, 64) + " ns"
	case e < 0:
		return strconv.FormatFloat(math.Pow10(e+3), 'g', 3, 64) + " µs"
	case e < 3:
		return strconv.FormatFloat(math.Pow10(e), 'g', 3, 64) + " ms"
	}
	return strconv.FormatFloat(math.Pow10(e-3), 'f', -1, 64) + " s"
}

func queueCharts(q jobs.Queue, h insight.QueueHistory) []chart {
	id := "-of-" + q.Name
	return []chart{
		throughput("rate"+id, h),
		quantiles("wait"+id, "Wait for a slot", .1, h, h.Wait, func(p insight.QueuePoint) *insight.Quantiles { return p.Wait }),
		quantiles("run"+id, "Run time of tasks", .0001, h, h.Run, func(p insight.QueuePoint) *insight.Quantiles { return p.Run }),
	}
}

// nodeCharts charts the cores, the memory and the load of a node.
func nodeCharts(n jobs.Node, h insight.NodeHistory) []chart {
	steps := int(insight.HistoryKept.Seconds() / max(h.StepSeconds, 1))
	series := func() []float64 {
		s := make([]float64, steps)
		for i := range s {
			s[i] = math.NaN()
		}
		return s
	}
	user, system, other, memory, load := series(), series(), series(), series(), series()
	bottom := series()
	cpuReads, memoryReads, loadReads := make([]string, steps), make([]string, steps), make([]string, steps)
	most := float64(len(n.Cores))
	for _, p := range h.Points {
		most = max(most, p.Load)
	}
	top := nice(most)
	last := math.Floor(float64(h.To.Unix()) / max(h.StepSeconds, 1))
	for _, p := range h.Points {
		i := steps - 1 - int(last-math.Floor(float64(p.At.Unix())/h.StepSeconds))
		if i < 0 || i >= steps {
			continue
		}
		bottom[i] = 0
		user[i], system[i] = p.User/100, (p.User+p.System)/100
		other[i] = (p.User + p.System + p.Other) / 100
		memory[i], load[i] = float64(p.Memory)/float64(max(n.Memory.Total, 1)), p.Load/top
		cpuReads[i] = fmt.Sprintf("%.0f %% busy: %.0f user, %.0f system, %.0f other", p.User+p.System+p.Other, p.User, p.System, p.Other)
		memoryReads[i] = size(p.Memory) + " used"
		loadReads[i] = significant(p.Load)
	}
	id := "node-" + n.ID
	busy := chart{
		id: id + "-cpu", title: "Cores busy", step: h.StepSeconds, reads: cpuReads, ticks: linear("50 %", "100 %"),
		shapes: []chartShape{{"user", areaPath(bottom, user)}, {"system", areaPath(user, system)}, {"other", areaPath(system, other)}},
		keys:   []chartKey{{"user", "user", ""}, {"system", "system", ""}, {"other", "other", ""}},
		text:   "Share of time the cores were busy over the last hour.",
	}
	used := chart{
		id: id + "-memory", title: "Memory used", step: h.StepSeconds, reads: memoryReads, ticks: linear(size(n.Memory.Total/2), size(n.Memory.Total)),
		shapes: []chartShape{{"memory", areaPath(bottom, memory)}},
		keys:   []chartKey{{"memory", "used now", size(n.Memory.Total - n.Memory.Available)}},
		text:   "Memory used over the last hour, of " + size(n.Memory.Total) + ".",
	}
	loads := chart{
		id: id + "-load", title: "Load", step: h.StepSeconds, reads: loadReads, ticks: linear(brief(top/2), brief(top)),
		hint:   "Processes running or ready to run",
		shapes: []chartShape{{"load", linePath(load)}},
		keys:   []chartKey{{"load", "now", significant(n.Load)}},
		text:   "Processes running or ready to run over the last hour, now " + significant(n.Load) + ".",
	}
	if cores := len(n.Cores); cores > 0 {
		loads.ticks = append(loads.ticks, chartTick{y: chartY(float64(cores) / top), strong: true})
		loads.keys = append(loads.keys, chartKey{"strong", "cores", itoa(cores)})
	}
	if len(n.Cores) == 0 {
		return []chart{used, loads}
	}
	return []chart{busy, used, loads}
}
