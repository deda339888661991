package timeline

import (
	"cmp"
	"slices"
	"time"
)

// A Place is where a chunk ran.
type Place struct {
	Host string
	Core *int // nil where processes are not pinned
	Lane *int // of the job; of ended chunks only where Core is nil
}

// A Group is the chunks of one job in one state that began within one unit at
// one place.
type Group struct {
	Place
	Job        string
	State      string
	Start, End time.Time
	Busy       float64 // seconds
	Tally

	row int
}

// A Tally counts the tasks of chunks.
type Tally struct {
	First, Last   int64 // indexes; tasks between may belong to others
	Count, Chunks int64
	Failed        int64
}

// add counts the tasks of another tally too.
func (t *Tally) add(o Tally) {
	t.First, t.Last = min(t.First, o.First), max(t.Last, o.Last)
	t.Count += o.Count
	t.Chunks += o.Chunks
	t.Failed += o.Failed
}

// A Lease is a chunk that is leased now.
type Lease struct {
	Place
	Node, Job    string
	ID           int64
	At           time.Time // when it was leased
	First, Count int64
}

// Running returns the groups of leased chunks that run within the window, and
// notes the earliest lease as Pending. Only the first lease of a lane runs:
// since it was leased, or since the lane's last lease, because a lane claims
// ahead whenever a chunk is done.
func (w *Window) Running(leases []Lease) []Group {
	type lane struct {
		node, job string
		number    int
	}
	running := make(map[lane]Lease)
	for _, l := range leases {
		if w.Pending == nil || l.At.Before(*w.Pending) {
			at := l.At
			w.Pending = &at
		}
		key := lane{l.Node, l.Job, *l.Lane}
		if other, ok := running[key]; ok {
			begun := later(other.At, l.At)
			if other.ID < l.ID {
				l = other
			}
			l.At = begun
		}
		running[key] = l
	}
	var out []Group
	for _, l := range running {
		start := earlier(l.At, w.Now)
		if !start.Before(w.To) || w.Now.Before(w.From) {
			continue
		}
		out = append(out, Group{
			Place: l.Place, Job: l.Job, State: states[Leased], Start: start, End: w.Now, Busy: w.Now.Sub(start).Seconds(),
			Tally: Tally{First: l.First, Last: l.First + max(l.Count, 1) - 1, Count: l.Count, Chunks: 1},
		})
	}
	return out
}

// merge merges groups that begin within the same unit on the same row, which
// those of several nodes of one host do, and doubles the unit while more than
// most are left. It returns them in the order of rows and starts.
func merge(groups []Group, unit time.Duration, most int) ([]Group, time.Duration) {
	type key struct {
		row        int
		state, job string
		begin      int64
	}
	for {
		merged := make([]Group, 0, min(len(groups), 2*most))
		index := make(map[key]int, cap(merged))
		for _, g := range groups {
			k := key{g.row, g.State, g.Job, floor(g.Start.UnixMicro(), unit.Microseconds())}
			i, known := index[k]
			if !known {
				index[k] = len(merged)
				merged = append(merged, g)
				continue
			}
			m := &merged[i]
			m.Start, m.End = earlier(m.Start, g.Start), later(m.End, g.End)
			m.Busy += g.Busy
			m.Tally.add(g.Tally)
		}
		if groups = merged; len(groups) <= most {
			slices.SortFunc(groups, func(a, b Group) int {
				return cmp.Or(cmp.Compare(a.row, b.row), a.Start.Compare(b.Start), cmp.Compare(a.Job, b.Job), cmp.Compare(a.State, b.State), cmp.Compare(a.First, b.First))
			})
			return groups, unit
		}
		unit *= 2
	}
}
