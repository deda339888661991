package views

import (
	"strconv"

	"github.com/allcores/allcores/internal/jobs"
)

// barWidth is the width of a bar in the units of its drawing, which browsers
// scale.
const barWidth = 1000

// A segment is one state's share of a bar.
type segment struct {
	class    string // one letter: s, f, c, r or k
	x, width int
}

// segments returns the shares of succeeded, failed, cancelled, executing and
// other claimed tasks, in this order; waiting tasks fill the rest of the bar.
// All five are always present, so that a bar can grow smoothly. A share above
// zero has a visible least width, which is smaller in a big bar.
func segments(j *jobs.Job, big bool) []segment {
	c := j.Counts
	executing := min(j.Executing, c.Running)
	counts := []struct {
		class string
		n     int64
		least int
	}{
		{"s", c.Succeeded, 9}, {"f", c.Failed, 24}, {"c", c.Cancelled, 18}, {"r", executing, 18}, {"k", c.Running - executing, 12},
	}
	if big {
		for i := range counts {
			counts[i].least = counts[i].least/6 + 1
		}
	}
	room := barWidth // left after the least widths
	for _, k := range counts {
		if k.n > 0 {
			room -= k.least
		}
	}
	if c.Waiting > 0 {
		room -= 2
	}
	var out []segment
	x, given, seen := 0, 0, int64(0)
	for _, k := range counts {
		width := 0
		if k.n > 0 && c.Total > 0 {
			// The sum is cumulative, so rounding leaves no gap at the end.
			seen += k.n
			upto := int(float64(room) * float64(seen) / float64(c.Total))
			width = k.least + upto - given
			given = upto
		}
		out = append(out, segment{k.class, x, width})
		x += width
	}
	return out
}

// ran counts the tasks that have succeeded or failed.
func ran(c jobs.Counts) int64 { return c.Succeeded + c.Failed }

// barText describes a bar in words.
func barText(j *jobs.Job) string {
	c := j.Counts
	text := plural(c.Succeeded, "task", "tasks") + " of " + thousands(c.Total) + " succeeded"
	for _, k := range []struct {
		n    int64
		word string
	}{{c.Failed, "failed"}, {c.Cancelled, "cancelled"}, {c.Running, "claimed"}, {j.Executing, "running"}, {c.Waiting, "waiting"}} {
		if k.n > 0 {
			text += ", " + thousands(k.n) + " " + k.word
		}
	}
	return text
}

func itoa[T int | int32 | int64](n T) string { return strconv.FormatInt(int64(n), 10) }
