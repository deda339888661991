package insight

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs/outcomes"
	"pgregory.net/rapid"
)

// TestLaneTimes gives the lanes turns with waits, pauses and one number twice.
func TestLaneTimes(t *testing.T) {
	t.Parallel()
	second := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	chunk := func(lane int, leased, finished, waited float64) ChunkTime {
		return ChunkTime{Lane: lane, Count: 1, Leased: second(leased), Started: second(leased), Finished: second(finished),
			Waited: second(waited), Tasks: second(finished - leased)}
	}
	for _, c := range []struct {
		what   string
		wall   float64
		chunks []ChunkTime
		lanes  int
		shares Shares
	}{
		{"a chunk waits at the process while the one before runs", 10,
			[]ChunkTime{chunk(0, 0, 4, 0), {Lane: 0, Leased: second(1), Finished: second(10), Tasks: second(6)}},
			1, Shares{Tasks: 1}},
		{"a gap within a turn is handling", 10,
			[]ChunkTime{chunk(0, 0, 4, 0), chunk(0, 5, 10, 0)},
			1, Shares{Tasks: .9, Other: .1}},
		{"a turn stood in the line", 10,
			[]ChunkTime{chunk(0, 0, 4, 0), chunk(0, 7, 10, 3)},
			1, Shares{Tasks: .7, Waiting: .3}},
		{"a turn stood in the line for part of the gap", 10,
			[]ChunkTime{chunk(0, 0, 4, 0), chunk(0, 7, 10, 1)},
			1, Shares{Tasks: .7, Waiting: .1, Idle: .2}},
		{"a wait that began before the job did", 10,
			[]ChunkTime{chunk(0, 0, 10, 500), chunk(1, 4, 10, 500)},
			2, Shares{Tasks: .8, Waiting: .2}},
		{"more lanes than slots take turns: none is missed", 10,
			[]ChunkTime{chunk(0, 0, 5, 0), chunk(1, 5, 10, 5)},
			1, Shares{Tasks: 1}},
		{"a number that two turns have at once", 10,
			[]ChunkTime{chunk(1, 0, 4, 0), chunk(1, 2, 6, .001), chunk(1, 4, 10, 0), chunk(1, 6, 10, 0)},
			2, Shares{Tasks: .9, Idle: .1}},
		{"lanes that end one after the other", 10,
			[]ChunkTime{chunk(0, 0, 4, 0), chunk(1, 0, 6, 0), chunk(2, 0, 8, 0), chunk(3, 0, 10, 0)},
			4, Shares{Tasks: .7, Tail: .3}},
		{"times beyond the job's", 10,
			[]ChunkTime{{Leased: second(-1), Finished: second(4), Tasks: second(4)}, {Leased: second(4), Finished: second(12), Tasks: second(6)}},
			1, Shares{Tasks: 1}},
	} {
		f := ReportFacts{Ended: true, Wall: second(c.wall), Total: 1000, Threads: 1, Lanes: NewLaneTimes(second(c.wall)), Durations: NewDurations()}
		for _, chunk := range c.chunks {
			f.Lanes.Add(chunk)
		}
		r := f.Report()
		got, want := r.Shares, c.shares
		if r.Lanes != c.lanes || !near(got.Tasks, want.Tasks) || !near(got.Moving, want.Moving) || !near(got.Waiting, want.Waiting) ||
			!near(got.Tail, want.Tail) || !near(got.Idle, want.Idle) || !near(got.Other, want.Other) {
			t.Errorf("%s: %d lanes, %+v, want %d and %+v", c.what, r.Lanes, got, c.lanes, want)
		}
	}
}

