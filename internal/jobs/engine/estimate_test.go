package engine

import (
	"testing"
	"time"
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
