package store_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/timeline"
	"github.com/allcores/allcores/internal/store"
)

// streamed is when the chunks of these tests begin.
var streamed = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)

// fill writes n chunks of a run: on each of lanes pinned cores one after the other,
// 200 ms each with 5 ms between them, 10 tasks each. One task failed in each
// hundredth chunk.
func fill(t testing.TB, s *store.Store, job string, n, lanes int) {
	t.Helper()
	_, err := s.Pool.Exec(t.Context(), `
		insert into chunks (job_id, first, count, state, attempt, losses, node_id, lane, core, leased_at, started_at, finished_at, failed)
		select $1, i * 10, 10, 'done', 1, 0, $2, i % $4, i % $4, at - interval '190 milliseconds', at, at + interval '200 milliseconds', (i % 100 = 99)::int
		from (select i, $5::timestamptz + (i / $4) * interval '205 milliseconds' + (i % $4) * interval '10 microseconds' as at
			from generate_series(0, $3::int - 1) i) i
		order by i`, job, node, n, lanes, streamed)
	if err != nil {
		t.Fatal(err)
	}
}

// A chunk is a row of the table as these tests need it.
type chunk struct {
	job, node  string
	core, lane *int
	state      string
	first      int64
	count      int
	failed     int
	leased     time.Time
	started    *time.Time
	finished   *time.Time
}

func (c chunk) write(t testing.TB, s *store.Store) {
	t.Helper()
	_, err := s.Pool.Exec(t.Context(), `
		insert into chunks (job_id, first, count, state, attempt, losses, node_id, lane, core, leased_at, started_at, finished_at, failed)
		values ($1, $2, $3, $4, 1, 0, $5, $6, $7, $8, $9, $10, $11)`,
		c.job, c.first, c.count, c.state, c.node, c.lane, c.core, c.leased, c.started, c.finished, c.failed)
	if err != nil {
		t.Fatal(err)
	}
}

// A rect is a rectangle of a timeline with the names of its row and job, in
// microseconds after streamed.
type rect struct {
	row, job                           string
	state                              int
	start, end, busy                   int64
	first, last, count, chunks, failed int64
}

func us(base time.Time, ms float64) int64 {
	return base.Sub(streamed).Microseconds() + int64(math.Round(ms*1000))
}

func rects(s *timeline.Timeline) []rect {
	var out []rect
	r := s.Rects
	for i := range r.Row {
		row := s.Rows[r.Row[i]]
		out = append(out, rect{
			row: row.Label, job: s.Jobs[r.Job[i]].ID, state: r.State[i],
			start: us(s.Base.Time, r.Start[i]), end: us(s.Base.Time, r.End[i]), busy: int64(math.Round(r.Busy[i] * 1000)),
			first: r.First[i], last: r.Last[i], count: r.Count[i], chunks: r.Chunks[i], failed: r.Failed[i],
		})
	}
	return out
}

func stream(t testing.TB, s *store.Store, u *jobs.User, q timeline.Query) *timeline.Timeline {
	t.Helper()
	got, err := s.Timeline(t.Context(), store.As(u), q)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// merge makes the rectangles of a timeline in the plain way: chunks that were leased
// within [from, to), merged where they are of one job, one state and one row and
// begin within the same unit.
func merge(chunks []chunk, row func(chunk) string, from, to, now time.Time, unit time.Duration) []rect {
	type key struct {
		row, job, state string
		unit            int64
	}
	groups := make(map[key]*rect)
	for _, c := range chunks {
		start, end := c.leased, now
		if c.started != nil {
			start = *c.started
		}
		if c.finished != nil {
			end = *c.finished
		}
		if !start.Before(to) || end.Before(from) || c.count == 0 && !end.After(start) {
			continue
		}
		k := key{row(c), c.job, c.state, int64(math.Floor(float64(start.UnixMicro()) / float64(unit.Microseconds())))}
		s, e, last := start.Sub(streamed).Microseconds(), end.Sub(streamed).Microseconds(), c.first+int64(max(c.count, 1))-1
		g := groups[k]
		if g == nil {
			g = &rect{row: k.row, job: k.job, state: slices.Index([]string{"leased", "done", "lost"}, c.state), start: s, end: e, first: c.first, last: last}
			groups[k] = g
		}
		g.start, g.end = min(g.start, s), max(g.end, e)
		g.first, g.last = min(g.first, c.first), max(g.last, last)
		g.busy += e - s
		g.count += int64(c.count)
		g.failed += int64(c.failed)
		g.chunks++
	}
	var out []rect
	for _, g := range groups {
		out = append(out, *g)
	}
	return out
}

// sums adds up rectangles by job and state.
func sums(rects []rect) map[string]rect {
	out := make(map[string]rect)
	for _, r := range rects {
		k := fmt.Sprint(r.job, r.state)
		sum := out[k]
		sum.busy += r.busy
		sum.count += r.count
		sum.chunks += r.chunks
		sum.failed += r.failed
		out[k] = sum
	}
	return out
}

var anyOrder = cmp.Options{
	cmp.AllowUnexported(rect{}),
	cmpopts.SortSlices(func(a, b rect) bool { return fmt.Sprint(a) < fmt.Sprint(b) }),
}
