package insight

import (
	"encoding/binary"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs/outcomes"
	"pgregory.net/rapid"
)

// A made is a job as it might have been: lanes that ran one chunk each, from
// the beginning on, in seconds.
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

// TestVerdicts looks at both sides of each border between two verdicts. Unless
// they say otherwise, two lanes ran for ten seconds: 20 s are all there are.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	two := []float64{10, 10}
	for _, c := range []struct {
		what     string
		job      made
		want     VerdictKind
		sentence string // a part of it
	}{
		{"all in tasks", made{wall: 10, ends: two, tasks: 20, cpu: 19}, WellSpread, "100 % of the time of 2 lanes: a speed-up of 2.00, where 2 is the most"},
		{"just enough in tasks", made{wall: 10, ends: two, tasks: 15.1, cpu: 15}, WellSpread, "76 %"},
		{"not quite enough in tasks", made{wall: 10, ends: two, tasks: 14.9, cpu: 15}, TooLittleWork, "A task took 149 ms on average, handing it out and taking in its outcome 51 ms: 74 %"},
		{"not quite enough, with data", made{wall: 10, ends: two, tasks: 14.9, cpu: 15, bytes: 200 << 10}, DataMovement, "26 % of the time went to encoding, moving and recording 200 KiB, 2.0 KiB a task; 74 %"},

		{"hardly any work", made{wall: 10, ends: two, tasks: 1, cpu: 12, moving: 5, count: 1_000_000, bytes: 7_000_000}, TooLittleWork, "1.0 µs on average"},
		{"hardly any work, chunks as said", made{wall: 10, ends: two, tasks: 1, count: 1000, fixed: true}, TooLittleWork, "19 ms: 5.0 %"},
		{"a byte less than much data", made{wall: 10, ends: two, tasks: 1, moving: 8, bytes: 100*1024 - 1}, TooLittleWork, ""},
		{"much data", made{wall: 10, ends: two, tasks: 1, moving: 8, bytes: 100 * 1024}, DataMovement, "95 % of the time"},
		{"the start took longest", made{wall: 10, ends: two, started: 6, tasks: 7, cpu: 7}, TooLittleWork, "Getting processes ready, with the program loaded, took 60 % of the time, the tasks themselves 35 %"},
		{"the start did not take longest", made{wall: 10, ends: two, started: 6, tasks: 7, cpu: 7, moving: .1}, TooLittleWork, "Getting processes ready"},

		{"tasks compute for a quarter", made{wall: 10, ends: two, tasks: 19, cpu: 4.76}, WellSpread, ""},
		{"tasks compute for less", made{wall: 10, ends: two, tasks: 19, cpu: 4.74}, WaitingOnIO, "Tasks computed for 25 % of the time that they took: CPU / wall is 0.47 for 2 lanes."},
		{"tasks only wait", made{wall: 10, ends: two, tasks: 12, cpu: .1}, WaitingOnIO, "0.8 %"},
		{"many wait for few cores", made{wall: 10, ends: slices.Repeat(two, 8), tasks: 155, cpu: 15.1, cores: 2}, WellSpread, "Tasks kept 1.51 of 2 cores busy (CPU / wall), with up to 16 at once."},
		{"many wait for few cores, half of them busy", made{wall: 10, ends: slices.Repeat(two, 8), tasks: 155, cpu: 10.1, cores: 2}, WellSpread, "Tasks filled 97 %"},
		{"many wait, the cores do so too", made{wall: 10, ends: slices.Repeat(two, 8), tasks: 155, cpu: 9.9, cores: 2}, WaitingOnIO, ""},

		{"threads that compute in turn", made{wall: 10, ends: two, tasks: 79, cpu: 19.6, threads: 4}, InterpreterLock, "A process of 4 threads used 0.98 cores while it ran (CPU / wall)"},
		{"short tasks of threads, one after the other", made{wall: 10, ends: two, tasks: 19, cpu: 19.6, threads: 4}, InterpreterLock, ""},
		{"threads that nearly fill a core", made{wall: 10, ends: two, tasks: 79, cpu: 12.1, threads: 4}, InterpreterLock, "0.60 cores"},
		{"threads that do not", made{wall: 10, ends: two, tasks: 79, cpu: 11.9, threads: 4, cores: 4}, WaitingOnIO, ""},
		{"threads that compute at once", made{wall: 10, ends: two, tasks: 79, cpu: 40, threads: 4, cores: 8}, WellSpread, "99 % of the time of 2 lanes of 4 threads"},
		{"commands on one core", made{wall: 10, ends: two, tasks: 79, cpu: 19.6, threads: 4, command: true}, WellSpread, ""},
		{"one thread that computes", made{wall: 10, ends: two, tasks: 19.6, cpu: 19.6}, WellSpread, ""},
		{"threads with next to nothing to do", made{wall: 10, ends: two, tasks: 3, cpu: 19, moving: 4, threads: 4}, TooLittleWork, ""},
		{"threads for a single task", made{wall: 10, ends: []float64{10}, tasks: 9.9, cpu: 9.8, threads: 4, count: 1}, OneLongTask, "There is only one task: it took 9.9 s, 99 % of the wall time."},

		{"a short tail", made{wall: 10, ends: []float64{6.2, 10}, tasks: 16, cpu: 16, longest: 5}, WellSpread, ""},
		{"a long tail", made{wall: 10, ends: []float64{5.8, 10}, tasks: 15.6, cpu: 15.6, longest: 5}, OneLongTask, "Task 99 took 5.0 s, 50 % of the wall time; lanes without work were idle for 21 % of all lanes' time."},
		{"a long tail of waiting", made{wall: 10, ends: []float64{5.8, 10}, tasks: 15.6, cpu: .1, longest: 5}, OneLongTask, "Task 99"},
		{"a long tail of which one task explains half", made{wall: 10, ends: []float64{5.8, 10}, tasks: 15.6, cpu: 15.6, longest: 2.2}, OneLongTask, "Task 99 took 2.2 s"},
		{"a long tail that no task explains", made{wall: 10, ends: []float64{5.8, 10}, tasks: 15.6, cpu: 15.6, longest: 2}, IdleTail, "Lanes that had no work left were idle for 21 % of all lanes' time, while the last tasks ran; none of them was long: the longest task took 2.0 s."},
		{"a long tail, and a long task that ended before it", made{wall: 10, ends: []float64{10, 5.8}, tasks: 15.6, cpu: 15.6, longest: 5}, IdleTail, "the longest task took 5.0 s"},
		{"nothing but a tail", made{wall: 10, ends: []float64{1, 1, 1, 10}, tasks: 12, cpu: 12, longest: 9.5}, OneLongTask, "95 % of the wall time"},
		{"threads that compute, one of them at the end", made{wall: 10, ends: []float64{3, 10}, tasks: 12, cpu: 12, longest: 7, threads: 4}, OneLongTask, ""},
		{"a thread at the end of one chunk for all", made{wall: 10, ends: []float64{10}, tasks: 19, cpu: 1, longest: 7, threads: 4}, OneLongTask, "Task 99 took 7.0 s, 70 % of the wall time; lanes without work were idle for 52 %"},
		{"one task that is not much", made{wall: 10, ends: []float64{10}, tasks: .1, count: 1}, TooLittleWork, ""},

		{"no slot for a third of the time", made{wall: 10, ends: []float64{3.3, 10}, tasks: 13.2, cpu: 13.2, running: true, left: true, total: 1000}, WaitingForSlots, "For 34 % of the time of 2 lanes there was no slot: other work had them. That leaves a speed-up of 1.32, where 2 is the most."},
		{"no slot for most of the time", made{wall: 10, ends: []float64{2, 2.2}, tasks: 4.2, cpu: 4.2, running: true, left: true, total: 1000}, WaitingForSlots, "For 79 %"},
		{"no slot, but handling took more", made{wall: 10, ends: []float64{3, 10}, tasks: 2, cpu: 2, running: true, left: true, total: 1000}, TooLittleWork, ""},
		{"runs, more is to come", made{wall: 10, ends: []float64{5.8, 10}, tasks: 15.6, cpu: 15.6, longest: 5, running: true, left: true, total: 1000}, WellSpread, "For 21 % of the time they had no slot."},
		{"runs, nothing more to claim", made{wall: 10, ends: []float64{5.8, 10}, tasks: 15.6, cpu: 15.6, longest: 5, running: true}, OneLongTask, ""},
		{"paused", made{wall: 10, ends: []float64{2, 2}, tasks: 3.9, cpu: 3.9, running: true, left: true, paused: true, total: 1000}, NothingToClaim, "For 80 % of the time of 2 lanes there was nothing to claim"},
		{"paused for a while", made{wall: 10, ends: []float64{8, 8}, tasks: 15.8, cpu: 15.8, running: true, left: true, paused: true, total: 1000}, WellSpread, "Tasks filled 99 % of the time that 2 lanes had a slot and something to claim: a speed-up of 1.58, where 2 is the most. For 20 % of the time there was nothing to claim."},
	} {
		r := c.job.facts().Report()
		if r.Verdict == nil || r.Verdict.Kind != c.want || !strings.Contains(r.Verdict.Sentence, c.sentence) {
			t.Errorf("%s: %+v, want %s: …%s…; shares %+v", c.what, r.Verdict, c.want, c.sentence, r.Shares)
			continue
		}
		if (r.Verdict.Advice == "") != (c.want == WellSpread) {
			t.Errorf("%s: the advice is %q", c.what, r.Verdict.Advice)
		}
	}
}

