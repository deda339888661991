package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
)

// A Filter selects and orders jobs. Empty fields select all.
type Filter struct {
	Search jobs.Search
	States []jobs.State
	Order  jobs.Order
	Cursor string // of the page before, or with Back of the page after; see ValidCursor
	Back   bool   // the page that ends before the cursor
	Limit  int    // at most so many, 1…1000
}

// Bounds of the cost of a list, in jobs.
const (
	MaxCounted = 100_000 // that are counted
	maxSorted  = 100_000 // the newest, that are sorted by what no index has
)

// A cursor is a place in a list, between a job and its neighbour.
type cursor struct {
	key  int64 // of the job, in the list's order
	asOf int64 // when durations are measured, in µs since 1970
	id   string
}

func (c cursor) String() string {
	return strings.Join([]string{strconv.FormatInt(c.key, 36), strconv.FormatInt(c.asOf, 36), c.id}, "_")
}

// lastMicro bounds times of cursors, in µs since 1970. Postgres ends later.
const lastMicro = 1 << 57

func parseCursor(text string) (c cursor, ok bool) {
	parts := strings.Split(text, "_")
	if len(parts) != 3 || !ValidID(parts[2]) {
		return c, false
	}
	key, err := strconv.ParseInt(parts[0], 36, 64)
	asOf, err2 := strconv.ParseInt(parts[1], 36, 64)
	if err != nil || err2 != nil || asOf < 0 || asOf > lastMicro {
		return c, false
	}
	return cursor{key, asOf, parts[2]}, true
}

// ValidCursor reports whether text may be a cursor of a list of jobs.
func ValidCursor(text string) bool {
	_, ok := parseCursor(text)
	return ok
}

// A jobQuery collects conditions over jobs j and their arguments.
type jobQuery struct {
	conditions []string
	args       []any
}

// arg adds an argument and returns its placeholder.
func (q *jobQuery) arg(v any) string {
	q.args = append(q.args, v)
	return fmt.Sprintf("$%d", len(q.args))
}

func (q *jobQuery) add(condition string) { q.conditions = append(q.conditions, condition) }

func (q *jobQuery) where() string { return strings.Join(q.conditions, " and ") }

// query returns the conditions of f for a viewer, without the cursor.
func (f Filter) query(v Viewer) *jobQuery {
	q := &jobQuery{conditions: []string{"true"}}
	if !v.All {
		q.add("j.owner_id = " + q.arg(v.UserID))
	}
	if len(f.States) > 0 {
		q.states(f.States)
	}
	if states := f.Search.States(); len(states) < len(jobs.States) {
		q.states(states)
	}
	for _, term := range f.Search {
		if term.Key == jobs.SearchState {
			continue
		}
		condition := q.term(term)
		if term.Not {
			condition = "not " + condition
		}
		q.add(condition)
	}
	return q
}

// states adds the condition that a job is in one of the states. A single state is
// compared by =, so that an index can return its jobs in order.
func (q *jobQuery) states(states []jobs.State) {
	if len(states) == 1 {
		q.add("j.state = " + q.arg(states[0]))
		return
	}
	q.add("j.state = any(" + q.arg(states) + ")")
}

// term returns the condition of a term, in parentheses, without its negation.
func (q *jobQuery) term(t jobs.SearchTerm) string {
	var conditions []string
	or := func(condition string, args ...any) {
		for _, a := range args {
			condition = strings.Replace(condition, "?", q.arg(a), 1)
		}
		conditions = append(conditions, condition)
	}
	switch t.Key {
	case jobs.SearchTag:
		or("j.folded_tags && ?::text[]", t.Values)
	case jobs.SearchQueue:
		or("j.queue = any(?)", t.Values)
	case jobs.SearchOwner:
		or("j.owner_id = any(array(select id from users where lower(name) = any(?)))", t.Values)
	case jobs.SearchPriority:
		or("j.priority::text = any(?)", t.Values)
	case jobs.SearchAge:
		if t.Younger > 0 {
			or("j.created_at > now() - ?::bigint * interval '1 microsecond'", t.Younger.Microseconds())
		} else {
			or("j.created_at < now() - ?::bigint * interval '1 microsecond'", t.Older.Microseconds())
		}
	case jobs.SearchCreated:
		switch first, end := firstID(t.From), firstID(t.To); {
		case t.To.IsZero():
			or("j.id >= ?", first)
		case t.From.IsZero():
			or("j.id < ?", end)
		default:
			or("j.id >= ? and j.id < ?", first, end)
		}
	case jobs.SearchID:
		for _, prefix := range t.Values {
			first, last := idRange(prefix)
			or("j.id between ? and ?", first, last)
		}
	case jobs.SearchName:
		for _, v := range t.Values {
			or("j.folded_name like ?", contains(v))
		}
	default:
		for _, v := range t.Values {
			pattern := contains(v)
			or("j.folded_name like ? or j.folded_program like ?", pattern, pattern)
			if prefix := jobs.IDPrefix(v); prefix != "" {
				first, last := idRange(prefix)
				or("j.id between ? and ?", first, last)
			}
		}
	}
	return "(" + strings.Join(conditions, " or ") + ")"
}

