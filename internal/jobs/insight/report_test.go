package insight

import (
	"encoding/binary"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// A made is an invented job: lanes that ran one chunk each, from the beginning on, in
// seconds.
type made struct {
	wall    float64
	ends    []float64 // of the lanes' chunks
	started float64   // when their first tasks began
	tasks   float64   // time in all tasks,
	moving  float64   // with data,
	cpu     float64   // and of processors

	count   int64   // tasks; 100 where it is 0
	longest float64 // the last of them; the others share the rest of the time
	bytes   int64
	total   int64 // tasks of the job, where not all have ended

	running, left, paused, command, fixed bool
	threads, cores                        int
}

func (m made) facts() ReportFacts {
	at := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	if m.count == 0 {
		m.count = 100
	}
	if m.total == 0 {
		m.total = m.count
	}
	f := ReportFacts{
		Ended: !m.running, Left: m.left, Paused: m.paused, Wall: at(m.wall), Total: m.total, Threads: max(m.threads, 1),
		Interpreter: !m.command, FixedChunks: m.fixed, Cores: m.cores, OutputBytes: m.bytes,
		Lanes: NewLaneTimes(at(m.wall)), Durations: NewDurations(),
	}
	if f.Cores == 0 {
		f.Cores = len(m.ends)
	}
	parts := float64(len(m.ends))
	border := func(lane int) int64 { return int64(lane) * m.count / int64(len(m.ends)) }
	for lane, end := range m.ends {
		f.Lanes.Add(ChunkTime{
			Lane: lane, First: border(lane), Count: int(border(lane+1) - border(lane)), Started: at(m.started), Finished: at(end),
			Tasks: at(m.tasks / parts), Moving: at(m.moving / parts), User: at(m.cpu / parts),
		})
	}
	var codes []byte
	for i := range m.count {
		took := (m.tasks - m.longest) / float64(max(m.count-1, 1))
		if m.longest == 0 {
			took = m.tasks / float64(m.count)
		} else if i == m.count-1 {
			took = m.longest
		}
		codes = binary.LittleEndian.AppendUint16(codes, outcomes.EncodeDuration(at(took)))
	}
	f.Durations.Add(0, codes)
	return f
}

func near(a, b float64) bool { return math.Abs(a-b) <= 0.003*max(1, math.Abs(a), math.Abs(b)) }

func TestReportFigures(t *testing.T) {
	t.Parallel()
	f := made{wall: 10, ends: []float64{8, 10}, tasks: 16, moving: 1, cpu: 15, longest: 3, bytes: 4096}.facts()
	f.InputBytes = 10
	r := f.Report()
	for _, c := range []struct {
		what      string
		got, want float64
	}{
		{"wall", r.WallSeconds, 10}, {"tasks", r.TaskSeconds, 16}, {"speed-up", r.SpeedUp, 1.6}, {"efficiency", r.Efficiency, .8},
		{"ideal", r.IdealSeconds, 8}, {"user", r.UserSeconds, 15}, {"cores busy", r.CoresBusy, 1.5},
		{"share of tasks", r.Shares.Tasks, .8}, {"of moving", r.Shares.Moving, .05}, {"of the tail", r.Shares.Tail, .1}, {"of the rest", r.Shares.Other, .05},
		{"longest", r.Longest.Seconds, 3}, {"its share", r.Longest.ShareOfWall, .3},
		{"mean", r.Tasks.MeanMS, 160}, {"median", r.Tasks.P50MS, 13e3 / 99}, {"p99", r.Tasks.P99MS, 13e3 / 99},
	} {
		if !near(c.got, c.want) {
			t.Errorf("%s is %v, want %v", c.what, c.got, c.want)
		}
	}
	if r.AtOnce != 2 || r.Lanes != 2 || r.Chunks != 2 || r.Tasks.Count != 100 || r.Longest.Index != 99 || r.InputBytes != 10 || r.OutputBytes != 4096 {
		t.Errorf("%+v", r)
	}
	// One long task bounds every schedule.
	if r := (made{wall: 10, ends: []float64{2, 10}, tasks: 11, longest: 9}).facts().Report(); !near(r.IdealSeconds, 9) {
		t.Errorf("ideal with a long task: %v", r.IdealSeconds)
	}
	// Lanes without a chunk wait in line or pause while tasks can be claimed.
	waits := made{wall: 10, ends: []float64{2, 2}, tasks: 4, running: true, left: true, total: 1000}
	pauses := waits
	pauses.paused = true
	if w, p := waits.facts().Report(), pauses.facts().Report(); !near(w.Shares.Waiting, .8) || !near(p.Shares.Idle, .8) || p.Shares.Waiting != 0 {
		t.Errorf("one that waits: %+v; one that pauses: %+v", w.Shares, p.Shares)
	}
	// No more places count than there are tasks.
	if r := (made{wall: 10, ends: []float64{10, 10}, tasks: 29, threads: 8, count: 3}).facts().Report(); r.AtOnce != 3 || !near(r.Efficiency, 29./30) || !near(r.Shares.Tasks, 29./30) {
		t.Errorf("three tasks on 16 places: %+v", r)
	}
}

func TestReportOfNothing(t *testing.T) {
	t.Parallel()
	for what, f := range map[string]ReportFacts{
		"queued":       {Lanes: NewLaneTimes(0), Durations: NewDurations(), Total: 3},
		"just claimed": made{wall: 0, ends: []float64{0}}.facts(),
		"no task":      {Ended: true, Wall: time.Second, Lanes: NewLaneTimes(time.Second), Durations: NewDurations()},
	} {
		r := f.Report()
		if r.Verdict != nil || r.Longest != nil || r.SpeedUp != 0 || r.Histogram == nil || r.Shares != (Shares{}) {
			t.Errorf("%s: %+v", what, r)
		}
	}
	// A chunk is claimed, but no task has ended.
	f := ReportFacts{Wall: time.Second, Total: 5, Threads: 1, Lanes: NewLaneTimes(time.Second), Durations: NewDurations()}
	f.Lanes.Add(ChunkTime{Count: 5, Claimed: true, Leased: 100 * time.Millisecond})
	if r := f.Report(); r.Verdict != nil || r.Longest != nil || !near(r.SpeedUp, .9) || !near(r.Shares.Tasks, .9) || !near(r.Shares.Idle, .1) {
		t.Errorf("claimed: %+v", r)
	}
}

// TestReportOfClaimed follows a long task at the end while it runs.
func TestReportOfClaimed(t *testing.T) {
	t.Parallel()
	f := ReportFacts{Wall: 10 * time.Second, Total: 101, Threads: 1, Cores: 2, Lanes: NewLaneTimes(10 * time.Second), Durations: NewDurations()}
	f.Lanes.Add(ChunkTime{Lane: 0, Finished: 2 * time.Second, Tasks: 2 * time.Second, Count: 50})
	f.Lanes.Add(ChunkTime{Lane: 1, Finished: 2 * time.Second, Tasks: 2 * time.Second, Count: 50, First: 50})
	f.Lanes.Add(ChunkTime{Lane: 1, Leased: 1900 * time.Millisecond, First: 100, Count: 1, Claimed: true})
	f.Durations.Add(0, slices.Repeat([]byte{0, 100}, 100))
	r := f.Report()
	if r.Verdict == nil || r.Verdict.Kind != OneLongTask || !strings.Contains(r.Verdict.Sentence, "Task 100 has run for 8.0 s, 80 % of the wall time") {
		t.Errorf("%+v", r.Verdict)
	}
	// It is not known which of many claimed tasks run.
	f.Lanes.Add(ChunkTime{Lane: 0, Leased: 1800 * time.Millisecond, First: 200, Count: 2, Claimed: true})
	f.Lanes.Add(ChunkTime{Lane: 5, Leased: 1 * time.Second, First: 300, Count: 2, Claimed: true})
	if long := f.Report().Longest; long.Index != 100 {
		t.Errorf("with two claimed chunks the longest is %+v", long)
	}
	if !near(r.TaskSeconds, 12) || !near(r.Shares.Tail, .4) || r.Longest.Index != 100 || !r.Longest.Running {
		t.Errorf("%+v", r)
	}
}

var percentages = regexp.MustCompile(`([0-9.]+) %`)
