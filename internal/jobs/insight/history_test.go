package insight

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// codes returns durations as a run stores them.
func codes(durations ...time.Duration) []byte {
	var out []byte
	for _, d := range durations {
		out = binary.LittleEndian.AppendUint16(out, outcomes.EncodeDuration(d))
	}
	return out
}

func TestTimeClassesCountEveryDurationOnce(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 3, 127, 128, 129, 1000, 4099} {
		var durations []time.Duration
		var one, all TimeClasses
		for range n {
			d := time.Duration(math.Exp2(60 * rand.Float64()))
			durations = append(durations, d)
			one.AddDuration(d)
		}
		all.AddCodes(codes(durations...))
		if one != all {
			t.Errorf("%d durations are counted otherwise together than one by one", n)
		}
		var back TimeClasses
		back.Add(all.Since(new(TimeClasses)))
		if back != all {
			t.Errorf("%d durations: a span does not hold what was counted", n)
		}
		before := all
		all.AddDuration(time.Second)
		if span := all.Since(&before); len(span.Counts) != 1 || span.Counts[0] != 1 || span.First != int(outcomes.EncodeDuration(time.Second)>>8) {
			t.Errorf("one second more is %+v", span)
		}
	}
}

func TestQuantilesAreWithinAClass(t *testing.T) {
	t.Parallel()
	if new(TimeClasses).Quantiles() != nil {
		t.Error("nothing has quantiles")
	}
	for _, spread := range []float64{0, .01, 1, 5} {
		var durations []time.Duration
		var classes TimeClasses
		for range 20_000 {
			durations = append(durations, time.Duration(3e6*math.Exp(spread*rand.NormFloat64())))
		}
		classes.AddCodes(codes(durations...))
		slices.Sort(durations)
		q := classes.Quantiles()
		for share, got := range map[float64]float64{.5: q.P50, .95: q.P95, .99: q.P99} {
			want := durations[int(share*float64(len(durations)))].Seconds() * 1000
			if got < want/1.2 || got > want*1.2 {
				t.Errorf("spread %g: of %g of the durations it says %g ms, not %g", spread, share, got, want)
			}
		}
	}
}

func TestQueueHistory(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 7, 0, time.UTC)
	sample := func(node string, ago time.Duration, succeeded, failed int64, run time.Duration) QueueSample {
		var runs TimeClasses
		for range succeeded + failed {
			runs.AddDuration(run)
		}
		return QueueSample{Node: node, At: now.Add(-ago), Succeeded: succeeded, Failed: failed, Runs: runs.Since(new(TimeClasses))}
	}
	samples := []QueueSample{
		sample("a", 2*time.Second, 30, 0, time.Millisecond),
		sample("b", 2*time.Second, 30, 15, time.Millisecond),
		sample("a", 16*time.Second, 1000, 0, time.Second),
		sample("a", 30*time.Minute, 7, 0, time.Minute),
		sample("a", 2*time.Hour, 5, 0, time.Minute),
	}
	var s QueueSeries
	s.Add(samples...)
	s.Add(samples[:3]...) // they are read again
	h := s.History(now)
	if len(h.Points) != 120 || h.StepSeconds != 30 || h.Points[119].At.Time != now.Truncate(30*time.Second) {
		t.Fatalf("%d points, the last %+v", len(h.Points), h.Points[len(h.Points)-1])
	}
	if h.Succeeded != 1067 || h.Failed != 15 || h.Rate != 5 {
		t.Errorf("%d succeeded, %d failed, %g/s", h.Succeeded, h.Failed, h.Rate)
	}
	if p := h.Points[119]; p.Succeeded != 60 || p.Failed != 15 || p.Wait != nil || math.Abs(p.Run.P50-1) > .2 {
		t.Errorf("the last point is %+v", p)
	}
	if p := h.Points[118]; p.Succeeded != 1000 || p.Run.P99 < 800 || p.Run.P99 > 1200 {
		t.Errorf("the point before is %+v", p)
	}
	if p := h.Points[50]; p.Succeeded != 0 || p.Run != nil {
		t.Errorf("a point in which nothing happened is %+v", p)
	}
	var coarse int64
	for i, p := range h.Coarse {
		coarse += p.Succeeded
		if i > 0 && p.At.Sub(h.Coarse[i-1].At.Time) != 5*time.Minute {
			t.Errorf("coarse points at %v and %v", h.Coarse[i-1].At, p.At)
		}
	}
	if coarse != h.Succeeded || len(h.Coarse) != 13 {
		t.Errorf("%d coarse points with %d", len(h.Coarse), coarse)
	}
	// An hour later the history is empty, and memory is free again.
	h = s.History(now.Add(HistoryKept))
	if h.Succeeded+h.Failed != 0 || h.Rate != 0 || h.Run != nil || len(s.steps)+len(s.recent)+len(s.seen) != 0 {
		t.Errorf("%+v and %d steps are left", h, len(s.steps))
	}
}

func TestNodeHistory(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 29, 0, time.UTC)
	var s NodeSeries
	for i := range 6 {
		s.Add(NodeSample{Node: "n", At: now.Add(-time.Duration(i) * SampleEvery), User: 10 * float64(i), System: 5, Cores: []int16{2, 3}, Busy: []int16{int16(20 * i), 1}, Load: 1.5, Memory: 1 << 30})
	}
	h := s.History(now)
	if len(h.Points) != 1 || len(h.Coarse) != 1 || len(h.Cores) != 2 || h.Cores[1] != 3 {
		t.Fatalf("%+v", h)
	}
	p := h.Points[0]
	if p.User != 25 || p.System != 5 || p.Load != 1.5 || p.Memory != 1<<30 || p.Busy[0] != 50 || p.Busy[1] != 1 {
		t.Errorf("%+v", p)
	}
	if h := s.History(now.Add(2 * HistoryKept)); h.Points == nil || len(h.Points) != 0 {
		t.Errorf("%+v", h)
	}
}

// BenchmarkAddCodes counts the run times of a million tasks.
func BenchmarkAddCodes(b *testing.B) {
	var durations []time.Duration
	for range 1_000_000 {
		durations = append(durations, time.Duration(200+rand.IntN(100)))
	}
	all := codes(durations...)
	var classes TimeClasses
	for b.Loop() {
		for from := 0; from < len(all); from += 1 << 15 { // as large chunks are
			classes.AddCodes(all[from:min(from+1<<15, len(all))])
		}
	}
}
