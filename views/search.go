package views

import (
	"net/url"
	"strings"

	"github.com/allcores/allcores/internal/jobs"
)

// A ListQuery is the query of the job list's address.
type ListQuery struct {
	Text   string       // the search as typed
	Search jobs.Search  // parsed from Text
	Wrong  jobs.Invalid // errors in Text; then the list is empty
	Order  jobs.Order
	Cursor string // the page begins after it, or ends before it
	Back   bool   // the page ends before the cursor
}

// Parameters of the list's address.
const (
	queryText   = "q"
	querySort   = "sort"
	queryAfter  = "cursor"
	queryBefore = "before"
)

// ParseListQuery reads the list's address. It drops an invalid order or cursor;
// valid reports whether a cursor is valid.
func ParseListQuery(v url.Values, valid func(cursor string) bool) ListQuery {
	text := strings.ReplaceAll(strings.ToValidUTF8(v.Get(queryText), ""), "\x00", "")
	q := ListQuery{Text: text}
	q.Search, q.Wrong = jobs.ParseSearch(text)
	q.Order, _ = jobs.ParseOrder(v.Get(querySort))
	if before := v.Get(queryBefore); valid(before) {
		q.Cursor, q.Back = before, true
	} else if after := v.Get(queryAfter); valid(after) {
		q.Cursor = after
	}
	return q
}

// Empty reports whether the query selects all jobs.
func (q ListQuery) Empty() bool { return strings.TrimSpace(q.Text) == "" }

// URL returns the address of the list.
func (q ListQuery) URL() string { return q.url("/") }

// LiveURL returns the address of the list's stream.
func (q ListQuery) LiveURL() string { return q.url("/live") }

func (q ListQuery) url(path string) string {
	v := url.Values{}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	set(queryText, q.Text)
	set(querySort, q.Order.String())
	if q.Back {
		set(queryBefore, q.Cursor)
	} else {
		set(queryAfter, q.Cursor)
	}
	if len(v) == 0 {
		return path
	}
	return path + "?" + v.Encode()
}

// First returns the query for the first page of the list.
func (q ListQuery) First() ListQuery { return q.at("", false) }

// at returns the query for another page of the list.
func (q ListQuery) at(cursor string, back bool) ListQuery {
	q.Cursor, q.Back = cursor, back
	return q
}

// in returns the query for the jobs in a state, or in any state if that is
// empty.
func (q ListQuery) in(state jobs.State) ListQuery {
	q = q.First()
	q.Text = q.Search.Without(jobs.SearchState).String()
	if state != "" {
		q.Text = strings.TrimSpace(q.Text + " " + jobs.SearchFor(jobs.SearchState, string(state)))
	}
	return q
}

// by returns the query for the list sorted by key: descending, or ascending if
// it is descending already.
func (q ListQuery) by(key jobs.OrderKey) ListQuery {
	ascending := q.Order.By() == key && !q.Order.Ascending
	q = q.First()
	q.Order = jobs.Order{Key: key, Ascending: ascending}
	if key == jobs.ByCreated {
		q.Order.Key = ""
	}
	return q
}

// searchURL returns the address of the jobs that a search with these terms
// selects.
func searchURL(terms ...string) string {
	return ListQuery{Text: strings.Join(terms, " ")}.URL()
}