// TestTooShort: what is over within a second is not judged.
func TestTooShort(t *testing.T) {
	t.Parallel()
	two := func(wall float64) []float64 { return []float64{wall, wall} }
	for _, c := range []struct {
		what, reason string
		job          made
	}{
		{"ten milliseconds", "too short to judge: 10 ms", made{wall: .01, ends: two(.01), tasks: .00001, cpu: .033, longest: .00001}},
		{"a second of work in half of one", "", made{wall: .51, ends: two(.51), tasks: 1.01, cpu: 1}},
		{"less than a second of work in half of one", "too short to judge: 980 ms", made{wall: .51, ends: two(.51), tasks: .98, cpu: 1}},
		{"a second of handling", "", made{wall: 1.1, ends: two(1.1), tasks: .01, cpu: 1}},
		{"a short job that waited", "too short to judge: 200 ms", made{wall: 10, ends: two(.1), tasks: .2}},
		{"one that has just begun", "too early to judge: 300 ms so far", made{wall: .3, ends: two(.3), tasks: .2, running: true, left: true, total: 1000}},
	} {
		f := c.job.facts()
		if c.what == "a short job that waited" {
			f.Lanes.lastClaim, f.Lanes.waited = f.Wall, 2*f.Wall
		}
		r := f.Report()
		if r.VerdictReason != c.reason || (r.Verdict == nil) != (c.reason != "") {
			t.Errorf("%s: %q, %+v", c.what, r.VerdictReason, r.Verdict)
		}
		if r.CoresBusy > float64(r.Cores) {
			t.Errorf("%s: %g of %d cores busy", c.what, r.CoresBusy, r.Cores)
		}
	}
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
	// Lanes that do not run, while there is something to claim, stand in the line
	// or have to pause.
	waits := made{wall: 10, ends: []float64{2, 2}, tasks: 4, running: true, left: true, total: 1000}
	pauses := waits
	pauses.paused = true
	if w, p := waits.facts().Report(), pauses.facts().Report(); !near(w.Shares.Waiting, .8) || !near(p.Shares.Idle, .8) || p.Shares.Waiting != 0 {
		t.Errorf("one that waits: %+v; one that pauses: %+v", w.Shares, p.Shares)
	}
	// There are no more places than tasks.
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
	// A chunk is in hand, but no task has ended.
	f := ReportFacts{Wall: time.Second, Total: 5, Threads: 1, Lanes: NewLaneTimes(time.Second), Durations: NewDurations()}
	f.Lanes.Add(ChunkTime{Count: 5, InHand: true, Leased: 100 * time.Millisecond})
	if r := f.Report(); r.Verdict != nil || r.Longest != nil || !near(r.SpeedUp, .9) || !near(r.Shares.Tasks, .9) || !near(r.Shares.Idle, .1) {
		t.Errorf("in hand: %+v", r)
	}
}

