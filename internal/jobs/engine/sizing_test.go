package engine

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
)

func TestChunkSize(t *testing.T) {
	t.Parallel()
	type chunk struct {
		n       int
		took    time.Duration
		in, out int
		cut     bool
	}
	for _, test := range []struct {
		name        string
		chunks      []chunk
		threads     int
		want, floor int
	}{
		{"nothing is known", nil, 1, 8, 1},
		{"nothing is known, many threads", nil, 32, 32, 8},
		{"200 ns a task", []chunk{{n: 1000, took: 200 * time.Microsecond}}, 1, 1_000_000, 25_000},
		{"1 ms a task", []chunk{{n: 8, took: 8 * time.Millisecond}}, 1, 200, 5},
		{"10 ms a task", []chunk{{n: 8, took: 80 * time.Millisecond}}, 1, 20, 1},
		{"longer than the aim", []chunk{{n: 1, took: time.Minute}}, 1, 1, 1},
		{"longer than the aim, 4 threads", []chunk{{n: 4, took: time.Minute}}, 4, 4, 1},
		{"the mean of old and new", []chunk{{n: 1, took: time.Millisecond}, {n: 1, took: 3 * time.Millisecond}}, 1, 100, 2},
		{"a chunk that was cut counts alone", []chunk{{n: 100, took: 500 * time.Microsecond}, {n: 2, took: 400 * time.Millisecond, cut: true}}, 1, 1, 1},
		{"large outputs", []chunk{{n: 4, took: 4 * time.Microsecond, out: 4 << 20}}, 1, 2, 2},
		{"large inputs", []chunk{{n: 2, took: 2 * time.Microsecond, in: 16 << 20}}, 1, 1, 1},
		{"nothing done teaches nothing", []chunk{{n: 0, took: time.Second, cut: true}}, 1, 8, 1},
		{"no time at all", []chunk{{n: 1000, took: 0}}, 1, 1_000_000, 1_000_000},
	} {
		var s estimate
		for _, c := range test.chunks {
			s.add(c.n, c.took, c.in, c.out, c.cut)
		}
		want, floor := s.size(test.threads, firstAim)
		if want != test.want || floor != test.floor {
			t.Errorf("%s: want %d floor %d, expected %d and %d", test.name, want, floor, test.want, test.floor)
		}
	}
}

func TestAimAfter(t *testing.T) {
	t.Parallel()
	for ran, want := range map[time.Duration]time.Duration{
		0: firstAim, 800 * time.Millisecond: firstAim, time.Second: 250 * time.Millisecond, time.Hour: lastAim,
	} {
		if got := aimAfter(ran); got != want {
			t.Errorf("after %v: %v, want %v", ran, got, want)
		}
	}
	var s estimate
	s.add(1000, time.Second, 0, 0, false)
	if want, _ := s.size(1, lastAim); want != 500 {
		t.Errorf("a chunk of %d tasks of 1 ms", want)
	}
}

func TestChunksAhead(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		task      time.Duration
		unclaimed int64
		fixed     int
		want      int
	}{
		{0, 100, 0, 2},                       // not known yet: the process should not idle
		{time.Microsecond, 1, 0, 2},          // short: waiting behind another costs nothing
		{10 * time.Millisecond, 1000, 0, 2},  // the other is recorded meanwhile
		{10 * time.Millisecond, 4, 0, 1},     // the end is near: other lanes could run it
		{150 * time.Millisecond, 1000, 0, 1}, // it would wait long
		{0, 100, 1, 1},                       // not known yet, and it would not be given back
		{time.Millisecond, 10_000, 50, 2},
		{time.Millisecond, 200, 50, 1},
		{time.Millisecond, 10_000, 150, 1},
		{time.Microsecond, 1, 1000, 2},
	} {
		s := estimate{taskCost: taskCost{wall: test.task}}
		if got := s.ahead(test.unclaimed, 2, test.fixed); got != test.want {
			t.Errorf("%+v: %d chunks", test, got)
		}
	}
}