// TestNoMoreThanThereIs makes reports of arbitrary chunks.
func TestNoMoreThanThereIs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		wall := time.Duration(math.Exp2(rapid.Float64Range(0, 45).Draw(t, "log of wall")))
		within := rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.Int64Range(-10, int64(wall)+10).Draw(t, "time"))
		})
		f := ReportFacts{
			Ended: rapid.Bool().Draw(t, "ended"), Left: rapid.Bool().Draw(t, "left"), Paused: rapid.Bool().Draw(t, "paused"),
			Wall: wall, Total: rapid.Int64Range(1, 50).Draw(t, "total"), Threads: rapid.IntRange(1, 9).Draw(t, "threads"),
			Interpreter: rapid.Bool().Draw(t, "interpreter"), Cores: rapid.IntRange(0, 5).Draw(t, "cores"), MostLanes: rapid.IntRange(0, 3).Draw(t, "most"),
			Lanes: NewLaneTimes(wall), Durations: NewDurations(), OutputBytes: rapid.Int64Range(0, 1<<40).Draw(t, "bytes"),
		}
		for range rapid.IntRange(1, 30).Draw(t, "chunks") {
			leased := within.Draw(t, "leased")
			c := ChunkTime{
				Lane: rapid.IntRange(0, 3).Draw(t, "lane"), First: rapid.Int64Range(0, 50).Draw(t, "first"), Count: rapid.IntRange(1, 9).Draw(t, "count"),
				Claimed: !f.Ended && rapid.Bool().Draw(t, "claimed"), Leased: leased, Started: leased + within.Draw(t, "start")/8,
				Finished: leased + within.Draw(t, "took")/8, Waited: within.Draw(t, "waited") / 4,
			}
			c.Tasks = max(c.Finished-c.Leased, 0) * time.Duration(rapid.IntRange(0, f.Threads+1).Draw(t, "at once"))
			c.Moving = max(within.Draw(t, "moving")/20, 0)
			c.User, c.System = max(within.Draw(t, "user"), 0), max(within.Draw(t, "system"), 0)
			f.Lanes.Add(c)
			f.Durations.Add(c.First, binary.LittleEndian.AppendUint16(nil, outcomes.EncodeDuration(within.Draw(t, "longest"))))
		}
		r := f.Report()
		s := r.Shares
		sum := 0.0
		for _, share := range []float64{s.Tasks, s.Moving, s.Waiting, s.Tail, s.Idle, s.Other, r.Efficiency} {
			if !(share >= 0 && share <= 1+1e-9) {
				t.Fatalf("shares %+v, efficiency %g", s, r.Efficiency)
			}
			sum += share
		}
		places := float64(r.AtOnce)
		switch {
		case math.Abs(sum-r.Efficiency-1) > 1e-9:
			t.Fatalf("shares add up to %v: %+v", sum-r.Efficiency, s)
		case r.AtOnce > r.Lanes*r.Threads || r.AtOnce > int(f.Total) || f.MostLanes > 0 && r.Lanes > f.MostLanes:
			t.Fatalf("%d at once in %d lanes", r.AtOnce, r.Lanes)
		case !(r.SpeedUp >= 0 && r.SpeedUp <= places+1e-9), !(r.TaskSeconds <= places*r.WallSeconds*(1+1e-9)), !(r.IdealSeconds <= r.WallSeconds*(1+1e-9)):
			t.Fatalf("%+v", r)
		case f.Cores > 0 && !(r.CoresBusy <= float64(f.Cores)):
			t.Fatalf("%g of %d cores busy", r.CoresBusy, f.Cores)
		case r.Longest != nil && !(r.Longest.ShareOfWall <= 1):
			t.Fatalf("%+v", r.Longest)
		case (r.Verdict == nil) != (r.VerdictReason != ""):
			t.Fatalf("%+v with the reason %q", r.Verdict, r.VerdictReason)
		case r.Verdict == nil:
			return
		case max(r.TaskSeconds, r.WallSeconds) < leastWork.Seconds()-1e-9:
			t.Fatalf("a verdict on %+v", r)
		case r.Verdict.Kind == WellSpread && r.Efficiency < mostlyLost-1e-9 && r.CoresBusy < coresFull*float64(f.Cores):
			t.Fatalf("well spread with an efficiency of %g: %+v", r.Efficiency, r)
		case s.Waiting > 0.5+1e-9 && r.Verdict.Kind != WaitingForSlots:
			t.Fatalf("%s, with %g of the time without a slot", r.Verdict.Kind, s.Waiting)
		}
		for _, p := range percentages.FindAllStringSubmatch(r.Verdict.Sentence, -1) {
			if v, err := strconv.ParseFloat(p[1], 64); err != nil || v > 100 {
				t.Fatalf("%q", r.Verdict.Sentence)
			}
		}
		if strings.Contains(r.Verdict.Sentence, "NaN") || strings.Contains(r.Verdict.Sentence, "Inf") {
			t.Fatalf("%q", r.Verdict.Sentence)
		}
	})
}