// TestReportInHand follows a long task at the end while it runs.
func TestReportInHand(t *testing.T) {
	t.Parallel()
	f := ReportFacts{Wall: 10 * time.Second, Total: 101, Threads: 1, Cores: 2, Lanes: NewLaneTimes(10 * time.Second), Durations: NewDurations()}
	f.Lanes.Add(ChunkTime{Lane: 0, Finished: 2 * time.Second, Tasks: 2 * time.Second, Count: 50})
	f.Lanes.Add(ChunkTime{Lane: 1, Finished: 2 * time.Second, Tasks: 2 * time.Second, Count: 50, First: 50})
	f.Lanes.Add(ChunkTime{Lane: 1, Leased: 1900 * time.Millisecond, First: 100, Count: 1, InHand: true})
	f.Durations.Add(0, slices.Repeat([]byte{0, 100}, 100))
	r := f.Report()
	if r.Verdict == nil || r.Verdict.Kind != OneLongTask || !strings.Contains(r.Verdict.Sentence, "Task 100 has run for 8.0 s, 80 % of the wall time") {
		t.Errorf("%+v", r.Verdict)
	}
	// Which of many tasks in hand runs is not known.
	f.Lanes.Add(ChunkTime{Lane: 0, Leased: 1800 * time.Millisecond, First: 200, Count: 2, InHand: true})
	f.Lanes.Add(ChunkTime{Lane: 5, Leased: 1 * time.Second, First: 300, Count: 2, InHand: true})
	if long := f.Report().Longest; long.Index != 100 {
		t.Errorf("with two chunks in hand the longest is %+v", long)
	}
	if !near(r.TaskSeconds, 12) || !near(r.Shares.Tail, .4) || r.Longest.Index != 100 || !r.Longest.Running {
		t.Errorf("%+v", r)
	}
}

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

