package views

import (
	"strconv"
	"time"
)

// TimelineRowsShown is the largest number of rows in the table of a timeline.
const TimelineRowsShown = 200

// A TimelineView holds a timeline. [Timeline] renders it as a drawing, which
// timeline.js fetches from the API and keeps up to date, and as a table. A page
// has at most one, and lists timeline.js among its scripts.
type TimelineView struct {
	Job     string // id of the job; empty for all jobs
	Run     int    // number of the job's run to show; 0 for the newest
	Seconds int    // for all jobs: how far it reaches back
	Live    bool   // it may still grow
	Lanes   int    // expected number of rows

	Rows        []TimelineRow // one per core or slot
	RowsLeftOut int           // number of rows beyond TimelineRowsShown
	OneIn       float64       // more than 1: only about one chunk in this many was read
}

// A TimelineRow sums up the work of one core or slot.
type TimelineRow struct {
	Label                       string
	Share                       float64 // busy share of the time; more than 1 if several chunks ran at once
	Chunks, Tasks, Failed, Lost int64   // Lost are chunks

	// The longest chunk; none if Took is 0.
	Job          string
	First, Count int64
	Took         time.Duration
}

// empty reports whether the timeline has no rows and will get none.
func (v TimelineView) empty() bool { return !v.Live && len(v.Rows) == 0 }

// height returns the drawing's height in pixels, for its present or expected
// rows, so that nothing below moves when it is drawn. timeline/paint.js draws
// rows of these heights.
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

// about states the sampling of the counts.
func (v TimelineView) about() string {
	if v.OneIn > 1 {
		return "about one chunk in " + thousands(int64(v.OneIn+.5)) + " is counted"
	}
	return ""
}

// busyShare formats a share of time, or the number of chunks if several ran at
// once.
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
