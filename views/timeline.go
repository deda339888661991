package views

import (
	"strconv"
	"time"
)

// TimelineRowsShown is how many rows the table of a timeline has at most.
const TimelineRowsShown = 200

// A TimelineView is a timeline, rendered by [Timeline]: a drawing, which the
// script timeline.js fetches from the API and keeps up to date, and a table of
// the same. A page has at most one, and lists timeline.js among its scripts.
type TimelineView struct {
	Job     string // id of the job that it is of; empty for all
	Run     int    // number of the job's run to show; 0 for the newest
	Seconds int    // of all jobs: how far it reaches back
	Live    bool   // something may still be added
	Lanes   int    // expected number of rows

	Rows        []TimelineRow // what each core or slot did
	RowsLeftOut int           // beyond TimelineRowsShown
	OneIn       float64       // more than 1: only about one chunk in this many was read
}

// A TimelineRow is one core or slot and what it did.
type TimelineRow struct {
	Label                       string
	Share                       float64 // of the time during which it was busy; more than 1 where several chunks ran at once
	Chunks, Tasks, Failed, Lost int64   // Lost are chunks

	// The chunk that took longest; none where Took is 0.
	Job          string
	First, Count int64
	Took         time.Duration
}

// empty reports whether the timeline has no rows and will get none.
func (v TimelineView) empty() bool { return !v.Live && len(v.Rows) == 0 }

// height is the height of the drawing in pixels, for the rows it has or will have,
// so that nothing below moves when it is drawn. timeline/paint.js draws rows of
// these heights.
func (v TimelineView) height() int {
	const axis, margin = 30, 6
	rows := max(len(v.Rows)+v.RowsLeftOut, v.Lanes, 1)
	row := 4
	for _, step := range [][2]int{{2, 36}, {4, 28}, {8, 22}, {24, 16}, {64, 10}, {192, 6}} {
		if rows <= step[0] {
			row = step[1]
			break
		}
	}
	return axis + rows*row + margin
}

func (v TimelineView) url() string {
	if v.Job == "" {
		return "/api/v1/timeline?seconds=" + strconv.Itoa(v.Seconds)
	}
	if v.Run > 0 {
		return "/api/v1/jobs/" + v.Job + "/timeline?run=" + strconv.Itoa(v.Run)
	}
	return "/api/v1/jobs/" + v.Job + "/timeline"
}

func (v TimelineView) any(of func(TimelineRow) int64) bool {
	for _, r := range v.Rows {
		if of(r) > 0 {
			return true
		}
	}
	return false
}

// about marks counts that are of a sample.
func (v TimelineView) about() string {
	if v.OneIn > 1 {
		return "about one chunk in " + thousands(int64(v.OneIn+.5)) + " is counted"
	}
	return ""
}

// busyShare is a share of time, or where several chunks ran at once how many.
func busyShare(v float64) string {
	switch p := 100 * v; {
	case p >= 100.5:
		return significant(v) + " at once"
	case p <= 0:
		return "0 %"
	case p < 1:
		return "< 1 %"
	default:
		return thousands(int64(p+.5)) + " %"
	}
}

func chunkRange(first, count int64) string {
	if count <= 1 {
		return "task " + thousands(first)
	}
	return "tasks " + thousands(first) + " to " + thousands(first+count-1)
}
