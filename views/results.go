package views

import (
	"net/url"
	"slices"

	"github.com/allcores/allcores/internal/jobs"
)

// ResultsShown is the number of results on a page.
const ResultsShown = 100

// A ResultsFilter selects the results of a page.
type ResultsFilter struct {
	State jobs.TaskState // empty for all
	Group string         // id of a group of failures; empty for all
	From  int64          // the first index that may be shown
	To    int64          // with Back, the end (exclusive) of the page
	Back  bool
}

func (f ResultsFilter) query() url.Values {
	q := make(url.Values)
	if f.State != "" && f.Group == "" {
		q.Set("state", string(f.State))
	}
	if f.Group != "" {
		q.Set("group", f.Group)
	}
	switch {
	case f.Back:
		q.Set("to", itoa(f.To))
	case f.From > 0:
		q.Set("from", itoa(f.From))
	}
	return q
}

// URL returns the address of the page of a job's results with the filter.
func (f ResultsFilter) URL(job string) string { return f.url("/jobs/" + job + "/results") }

// LiveURL returns the address of that page's stream.
func (f ResultsFilter) LiveURL(job string) string { return f.url("/jobs/" + job + "/results/live") }

func (f ResultsFilter) url(path string) string {
	if q := f.query().Encode(); q != "" {
		return path + "?" + q
	}
	return path
}

// download returns the address of all results of the filter in a format.
func (f ResultsFilter) download(job, format string) string {
	f.From, f.Back = 0, false
	q := f.query()
	if format != "" {
		q.Set("format", format)
	}
	path := "/api/v1/jobs/" + job + "/results"
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// A ResultsPage holds a part of a job's results at /jobs/{id}/results.
// [Results] renders it.
type ResultsPage struct {
	Page
	Job    jobs.Job
	Steer  bool // the user may retry the job
	Filter ResultsFilter
	Group  *jobs.FailureGroup // the filter's group; nil without one, or if it no longer exists
	Rows   []jobs.TaskRow     // ascending
	Prev   int64              // end (exclusive) of the previous page; -1 without one
	Next   int64              // start of the next page; -1 without one
}

// Fragments returns the changing parts of the page.
func (p ResultsPage) Fragments() []Fragment {
	return []Fragment{{ID: "results-head", Component: resultsHead(p)}, {ID: "results-rows", Component: resultsRows(p)}}
}

// A stateTab is a filter by state, with the number of its tasks.
type stateTab struct {
	state jobs.TaskState
	word  string
	count int64
}

func stateTabs(c jobs.Counts) []stateTab {
	return []stateTab{
		{"", "all", c.Done()}, {jobs.TaskSucceeded, "succeeded", c.Succeeded},
		{jobs.TaskFailed, "failed", c.Failed}, {jobs.TaskCancelled, "cancelled", c.Cancelled},
	}
}

// rangeWord names the tasks of a page.
func (p ResultsPage) rangeWord() string {
	if len(p.Rows) == 0 {
		return ""
	}
	first, last := p.Rows[0].Index, p.Rows[len(p.Rows)-1].Index
	if first == last {
		return "task " + thousands(first)
	}
	return "tasks " + thousands(first) + " to " + thousands(last)
}

func hasInputs(tasks []jobs.TaskRow) bool {
	return slices.ContainsFunc(tasks, func(t jobs.TaskRow) bool { return len(t.Input) > 0 })
}

// largeValue is the number of bytes from which the page shows a value's size.
const largeValue = 1 << 10
