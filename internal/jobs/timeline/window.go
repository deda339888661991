package timeline

import (
	"math/bits"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

const (
	// longestSought is how long after a window of all jobs a chunk may end that
	// was leased before and during it.
	longestSought = 24 * time.Hour
	// longestAhead is how far past now a window may reach: nothing has run there,
	// and a window of centuries overflows a duration.
	longestAhead = time.Hour
	// commitMargin is how long after its end a chunk may still be seen as leased,
	// while the commit is on its way.
	commitMargin = 5 * time.Second

	// Slack is by how much the order of chunk ids may differ from the order of
	// their leases: jobs that claim at the same moment do not wait for each other.
	Slack = time.Second
)

// A Query says which part of a timeline to read.
type Query struct {
	Job   *jobs.Job     // nil for all jobs that the viewer may see
	From  time.Time     // zero: when the job started last, or Last before To
	To    time.Time     // zero: when the job ended, or now
	Last  time.Duration // of all jobs, where there is no From
	Width int           // rectangles that may stand side by side on a row, at least 1
	Since time.Time     // leaves out what began before; zero for nothing
}

// A Window is a Query with its times filled in.
type Window struct {
	All      bool      // of all jobs
	Now      time.Time // the database's clock
	From, To time.Time
	Since    time.Time     // of the query, rounded down to a unit; zero without
	Unit     time.Duration // chunks that begin within one may be merged: 2^n µs
	First    time.Time     // when the job's first chunk was leased
	Pending  *time.Time    // when the first of the chunks that are leased now was leased
	Until    time.Time     // chunks of interest ended by then
}

// Window fills in the times of the query. now is the database's clock, first
// when the job's first chunk was leased.
func (q Query) Window(now time.Time, first *time.Time) Window {
	latest := now.Add(longestAhead)
	w := Window{All: q.Job == nil, Now: now, From: earlier(q.From, latest), To: earlier(q.To, latest)}
	if w.To.IsZero() {
		w.To = now
		if q.Job != nil && q.Job.FinishedAt != nil {
			w.To = q.Job.FinishedAt.Time
		}
	}
	if w.From.IsZero() {
		switch {
		case q.Job == nil:
			w.From = w.To.Add(-q.Last)
		case q.Job.StartedAt != nil:
			w.From = q.Job.StartedAt.Time
		default:
			w.From = w.To
		}
	}
	w.To = later(w.To, w.From.Add(time.Millisecond))
	switch {
	case q.Job == nil:
		w.Until = w.To.Add(longestSought)
	case q.Job.FinishedAt != nil:
		w.Until = q.Job.FinishedAt.Add(Slack)
	default:
		w.Until = now.Add(time.Minute) // chunks that are recorded meanwhile count too
	}
	w.First = w.From
	if q.Job != nil && first != nil {
		w.First = *first
	}
	w.Unit = Unit(w.To.Sub(w.From), q.Width)
	if !q.Since.IsZero() {
		w.Since = time.UnixMicro(floor(earlier(q.Since, latest).UnixMicro(), w.Unit.Microseconds()))
	}
	return w
}

// Lower returns the time that chunks of interest reach or pass.
func (w *Window) Lower() time.Time { return later(w.From, w.Since) }

// FitRows makes the unit large enough for no more than MaxRects rectangles on
// so many rows.
func (w *Window) FitRows(rows int) {
	w.Unit = max(w.Unit, Unit(w.To.Sub(w.From), MaxRects/max(rows, 1)))
}

// nextSince returns the time before which rectangles do not change any more.
func (w *Window) nextSince() time.Time {
	next := w.Now.Add(-commitMargin)
	if w.Pending != nil {
		next = earlier(next, *w.Pending)
	}
	return time.UnixMicro(floor(next.UnixMicro(), w.Unit.Microseconds()))
}

// Unit returns the least power of two of microseconds that divides a window into no
// more than width units.
func Unit(window time.Duration, width int) time.Duration {
	least := max(window.Microseconds()/int64(max(width, 1)), 1)
	if least*int64(max(width, 1)) < window.Microseconds() {
		least++
	}
	return time.Microsecond << bits.Len64(uint64(least-1))
}

// floor rounds n down to a multiple of unit.
func floor(n, unit int64) int64 {
	rest := n % unit
	if rest < 0 {
		rest += unit
	}
	return n - rest
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