var percentages = regexp.MustCompile(`([0-9.]+) %`)

// TestNoMoreThanThereIs makes reports of chunks that need not make sense.
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
				InHand: !f.Ended && rapid.Bool().Draw(t, "in hand"), Leased: leased, Started: leased + within.Draw(t, "start")/8,
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

func TestDurations(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		took := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(math.Exp2(rapid.Float64Range(1, 50).Draw(t, "log")))
		}), 1, 200).Draw(t, "took")
		d := NewDurations()
		for i, v := range took {
			code := binary.LittleEndian.AppendUint16([]byte{0, 0}, outcomes.EncodeDuration(v)) // the first one is not known
			d.Add(int64(2*i), code)
			took[i] = outcomes.DecodeDuration(outcomes.EncodeDuration(v))
		}
		index, longest, ok := d.longest()
		if want := slices.Max(took); !ok || longest != want || index != int64(2*slices.Index(took, want)+1) {
			t.Fatalf("longest is %d with %v of %v", index, longest, took)
		}
		times, bins := d.times(), d.histogram()
		slices.Sort(took)
		ms := func(d time.Duration) float64 { return float64(d) / 1e6 }
		sum := 0.0
		for _, v := range took {
			sum += ms(v)
		}
		n := len(took)
		rank := func(q float64) float64 { return ms(took[int(math.Ceil(q*float64(n)))-1]) }
		if times.Count != int64(n) || !near(times.MeanMS, sum/float64(n)) || times.P50MS != rank(.5) || times.P95MS != rank(.95) || times.P99MS != rank(.99) {
			t.Fatalf("%+v of %v", times, took)
		}
		if len(bins) == 0 || len(bins) > maxBins {
			t.Fatalf("%d bins", len(bins))
		}
		for i, b := range bins {
			count := int64(0)
			for _, v := range took {
				if ms(v) >= b.FromMS && ms(v) < b.ToMS {
					count++
				}
			}
			if count != b.Count || i > 0 && bins[i-1].ToMS != b.FromMS || (i == 0 || i == len(bins)-1) && count == 0 {
				t.Fatalf("bin %d of %+v has %d", i, bins, count)
			}
		}
	})
}

func TestHistogramBorders(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		least, most time.Duration
		want        []float64 // in ms
	}{
		{20 * time.Millisecond, 20 * time.Millisecond, []float64{20, 25}},
		{990 * time.Microsecond, 1001 * time.Microsecond, []float64{.8, 1, 1.2}},
		{45 * time.Nanosecond, 310 * time.Nanosecond, []float64{.00004, .00005, .00006, .00008, .0001, .00012, .00015, .0002, .00025, .0003, .0004}},
		{time.Millisecond, 1500 * time.Millisecond, []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000}},
		{time.Microsecond, 15 * time.Second, []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000}},
		{2 * time.Nanosecond, 20 * time.Hour, []float64{1e-6, 1e-5, 1e-4, .001, .01, .1, 1, 10, 100, 1000, 1e4, 1e5, 1e6, 1e7, 1e8}},
	} {
		d := NewDurations()
		for _, v := range []time.Duration{c.least, c.most} {
			// So that rounding to a code cannot cross a border.
			d.Add(0, binary.LittleEndian.AppendUint16(nil, outcomes.EncodeDuration(v+v/500)))
		}
		var got []float64
		for i, b := range d.histogram() {
			if i == 0 {
				got = append(got, b.FromMS)
			}
			got = append(got, b.ToMS)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("from %v to %v: %v, want %v", c.least, c.most, got, c.want)
		}
	}
}
