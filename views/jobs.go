package views

import (
	"strings"

	"github.com/allcores/allcores/internal/jobs"
)

// A JobsPage holds the list of jobs at /. [Jobs] renders it.
type JobsPage struct {
	Page
	Query  ListQuery            // selects and orders the jobs
	Jobs   []jobs.Job           // in that order
	Counts map[jobs.State]int64 // jobs by state that match the search's other terms
	More   bool                 // more jobs exist than Counts has
	Before int64                // jobs of the list before Jobs
	Any    bool                 // the user may see some job, listed or not
	Next   string               // cursor of the following page; empty on the last one
	Prev   string               // cursor of the page before; empty on the first one
}

// page returns the page with the search in its box.
func (p JobsPage) page() Page {
	page := p.with("Jobs", NavJobs)
	page.Search = p.Query.Text
	page.SearchWrong = len(p.Query.Wrong) > 0
	return page
}

// matching counts the jobs of the list on all its pages.
func (p JobsPage) matching() int64 {
	n := int64(0)
	for _, state := range p.Query.Search.States() {
		n += p.Counts[state]
	}
	return n
}

// matchingWord formats matching for readers.
func (p JobsPage) matchingWord() string {
	if p.More {
		return "more than " + thousands(p.matching())
	}
	return thousands(p.matching())
}

// All counts the jobs of any state that match the search's other terms.
func (p JobsPage) All() int64 {
	n := int64(0)
	for _, k := range p.Counts {
		n += k
	}
	return n
}

// position states which jobs of the list the page shows: "51–100 of 1,234".
func (p JobsPage) position() string {
	first, last := p.Before+1, p.Before+int64(len(p.Jobs))
	rows := thousands(first) + "–" + thousands(last)
	if first == last {
		rows = thousands(first)
	}
	if p.matching() < last { // counted before the rows were read
		return rows
	}
	return rows + " of " + p.matchingWord()
}

// selected reports whether the list shows one state, and which.
func (p JobsPage) selected() jobs.State {
	return jobs.State(p.Query.Search.Only(jobs.SearchState))
}

// selects returns a search for the list's jobs. It is not empty even if the
// list's search is.
func (p JobsPage) selects() string {
	if !p.Query.Empty() {
		return p.Query.Text
	}
	states := make([]string, len(jobs.States))
	for i, s := range jobs.States {
		states[i] = string(s)
	}
	return jobs.SearchFor(jobs.SearchState, states...)
}

func (p JobsPage) scripts() []string {
	if p.may(jobs.Submitter) {
		return []string{"rowlinks.js", "bulk.js"}
	}
	return []string{"rowlinks.js"}
}

// Fragments returns the changing parts of the page.
func (p JobsPage) Fragments() []Fragment {
	var rows []Fragment
	var shape strings.Builder
	shape.WriteString(p.Next + "\n" + p.Prev + "\n" + p.position())
	for i := range p.Jobs {
		rows = append(rows, Fragment{ID: rowID(p.Jobs[i].ID), Component: jobRow(p.Page, &p.Jobs[i])})
		shape.WriteString("\n" + p.Jobs[i].ID)
	}
	return []Fragment{
		{ID: "states", Component: stateLinks(p)},
		{ID: "jobs", Component: jobList(p), Parts: rows, Shape: shape.String()},
	}
}

func rowID(job string) string { return "job-" + strings.ToLower(job) }

// A sortColumn is a column by which the list can be sorted.
type sortColumn struct {
	key   jobs.OrderKey
	label string
	class string
}

// sorted returns the column's aria-sort: the age grows as the time of creation
// falls.
func (c sortColumn) sorted(o jobs.Order) string {
	switch {
	case o.By() != c.key:
		return "none"
	case o.Ascending != (c.key == jobs.ByCreated):
		return "ascending"
	}
	return "descending"
}

// hint states the effect of a click on the column's header.
func (c sortColumn) hint(o jobs.Order) string {
	words := map[jobs.OrderKey][2]string{
		jobs.ByCreated:  {"newest first", "oldest first"},
		jobs.ByDuration: {"longest first", "shortest first"},
		jobs.ByFailures: {"most failures first", "fewest failures first"},
	}[c.key]
	if o.By() == c.key && !o.Ascending {
		return "Sort: " + words[1]
	}
	return "Sort: " + words[0]
}

// orderWord describes the list's order for its caption.
func orderWord(o jobs.Order) string {
	switch {
	case o.By() == jobs.ByDuration && o.Ascending:
		return "shortest first"
	case o.By() == jobs.ByDuration:
		return "longest first"
	case o.By() == jobs.ByFailures && o.Ascending:
		return "fewest failures first"
	case o.By() == jobs.ByFailures:
		return "most failures first"
	case o.Ascending:
		return "oldest first"
	}
	return "newest first"
}