// contains returns the like pattern of texts that contain part.
func contains(part string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(part) + "%"
}

// idRange returns the first and the last id that begin with the hexadecimal digits.
func idRange(prefix string) (first, last string) {
	missing := 32 - len(prefix)
	return prefix + strings.Repeat("0", missing), prefix + strings.Repeat("f", missing)
}

// firstID returns the lowest id that can be made at t: ids begin with their time.
func firstID(t time.Time) string {
	return fmt.Sprintf("%012x", min(max(t.UnixMilli(), 0), 1<<48-1)) + strings.Repeat("0", 20)
}

// A listing is a statement over an ordered list: the key of a job, the rows, and the
// place of the cursor.
type listing struct {
	*jobQuery
	key    string // a bigint of j, p or asOf
	from   string
	asOf   string // a bigint, µs since 1970, or "0"
	cursor *cursor
	order  jobs.Order
}

// list begins the statement of f.
func (f Filter) list(v Viewer) (*listing, error) {
	l := &listing{jobQuery: f.query(v), order: f.Order, asOf: "0"}
	if f.Cursor != "" {
		c, ok := parseCursor(f.Cursor)
		if !ok {
			return nil, fmt.Errorf("cursor %q: %w", f.Cursor, jobs.ErrNotFound)
		}
		l.cursor = &c
	}
	// Without an index only the newest jobs are sorted.
	newest := func(columns string) string {
		return "(select j.id, " + columns + " from jobs j where " + l.where() +
			fmt.Sprintf(" order by j.id desc limit %d) j", maxSorted)
	}
	switch f.Order.By() {
	case jobs.ByDuration:
		// Durations are measured at one time for all pages of a list, so that running
		// jobs neither appear twice nor are missed.
		at := "now()"
		if l.cursor != nil {
			at = l.arg(time.UnixMicro(l.cursor.asOf)) + "::timestamptz"
		}
		l.asOf = "(extract(epoch from " + at + ") * 1000000)::bigint"
		unknown := int64(-1) // jobs that had not started come last
		if f.Order.Ascending {
			unknown = 1<<63 - 1
		}
		l.from = newest("j.started_at, j.finished_at")
		// date_part returns doubles, exact to the microsecond for centuries, in half the
		// time of numeric extract.
		l.key = fmt.Sprintf("case when j.started_at <= %[1]s then (date_part('epoch', least(j.finished_at, %[1]s) - j.started_at) * 1000000)::bigint else %[2]d end", at, unknown)
		l.conditions = []string{"true"}
	case jobs.ByFailures:
		l.from = newest("j.state") + " join progress p on p.job_id = j.id"
		l.key = "p.failed"
		l.conditions = []string{"true"}
	default:
		l.from = "jobs j"
		l.key = "0" // ids grow with the time of creation
	}
	return l, nil
}

// compare adds the condition that a job comes behind the cursor, or with before in
// front of it; with equal it includes the job at the cursor.
func (l *listing) compare(before, equal bool) {
	if l.cursor == nil {
		return
	}
	sign := "<"
	if l.order.Ascending != before {
		sign = ">"
	}
	if equal {
		sign += "="
	}
	if l.order.By() == jobs.ByCreated { // as the index has it
		l.add(fmt.Sprintf("j.id %s %s", sign, l.arg(l.cursor.id)))
		return
	}
	l.add(fmt.Sprintf("(%s, j.id) %s (%s::bigint, %s::uuid)", l.key, sign, l.arg(l.cursor.key), l.arg(l.cursor.id)))
}

