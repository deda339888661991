package timeline

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

// A Layout is a Timeline whose jobs have no names yet.
type Layout struct {
	window      Window
	groups      []Group // ordered by row, then by start
	rows        []Row
	rowsLeftOut int
}

// Arrange puts the groups, which it changes, on rows and merges them to at most
// MaxRects. idle are cores that have a row in any case.
func Arrange(w Window, groups []Group, idle []Place) *Layout {
	l := &Layout{window: w}
	l.rows, l.rowsLeftOut = placeOnRows(groups, w.All, idle)
	groups = slices.DeleteFunc(groups, func(g Group) bool { return g.row >= len(l.rows) })
	l.groups, l.window.Unit = merge(groups, w.Unit, MaxRects)
	return l
}

// Jobs returns the ids of the jobs that have rectangles, sorted.
func (l *Layout) Jobs() []string {
	ids := make([]string, len(l.groups))
	for i, g := range l.groups {
		ids[i] = g.Job
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Timeline completes the layout with the jobs, sorted by id. oneIn is how many
// chunks each chunk that was read stands for.
func (l *Layout) Timeline(list []JobName, oneIn float64) *Timeline {
	w := &l.window
	base := w.From.Truncate(time.Millisecond)
	ms := func(t time.Time) float64 { return float64(t.Sub(base).Microseconds()) / 1000 }
	since := w.From
	if !w.Since.IsZero() {
		since = w.Since
	}
	n := len(l.groups)
	r := Rects{
		Row: make([]int, n), Start: make([]float64, n), End: make([]float64, n), Busy: make([]float64, n), Job: make([]int, n),
		First: make([]int64, n), Last: make([]int64, n), Count: make([]int64, n), Chunks: make([]int64, n), Failed: make([]int64, n), State: make([]int, n),
	}
	for i, g := range l.groups {
		r.Row[i], r.Start[i], r.End[i], r.Busy[i] = g.row, ms(g.Start), ms(g.End), math.Round(g.Busy*1e6)/1000
		r.Job[i], _ = slices.BinarySearchFunc(list, g.Job, func(j JobName, id string) int { return cmp.Compare(j.ID, id) })
		r.First[i], r.Last[i], r.Count[i], r.Chunks[i], r.Failed[i] = g.First, g.Last, g.Count, g.Chunks, g.Failed
		r.State[i] = slices.Index(states, g.State)
	}
	return &Timeline{
		Base:   jobs.Time{Time: base},
		FromMS: ms(w.From), ToMS: ms(w.To), NowMS: ms(w.Now), FirstMS: ms(w.First),
		ResolutionMS: float64(w.Unit.Microseconds()) / 1000, SinceMS: ms(since), NextSinceMS: ms(w.nextSince()),
		OneIn: oneIn, RowsLeftOut: l.rowsLeftOut, Rows: l.rows, Jobs: list, Rects: r,
	}
}