func TestNotificationsAreThrottledButTheLastIsNotLost(t *testing.T) {
	t.Parallel()
	var s notifier
	later := make(chan struct{}, 10)
	tell := func() bool { return s.notify(func() { later <- struct{}{} }) }
	if !tell() {
		t.Error("the first record tells nobody")
	}
	for range 5 {
		if tell() {
			t.Error("a record right after another tells the world again")
		}
	}
	select {
	case <-later:
	case <-time.After(10 * time.Second):
		t.Fatal("the last records were never told")
	}
	if tell() { // it was told just now; this one comes later
		t.Error("told twice at once")
	}
	s.silence()
	select {
	case <-later:
		t.Error("told after it was silenced")
	case <-time.After(2 * notifyEvery):
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		base    time.Duration
		attempt int
		jitter  float64
		want    time.Duration
	}{
		{time.Second, 1, 0.5, time.Second},
		{time.Second, 1, 0, 750 * time.Millisecond},
		{time.Second, 4, 0.5, 8 * time.Second},
		{time.Second, 100, 0.5, time.Hour},
		{0, 50, 0.5, 0},
	} {
		if got := backoff(test.base, test.attempt, test.jitter); got != test.want {
			t.Errorf("after attempt %d of %v with jitter %v: %v, want %v", test.attempt, test.base, test.jitter, got, test.want)
		}
	}
}