// A JobList is a page of a list of jobs.
type JobList struct {
	Jobs []*jobs.Job
	Next string // cursor of the following page; empty on the last one
	Prev string // cursor of the page before, for Filter.Back; empty on the first one
}

// Jobs lists jobs.
func (s *Store) Jobs(ctx context.Context, v Viewer, f Filter) (*JobList, error) {
	l, err := f.list(v)
	if err != nil {
		return nil, err
	}
	l.compare(f.Back, false)
	direction := "desc"
	if f.Order.Ascending != f.Back {
		direction = "asc"
	}
	limit := min(max(f.Limit, 1), 1000)
	order := func(key string) string {
		if f.Order.By() == jobs.ByCreated {
			return " order by j.id " + direction
		}
		return fmt.Sprintf(" order by %s %s, j.id %s", key, direction, direction)
	}
	sql := `select ` + jobColumns + `, page.key, page.as_of from (
			select j.id, ` + l.key + ` as key, ` + l.asOf + ` as as_of from ` + l.from + ` where ` + l.where() + order("key") +
		` limit ` + l.arg(limit+1) + `) page join` + jobTables + `on j.id = page.id` + order("page.key")
	rows, err := s.Pool.Query(ctx, sql, l.args...)
	if err != nil {
		return nil, wrap("list jobs", err)
	}
	var places []cursor
	list := new(JobList)
	list.Jobs, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*jobs.Job, error) {
		var c cursor
		job, err := scanJob(row, &c.key, &c.asOf)
		if err == nil {
			c.id = job.ID
			places = append(places, c)
		}
		return job, err
	})
	if err != nil {
		return nil, wrap("list jobs", err)
	}
	list.cut(places, limit, f.Back, f.Cursor != "")
	return list, nil
}

// cut keeps limit jobs of the list, in its order, and sets the cursors around them. A
// page that was read from a cursor has a neighbour there.
func (l *JobList) cut(places []cursor, limit int, back, fromCursor bool) {
	more := len(l.Jobs) > limit
	if more {
		l.Jobs, places = l.Jobs[:limit], places[:limit]
	}
	if back {
		slices.Reverse(l.Jobs)
		slices.Reverse(places)
	}
	if len(places) == 0 {
		return
	}
	if before := more; back && before || !back && fromCursor {
		l.Prev = places[0].String()
	}
	if after := more; !back && after || back && fromCursor {
		l.Next = places[len(places)-1].String()
	}
}

// CountJobs counts the jobs that f selects, its states aside, by state. It counts at
// most MaxCounted jobs.
func (s *Store) CountJobs(ctx context.Context, v Viewer, f Filter) (map[jobs.State]int64, error) {
	f.States, f.Search = nil, f.Search.Without(jobs.SearchState)
	q := f.query(v)
	rows, err := s.Pool.Query(ctx, `select state, count(*) from (select j.state from jobs j where `+q.where()+
		fmt.Sprintf(` limit %d) matching group by state`, MaxCounted), q.args...)
	if err != nil {
		return nil, wrap("count jobs", err)
	}
	counts := make(map[jobs.State]int64)
	var state jobs.State
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&state, &n}, func() error { counts[state] = n; return nil })
	return counts, wrap("count jobs", err)
}

// JobsBefore counts the jobs of f's list up to its cursor, including the one at it
// unless Back. It counts at most MaxCounted jobs.
func (s *Store) JobsBefore(ctx context.Context, v Viewer, f Filter) (n int64, err error) {
	if f.Cursor == "" {
		return 0, nil
	}
	l, err := f.list(v)
	if err != nil {
		return 0, err
	}
	l.compare(true, !f.Back)
	err = s.Pool.QueryRow(ctx, `select count(*) from (select from `+l.from+` where `+l.where()+fmt.Sprintf(` limit %d) matching`, MaxCounted), l.args...).Scan(&n)
	return n, wrap("count jobs", err)
}
