package live

import (
	"testing"
	"time"
)

// TestPaceUnderLoad checks that changes that are always wanted come a gap apart, and
// that there are never more than four in a second.
func TestPaceUnderLoad(t *testing.T) {
	t.Parallel()
	var p pace
	now := time.Unix(1000, 0)
	var times []time.Time
	for range 40 {
		p.done(now, EventGap, len(times) > 0)
		times = append(times, now)
		now = p.next(EventGap)
	}
	for i, at := range times {
		if i >= 4 && at.Sub(times[i-4]) < time.Second {
			t.Errorf("change %d comes %v after the fourth before it", i, at.Sub(times[i-4]))
		}
		if i >= 5 && at.Sub(times[i-1]) < EventGap {
			t.Errorf("change %d comes %v after the one before", i, at.Sub(times[i-1]))
		}
	}
	if took := times[39].Sub(times[0]); took > 10*time.Second {
		t.Errorf("40 changes took %v", took)
	}
}

// TestPaceAfterSilence checks that two changes after a silence come at once, and that a
// wider gap, which many share, has no such burst.
func TestPaceAfterSilence(t *testing.T) {
	t.Parallel()
	var p pace
	now := time.Unix(1000, 0)
	for range 3 {
		p.done(now, EventGap, false)
		if wait := p.next(EventGap).Sub(now); wait > burstGap {
			t.Errorf("the second change waits for %v", wait)
		}
		now = now.Add(burstGap)
		p.done(now, EventGap, true)
		if wait := p.next(EventGap).Sub(now); wait < EventGap {
			t.Errorf("the third change waits for %v", wait)
		}
		now = now.Add(2 * EventGap)
	}
	var wide pace
	wide.done(now, 2*EventGap, false)
	if wait := wide.next(2 * EventGap).Sub(now); wait < 2*EventGap {
		t.Errorf("with a wide gap the second change waits for %v", wait)
	}
}

// TestLoadGap checks that the gap of a stream grows while its looks find much, to a
// bound, and that it stays short while they find little.
func TestLoadGap(t *testing.T) {
	t.Parallel()
	const least = 2 * time.Millisecond
	var g loadGap
	for range 5 {
		if gap := g.after(1, least); gap != least {
			t.Errorf("without load the gap is %v", gap)
		}
	}
	before := least
	for range 20 {
		gap := g.after(much, least)
		if gap != min(2*before, maxLoadGap) {
			t.Errorf("after %v under load comes %v", before, gap)
		}
		before = gap
	}
	for range 6 {
		g.after(0, least)
	}
	if gap := g.after(0, least); gap != least {
		t.Errorf("after the load the gap is %v", gap)
	}
	if gap := g.after(much, maxShare); gap != maxShare {
		t.Errorf("of many streams each has a gap of %v", gap)
	}
	var s Streams
	for streams, want := range map[int64]time.Duration{0: 0, 4: 4 * followShare, 10_000: maxShare} {
		s.following.Store(streams)
		if gap := s.followGap(); gap != want {
			t.Errorf("of %d streams each has a gap of %v", streams, gap)
		}
	}
}
