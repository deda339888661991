package live

import "time"

// burstGap is the least time between the two changes that may follow a silence at
// once.
const burstGap = 10 * time.Millisecond

// maxInWindow is how many changes there are in as many gaps at most.
const maxInWindow = 4

// A pace spaces changes a gap apart, and throttles under load only: the first one
// after a silence of a gap need not wait, and the one after that waits for burstGap
// instead of the gap, as a task that is appended also ends soon. There are never more
// than maxInWindow of them in as many gaps. The zero pace has been silent.
type pace struct {
	past  [maxInWindow]time.Time // the last changes, oldest first
	quiet bool                   // the last one followed a silence
}

// done notes a change. held says that it was wanted before the pace allowed it.
func (p *pace) done(now time.Time, gap time.Duration, held bool) {
	last := p.past[maxInWindow-1]
	p.quiet = !held && now.Sub(last) >= gap
	copy(p.past[:], p.past[1:])
	p.past[maxInWindow-1] = now
}

// next returns when the next change may begin. A gap beyond EventGap has no bursts:
// many hubs share it.
func (p *pace) next(gap time.Duration) time.Time {
	wait := gap
	if p.quiet && gap <= EventGap {
		wait = min(gap, burstGap)
	}
	at := p.past[maxInWindow-1].Add(wait)
	if window := p.past[0].Add(maxInWindow * gap); window.After(at) {
		at = window
	}
	return at
}

// Bounds of the gap between the looks of streams that each read up to a place of their
// own.
const (
	// followShare is how often one of these streams looks, and maxShare the longest gap
	// for that.
	followShare = 2500 * time.Microsecond
	maxShare    = 250 * time.Millisecond
	// maxLoadGap is the gap of a stream that always finds much.
	maxLoadGap = 50 * time.Millisecond
	// much is how much a look finds that is worth its cost.
	much = 4
)

// A loadGap is the time between the looks of a stream. It doubles with each look that
// finds much, and halves with each other one: a client that waits for each outcome
// before it asks for the next is never made to wait.
type loadGap struct {
	now time.Duration
}

// after returns the gap after a look, which is at least so long.
func (g *loadGap) after(found int, least time.Duration) time.Duration {
	if found >= much {
		g.now = min(2*g.now, maxLoadGap)
	} else {
		g.now /= 2
	}
	g.now = max(g.now, least)
	return g.now
}
