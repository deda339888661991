package live

import (
	"fmt"
	"testing"
	"time"
)

// TestPaceOfManyHubs checks that all hubs together look 40 times a second, however
// many there are, and that a few look as often as each may.
func TestPaceOfManyHubs(t *testing.T) {
	t.Parallel()
	h := &hubs{all: map[string]*hub{}, looking: make(chan struct{}, maxLooking)}
	wt := Watch{Gap: EventGap, Tick: 2 * time.Second}
	for n := range 400 {
		gap, tick := h.pace(wt)
		if least := time.Duration(n) * time.Second / 40; gap < least || tick < gap || n <= 10 && (gap != wt.Gap || tick != wt.Tick) {
			t.Fatalf("%d hubs wait for %v to %v", n, gap, tick)
		}
		key := fmt.Sprint("host ", n)
		h.all[key] = &hub{hubs: h, key: key, watch: wt}
		h.wide++
	}
	for _, hub := range h.all {
		h.remove(hub)
		h.remove(hub)
	}
	if gap, tick := h.pace(wt); gap != wt.Gap || tick != wt.Tick || h.wide != 0 {
		t.Errorf("without hubs: %v, %v, %d", gap, tick, h.wide)
	}
	if gap, _ := h.pace(Watch{Job: "x", Gap: time.Second}); gap != time.Second {
		t.Errorf("a hub of a job waits for %v", gap)
	}
}
