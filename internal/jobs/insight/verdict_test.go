package insight

import (
	"slices"
	"strings"
	"testing"
)

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
		{"a long tail, half of it explained by one task", made{wall: 10, ends: []float64{5.8, 10}, tasks: 15.6, cpu: 15.6, longest: 2.2}, OneLongTask, "Task 99 took 2.2 s"},
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

// TestTooShort checks that a run that is too short is not judged.
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
