package timeline

import (
	"maps"
	"slices"
	"time"
)

// A Total adds up the chunks of one core, lane or slot within a window.
type Total struct {
	Row
	Share                       float64 // of the window during which chunks ran that were not lost; more than 1 where several ran at once
	Chunks, Tasks, Failed, Lost int64   // Tasks with an outcome or leased; Lost are chunks
	Longest                     Longest
}

// A Longest is the chunk of a row that took longest, lost ones aside. Without a
// chunk Took is 0.
type Longest struct {
	Job          string
	First, Count int64
	Took         time.Duration
}

// Totals adds up the chunks of a window row by row, all unpinned slots of a
// host together in a window of all jobs.
type Totals struct {
	window Window
	sums   map[place]*Total
}

// NewTotals returns totals with a row for each of the idle cores.
func NewTotals(w Window, idle []Place) *Totals {
	t := &Totals{window: w, sums: make(map[place]*Total)}
	for _, p := range idle {
		t.sums[t.place(p)] = new(Total)
	}
	return t
}

func (t *Totals) place(p Place) place {
	switch {
	case p.Core != nil:
		return place{p.Host, *p.Core, -1}
	case t.window.All:
		return place{p.Host, -1, AnySlot}
	default:
		return place{p.Host, -1, *p.Lane}
	}
}

// Add adds chunks that ran at a place for so long within the window, those that
// were not lost, to what total says of them.
func (t *Totals) Add(p Place, busy time.Duration, total Total) {
	at := t.place(p)
	sum := t.sums[at]
	if sum == nil {
		sum = new(Total)
		t.sums[at] = sum
	}
	sum.Share += busy.Seconds() / t.window.To.Sub(t.window.From).Seconds()
	sum.Chunks += total.Chunks
	sum.Tasks += total.Tasks
	sum.Failed += total.Failed
	sum.Lost += total.Lost
	if total.Longest.Took >= sum.Longest.Took {
		sum.Longest = total.Longest
	}
}

// AddRunning adds leased chunks.
func (t *Totals) AddRunning(groups []Group) {
	for _, g := range groups {
		t.Add(g.Place, g.End.Sub(later(g.Start, t.window.From)), Total{
			Chunks: 1, Tasks: g.Count,
			Longest: Longest{Job: g.Job, First: g.First, Count: g.Count, Took: g.End.Sub(g.Start)},
		})
	}
}

// Rows returns the totals in the order of their rows. oneIn is how many chunks
// each chunk that was added stands for.
func (t *Totals) Rows(oneIn float64) []Total {
	places := slices.SortedFunc(maps.Keys(t.sums), place.compare)
	out := make([]Total, len(places))
	for i, row := range label(places, t.window.All) {
		out[i] = *t.sums[places[i]]
		out[i].Row = row
		out[i].Share *= oneIn
	}
	return out
}
