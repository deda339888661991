package timeline

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

// A place is the identity of a row. Cores belong to the host, whichever of its
// nodes uses them. Core and slot are -1 where a row has none.
type place struct {
	host       string
	core, slot int
}

// AnySlot is all slots of a host as one row, in the totals of all jobs.
const AnySlot = math.MaxInt

func (p place) compare(o place) int {
	return cmp.Or(cmp.Compare(p.host, o.host), cmp.Compare(p.slot, o.slot), cmp.Compare(p.core, o.core))
}

// LiveCores returns the cores of the nodes that are alive, busy or not.
func LiveCores(nodes []jobs.Node) []Place {
	var out []Place
	for _, n := range nodes {
		for _, core := range n.Cores {
			if n.Alive {
				out = append(out, Place{Host: n.Host, Core: &core.Core})
			}
		}
	}
	return out
}

// A jobLane is a lane of one job. Each job numbers its own.
type jobLane struct {
	host, job string
	number    int
}

// slots gives each lane that is not pinned the lowest slot of its host that is
// free from its first chunk to its last.
func slots(groups []Group) map[jobLane]int {
	type use struct {
		jobLane
		start, end time.Time
	}
	lanes := make(map[jobLane]*use)
	for _, g := range groups {
		if g.Core != nil {
			continue
		}
		key := jobLane{g.Host, g.Job, *g.Lane}
		if u := lanes[key]; u == nil {
			lanes[key] = &use{key, g.Start, g.End}
		} else {
			u.start, u.end = earlier(u.start, g.Start), later(u.end, g.End)
		}
	}
	uses := make([]*use, 0, len(lanes))
	for _, u := range lanes {
		uses = append(uses, u)
	}
	slices.SortFunc(uses, func(a, b *use) int {
		return cmp.Or(a.start.Compare(b.start), cmp.Compare(a.job, b.job), cmp.Compare(a.number, b.number), cmp.Compare(a.host, b.host))
	})
	free := make(map[string][]time.Time) // by host and slot: from when on
	out := make(map[jobLane]int, len(uses))
	for _, u := range uses {
		slot := slices.IndexFunc(free[u.host], func(t time.Time) bool { return !t.After(u.start) })
		if slot < 0 {
			slot = len(free[u.host])
			free[u.host] = append(free[u.host], time.Time{})
		}
		free[u.host][slot], out[u.jobLane] = u.end, slot
	}
	return out
}

// placeOnRows gives each group its row and returns the rows, those of idle
// cores too.
func placeOnRows(groups []Group, all bool, idle []Place) (rows []Row, leftOut int) {
	var slotOf map[jobLane]int
	if all {
		slotOf = slots(groups)
	}
	at := make([]place, len(groups))
	for i, g := range groups {
		switch {
		case g.Core != nil:
			at[i] = place{g.Host, *g.Core, -1}
		case all:
			at[i] = place{g.Host, -1, slotOf[jobLane{g.Host, g.Job, *g.Lane}]}
		default:
			at[i] = place{g.Host, -1, *g.Lane}
		}
	}
	places := slices.Clone(at)
	for _, p := range idle {
		places = append(places, place{p.Host, *p.Core, -1})
	}
	slices.SortFunc(places, place.compare)
	places = slices.Compact(places)
	for i := range groups {
		groups[i].row, _ = slices.BinarySearchFunc(places, at[i], place.compare)
	}
	if leftOut = max(len(places)-maxRows, 0); leftOut > 0 {
		places = places[:maxRows]
	}
	return label(places, all), leftOut
}

// label makes the rows of sorted places, with their host in the label only
// where there are several.
func label(places []place, all bool) []Row {
	out := make([]Row, len(places))
	for i, p := range places {
		row := &out[i]
		row.Host = p.host
		switch {
		case p.core >= 0:
			row.Core, row.Label = &places[i].core, fmt.Sprintf("core %d", p.core)
		case p.slot == AnySlot:
			row.Slot, row.Label = &places[i].slot, "not pinned"
		case all:
			row.Slot, row.Label = &places[i].slot, fmt.Sprintf("slot %d", p.slot)
		default:
			row.Slot, row.Label = &places[i].slot, fmt.Sprintf("lane %d", p.slot)
		}
		if places[0].host != places[len(places)-1].host {
			row.Label = p.host + " " + row.Label
		}
	}
	return out
}
