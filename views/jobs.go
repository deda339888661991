package views

import (
	"strings"

	"github.com/allcores/allcores/internal/jobs"
)

// A JobsPage is the list of jobs at /, rendered by [Jobs].
type JobsPage struct {
	Page
	Jobs   []jobs.Job           // newest first
	Filter Search               // what the list is filtered by
	Counts map[jobs.State]int64 // jobs a state that the rest of the filter (queue, tag, text) leaves
	Any    bool                 // whether the user may see any job at all, filtered or not
	Cursor string               // where this list begins; empty at the newest
	Next   string               // cursor of the next older ones; empty when there are none
}

// page is the page with the filter in the search box.
func (p JobsPage) page() Page {
	page := p.with("Jobs", NavJobs)
	if page.Search == "" {
		page.Search = p.Filter.String()
	}
	return page
}

// all is the number of jobs of any state under the filter's other terms.
func (p JobsPage) all() int64 {
	n := int64(0)
	for _, k := range p.Counts {
		n += k
	}
	return n
}

// Fragments are the parts of the page that change.
func (p JobsPage) Fragments() []Fragment {
	var rows []Fragment
	shape := p.Next + "\n" + p.Filter.String()
	for i := range p.Jobs {
		rows = append(rows, Fragment{ID: rowID(p.Jobs[i].ID), Component: jobRow(p.Page, &p.Jobs[i])})
		shape += "\n" + p.Jobs[i].ID
	}
	return []Fragment{
		{ID: "states", Component: stateLinks(p)},
		{ID: "jobs", Component: jobList(p), Parts: rows, Shape: shape},
	}
}

func rowID(job string) string { return "job-" + strings.ToLower(job) }
