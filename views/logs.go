package views

import (
	"net/url"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

// LogLinesShown is the number of log lines that a page of a job shows.
const LogLinesShown = 200

// A LogsFilter selects the lines of a page of logs: the last ones, or those
// before or after a place. The server makes the places.
type LogsFilter struct {
	Task, Stream, Text string // as typed; empty for all
	Before, After      string
}

// URL returns the address of the page of a job's logs with the filter.
func (f LogsFilter) URL(job string) string { return f.url("/jobs/" + job + "/logs") }

// LiveURL returns the address of that page's stream.
func (f LogsFilter) LiveURL(job string) string { return f.url("/jobs/" + job + "/logs/live") }

func (f LogsFilter) url(path string) string {
	q := make(url.Values)
	for _, p := range [][2]string{{"task", f.Task}, {"stream", f.Stream}, {"q", f.Text}, {"before", f.Before}, {"after", f.After}} {
		if p[1] != "" {
			q.Set(p[0], p[1])
		}
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// before, behind and tail return f at another place.
func (f LogsFilter) before(place string) LogsFilter { f.Before, f.After = place, ""; return f }
func (f LogsFilter) behind(place string) LogsFilter { f.Before, f.After = "", place; return f }
func (f LogsFilter) tail() LogsFilter               { f.Before, f.After = "", ""; return f }

// chosen reports whether the filter omits lines.
func (f LogsFilter) chosen() bool { return f.Task != "" || f.Stream != "" || f.Text != "" }

// A LogsPage holds a part of a job's logs at /jobs/{id}/logs. [Logs] renders
// it.
type LogsPage struct {
	Page
	Job          jobs.Job
	Filter       LogsFilter
	Wrong        string         // error in the typed task
	Lines        []jobs.LogLine // oldest first
	Older, Newer string         // places of the neighbouring pages; empty if there are none
	Cut          bool           // the cap on the job's logs dropped lines
}

// Fragments returns the changing parts of the page.
func (p LogsPage) Fragments() []Fragment {
	return []Fragment{{ID: "logs-head", Component: logsHead(p)}, {ID: "logs-lines", Component: logsLines(p)}}
}

// timeOfDay formats the time of day of a line.
func timeOfDay(t time.Time) string { return t.UTC().Format("15:04:05.000") }