func TestTakeRetries(t *testing.T) {
	t.Parallel()
	run := outcomes.Encoded{First: 100, Count: 6, Failed: []int32{1, 2, 4, 5}, Durations: make([]byte, 12)}
	for i := range 6 {
		binary.LittleEndian.PutUint16(run.Durations[2*i:], outcomes.EncodeDuration(time.Second))
		switch i {
		case 0, 3:
			run.Outputs = fmt.Appendf(run.Outputs, "%d\n", i)
		case 4:
			run.Outputs = outcomes.AppendFailure(run.Outputs, &jobs.TaskError{Kind: jobs.KindCrash, Type: "SIGKILL"})
		default:
			run.Outputs = outcomes.AppendFailure(run.Outputs, &jobs.TaskError{Kind: jobs.KindException, Type: "ValueError"})
		}
	}
	type span struct{ First, Count, Failed, Lines int }
	for _, test := range []struct {
		name     string
		attempts int
		lease    store.Lease
		kept     []span
		again    []store.BacklogSpan
	}{
		{"one attempt: only the crash is run again", 1, store.Lease{Attempt: 1, Count: 6},
			[]span{{100, 4, 2, 4}, {105, 1, 1, 1}}, []store.BacklogSpan{{First: 104, Count: 1, Attempt: 1, Losses: 1}}},
		{"attempts left: neighbours together, the crash alone", 2, store.Lease{Attempt: 1, Count: 6},
			[]span{{100, 1, 0, 1}, {103, 1, 0, 1}},
			[]store.BacklogSpan{{First: 101, Count: 2, Attempt: 2}, {First: 104, Count: 1, Attempt: 1, Losses: 1}, {First: 105, Count: 1, Attempt: 2}}},
		{"attempts used up", 2, store.Lease{Attempt: 2, Count: 6},
			[]span{{100, 4, 2, 4}, {105, 1, 1, 1}}, []store.BacklogSpan{{First: 104, Count: 1, Attempt: 2, Losses: 1}}},
	} {
		zero := jobs.Duration("0s")
		kept, again, attempts := takeRetries([]outcomes.Encoded{run}, test.lease, jobs.Policy{MaxAttempts: &test.attempts, RetryBackoff: &zero})
		var got []span
		for _, r := range kept {
			lines := 0
			for i, line := range outcomes.Lines(r.Outputs) {
				lines++
				failed := false
				for _, offset := range r.Failed {
					failed = failed || int(offset) == i
				}
				if failed != line.Failed() {
					t.Errorf("%s: line %d of the run at %d is marked wrongly", test.name, i, r.First)
				}
			}
			got = append(got, span{int(r.First), r.Count, len(r.Failed), lines})
		}
		if diff := cmp.Diff(test.kept, got); diff != "" {
			t.Errorf("%s: kept (-want +got):\n%s", test.name, diff)
		}
		if diff := cmp.Diff(test.again, again); diff != "" {
			t.Errorf("%s: again (-want +got):\n%s", test.name, diff)
		}
		tasks := 0
		for _, p := range again {
			tasks += p.Count
		}
		if len(attempts) != tasks {
			t.Errorf("%s: %d attempts are kept of %d tasks", test.name, len(attempts), tasks)
		}
		for _, a := range attempts {
			if after := time.Duration(a.Index-100) * time.Second; a.After.Round(10*time.Millisecond) != after || a.Took.Round(10*time.Millisecond) != time.Second {
				t.Errorf("%s: the attempt at %d is said to begin after %v and to take %v", test.name, a.Index, a.After, a.Took)
			}
		}
	}
	// What a task was lost with others does not count when it is alone.
	for _, test := range []struct{ of, count, losses, more, want int }{
		{10, 3, 2, 0, 2}, {10, 3, 2, 1, 3}, {10, 1, 2, 0, 0}, {10, 1, 2, 1, 1}, {1, 1, 2, 0, 2}, {1, 1, 2, 1, 3},
	} {
		got := pieces(store.Lease{First: 5, Count: test.of, Attempt: 4, Losses: test.losses}, []jobs.Span{{First: 7, Count: test.count}}, test.more)
		if diff := cmp.Diff([]store.BacklogSpan{{First: 7, Count: test.count, Attempt: 4, Losses: test.want}}, got); diff != "" {
			t.Errorf("%+v: (-want +got):\n%s", test, diff)
		}
	}
	// The third death of a task that was alone is its failure.
	alone := outcomes.Encoded{First: 7, Count: 1, Failed: []int32{0}, Outputs: outcomes.AppendFailure(nil, &jobs.TaskError{Kind: jobs.KindCrash}), Durations: []byte{0, 0}}
	one, zero := 1, jobs.Duration("0s")
	for losses, want := range []int{0, 0, 1} {
		kept, _, _ := takeRetries([]outcomes.Encoded{alone}, store.Lease{Attempt: 1, Count: 1, Losses: losses}, jobs.Policy{MaxAttempts: &one, RetryBackoff: &zero})
		if len(kept) != want {
			t.Errorf("after %d losses %d outcomes are recorded, want %d", losses, len(kept), want)
		}
	}
	var e jobs.TaskError
	if err := json.Unmarshal(outcomes.Line(alone.Outputs[:len(alone.Outputs)-1]).Value(), &e); err != nil || e.Kind != jobs.KindCrash {
		t.Error(e, err)
	}
}

func TestStatsOfAProgramOutliveItsJob(t *testing.T) {
	t.Parallel()
	var c localJobs
	program, other := programKey{1}, programKey{2}
	s := c.enter("first", program)
	s.add(1000, time.Second, 0, 0, false)
	c.leave("first", program)
	if want, _ := c.enter("second", program).size(1, firstAim); want != 200 {
		t.Errorf("a second job's first chunk has %d tasks of 1 ms, want 200", want)
	}
	if want, _ := c.enter("third", other).size(1, firstAim); want != firstChunk {
		t.Errorf("another program's first chunk has %d tasks", want)
	}
	for i := range 2 * maxPrograms {
		c.enter("x", programKey{3, byte(i), byte(i >> 8)}).add(1, time.Second, 0, 0, false)
		c.leave("x", programKey{3, byte(i), byte(i >> 8)})
	}
	if len(c.programs) > maxPrograms {
		t.Errorf("%d programs are remembered", len(c.programs))
	}
}
