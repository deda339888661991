package store_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/jobs/timeline"
	"github.com/allcores/allcores/internal/store"
)

// streamed is when the chunks of these tests begin.
var streamed = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)

// fill writes n chunks of a job as a run would have left them: on each of
// lanes pinned cores one after the other, 200 ms each with 5 ms between them,
// 10 tasks each, of which one failed in each hundredth chunk.
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

// A rect is a rectangle of a task stream with its row and job spelled out, in
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

// merge does slowly and by the book what a task stream promises: chunks that
// were in hand within [from, to), merged where they are of one job, one state
// and one row and begin within the same unit.
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

// TestTimelineIsExact compares the rectangles of jobs that lanes did in any
// way, short chunks and such as last for minutes, in any window and at any
// width, with what merging by the book gives.
func TestTimelineIsExact(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	nodes := []string{store.NewID(), store.NewID()}
	for _, id := range nodes {
		register(t, s, id)
	}
	rapid.Check(t, func(rt *rapid.T) {
		if _, err := s.Pool.Exec(t.Context(), `truncate chunks`); err != nil {
			rt.Fatal(err)
		}
		ids := []string{insert(t, s, admin, pythonSpec(rangeOf(10))), insert(t, s, admin, pythonSpec(rangeOf(10)))}
		pinned := rapid.Bool().Draw(rt, "pinned")
		var chunks []chunk
		for lane := range rapid.IntRange(1, 4).Draw(rt, "lanes") {
			at := streamed
			for range rapid.IntRange(0, 12).Draw(rt, "chunks of a lane") {
				at = at.Add(time.Duration(rapid.IntRange(0, 2_000_000).Draw(rt, "pause µs")) * time.Microsecond)
				started := at.Add(time.Duration(rapid.IntRange(0, 1000).Draw(rt, "ahead µs")) * time.Microsecond)
				took := time.Duration(rapid.OneOf(rapid.IntRange(0, 1000), rapid.IntRange(1000, 5_000_000), rapid.IntRange(9_990_000, 200_000_000)).Draw(rt, "took µs")) * time.Microsecond
				finished := started.Add(took)
				c := chunk{job: rapid.SampledFrom(ids).Draw(rt, "job"), node: nodes[lane%2], lane: &lane, state: "done",
					first: int64(len(chunks) * 100), count: rapid.IntRange(0, 100).Draw(rt, "count"), leased: at, started: &started, finished: &finished}
				if pinned {
					core := rapid.IntRange(0, 1).Draw(rt, "core")
					c.core = &core
				}
				if c.count > 0 {
					c.failed = rapid.IntRange(0, c.count).Draw(rt, "failed")
				}
				if rapid.IntRange(0, 9).Draw(rt, "lost") == 0 {
					c.state, c.started, c.failed = "lost", nil, 0
				}
				chunks = append(chunks, c)
				at = finished
			}
		}
		slices.SortStableFunc(chunks, func(a, b chunk) int { return a.leased.Compare(b.leased) })
		for _, c := range chunks {
			c.write(t, s)
		}
		from := streamed.Add(time.Duration(rapid.IntRange(0, 300_000).Draw(rt, "from ms")) * time.Millisecond)
		to := from.Add(time.Duration(rapid.IntRange(1, 300_000).Draw(rt, "window ms")) * time.Millisecond)
		job := read(t, s, admin, ids[0])
		q := timeline.Query{Job: job, From: from, To: to, Width: rapid.IntRange(1, 2000).Draw(rt, "width")}
		got := stream(t, s, admin, q)
		unit := time.Duration(math.Round(got.ResolutionMS*1000)) * time.Microsecond
		if n := to.Sub(from).Microseconds() / unit.Microseconds(); n > int64(q.Width) || 2*(n+1) < min(int64(q.Width), to.Sub(from).Microseconds()) {
			rt.Errorf("%d units of %v for a width of %d", n, unit, q.Width)
		}
		mine := slices.DeleteFunc(slices.Clone(chunks), func(c chunk) bool { return c.job != ids[0] })
		row := func(c chunk) string {
			if c.core != nil {
				return fmt.Sprintf("core %d", *c.core)
			}
			return fmt.Sprintf("lane %d", *c.lane)
		}
		if diff := cmp.Diff(merge(mine, row, from, to, time.Now(), unit), rects(got), anyOrder, cmpopts.EquateEmpty()); diff != "" {
			rt.Errorf("window of %v at %v (-want +got):\n%s", to.Sub(from), from.Sub(streamed), diff)
		}
		if got.OneIn != 1 {
			rt.Errorf("one in %v", got.OneIn)
		}

		// All jobs. Lanes of several jobs share slots there, so only sums compare.
		q.Job = nil
		got = stream(t, s, admin, q)
		if pinned {
			if diff := cmp.Diff(merge(chunks, row, from, to, time.Now(), unit), rects(got), anyOrder, cmpopts.EquateEmpty()); diff != "" {
				rt.Errorf("all jobs (-want +got):\n%s", diff)
			}
		} else if diff := cmp.Diff(sums(merge(chunks, row, from, to, time.Now(), unit)), sums(rects(got)), anyOrder); diff != "" {
			rt.Errorf("all jobs (-want +got):\n%s", diff)
		}

		totals, _, err := s.TimelineTotals(t.Context(), store.As(admin), timeline.Query{Job: job, From: from, To: to})
		if err != nil {
			rt.Fatal(err)
		}
		want := map[string]rect{}
		for k, r := range sums(merge(mine, row, from, to, time.Now(), unit)) {
			sum := want[""]
			sum.chunks, sum.failed = sum.chunks+r.chunks, sum.failed+r.failed
			if k != fmt.Sprint(job.ID, timeline.Lost) {
				sum.count += r.count
			}
			want[""] = sum
		}
		added := map[string]rect{}
		for _, total := range totals {
			sum := added[""]
			sum.chunks, sum.failed, sum.count = sum.chunks+total.Chunks, sum.failed+total.Failed, sum.count+total.Tasks
			added[""] = sum
		}
		if diff := cmp.Diff(want, added, anyOrder); diff != "" {
			rt.Errorf("totals (-want +got):\n%s", diff)
		}
	})
}

// TestTimelineGrows asks only for what is new, as a page does that is watched,
// and compares what it then has with what one question for all answers.
func TestTimelineGrows(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	register(t, s, node)
	id := insert(t, s, admin, pythonSpec(rangeOf(1000)))
	now := time.Now()
	ago := func(d time.Duration) *time.Time { at := now.Add(-d); return &at }
	core, lane := 3, 0
	straggler := chunk{job: id, node: node, core: &core, lane: &lane, state: "leased", first: 0, count: 1, leased: *ago(40 * time.Second)}
	straggler.write(t, s)
	for i := range 300 { // 100 ms each, up to 10.5 s ago
		at := 40500*time.Millisecond - time.Duration(i)*100*time.Millisecond
		core, lane := 4, 1
		chunk{job: id, node: node, core: &core, lane: &lane, state: "done", first: int64(1 + i), count: 1, leased: *ago(at), started: ago(at), finished: ago(at - 90*time.Millisecond), failed: i % 2}.write(t, s)
	}
	from := *ago(time.Minute)
	job := read(t, s, admin, id)
	q := timeline.Query{Job: job, From: from, To: now.Add(time.Minute), Width: 6000}
	first := stream(t, s, admin, q)
	have := rects(first)

	// Another 100 end, one is in hand, and so is the one that comes after it.
	for i := range 102 {
		at := 10500*time.Millisecond - time.Duration(i)*100*time.Millisecond
		core, lane := 4, 1
		c := chunk{job: id, node: node, core: &core, lane: &lane, state: "done", first: int64(301 + i), count: 1, leased: *ago(at), started: ago(at), finished: ago(at - 90*time.Millisecond)}
		if i >= 100 {
			c.state, c.started, c.finished = "leased", nil, nil
		}
		c.write(t, s)
	}
	if _, err := s.Pool.Exec(t.Context(), `update chunks set state = 'done', failed = 1, started_at = leased_at, finished_at = clock_timestamp() where job_id = $1 and first = 0`, id); err != nil {
		t.Fatal(err)
	}
	q.Since = first.Base.Add(time.Duration(first.NextSinceMS * float64(time.Millisecond)))
	more := stream(t, s, admin, q)
	if more.ResolutionMS != first.ResolutionMS {
		t.Fatalf("the resolution became %v, was %v", more.ResolutionMS, first.ResolutionMS)
	}
	since := us(more.Base.Time, more.SinceMS)
	have = slices.DeleteFunc(have, func(r rect) bool { return r.start >= since || r.state == timeline.Leased })
	have = append(have, rects(more)...)
	q.Since = time.Time{}
	want := rects(stream(t, s, admin, q))
	for _, list := range [][]rect{have, want} {
		for i := range list {
			if list[i].state == timeline.Leased { // it goes on
				list[i].end, list[i].busy = 0, 0
			}
		}
	}
	if diff := cmp.Diff(want, have, anyOrder); diff != "" {
		t.Errorf("asking for what is new (-want +got):\n%s", diff)
	}
	if sum := sums(want); sum[fmt.Sprint(id, timeline.Done)].chunks != 401 || sum[fmt.Sprint(id, timeline.Leased)].chunks != 1 {
		t.Errorf("%+v", sum)
	}
	// Nobody waits for the straggler any more, so the next answer is short.
	q.Since = more.Base.Add(time.Duration(more.NextSinceMS * float64(time.Millisecond)))
	last := stream(t, s, admin, q)
	if n := len(last.Rects.Row); n < 1 || n > len(want)/2 {
		t.Errorf("%d rectangles of %d come again", n, len(want))
	}
	// A chunk may have ended before an answer and be committed after it.
	if _, err := s.Pool.Exec(t.Context(), `update chunks set state = 'done', started_at = leased_at, finished_at = clock_timestamp() where job_id = $1 and state = 'leased'`, id); err != nil {
		t.Fatal(err)
	}
	q.Since = time.Time{}
	idle := stream(t, s, admin, q)
	began, ended := idle.Base.Add(time.Duration(idle.NowMS-200)*time.Millisecond), idle.Base.Add(time.Duration(idle.NowMS-100)*time.Millisecond)
	chunk{job: id, node: node, core: &core, lane: &lane, state: "done", first: 999, count: 1, leased: began, started: &began, finished: &ended}.write(t, s)
	q.Since = idle.Base.Add(time.Duration(idle.NextSinceMS * float64(time.Millisecond)))
	if late := rects(stream(t, s, admin, q)); !slices.ContainsFunc(late, func(r rect) bool { return r.last == 999 }) {
		t.Errorf("a chunk that was committed late is not among %+v", late)
	}
}

func TestTimelineInHand(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	register(t, s, node)
	id := insert(t, s, admin, pythonSpec(rangeOf(100)))
	first, second := claim(t, s, id, 10), claim(t, s, id, 10)
	// The chunk before it ended when the second was claimed.
	if _, err := s.Pool.Exec(t.Context(), `update chunks set leased_at = clock_timestamp() - case when id = $1 then interval '9 seconds' else interval '4 seconds' end`, first.ID); err != nil {
		t.Fatal(err)
	}
	got := rects(stream(t, s, admin, timeline.Query{Job: read(t, s, admin, id), Width: 100}))
	if len(got) != 1 || got[0].first != 0 || got[0].last != 9 || got[0].count != 10 || got[0].chunks != 1 || got[0].state != timeline.Leased || got[0].row != "lane 0" || got[0].busy < 4_000_000 || got[0].busy > 8_000_000 {
		t.Errorf("the lane runs the first of two chunks: %+v", got)
	}
	record(t, s, store.Record{Job: id, Lease: first.ID, Count: 10, Outcomes: []outcomes.Encoded{outcomesOf(0, 10, 3)}, Usage: store.Usage{StartedAt: 20 * time.Millisecond, FinishedAt: 5 * time.Millisecond}})
	got = rects(stream(t, s, admin, timeline.Query{Job: read(t, s, admin, id), Width: 100}))
	done := sums(got)[fmt.Sprint(id, timeline.Done)]
	if len(got) != 2 || done.count != 10 || done.chunks != 1 || done.failed != 1 || done.busy < 15_000 || done.busy > 16_000 {
		t.Errorf("one is done, the other in hand: %+v", got)
	}
	if sums(got)[fmt.Sprint(id, timeline.Leased)].count != int64(second.Count) {
		t.Errorf("%+v", got)
	}
}

// TestTimelineOfVeryManyChunks looks at one row after the other at 100,000
// chunks, and at a sample of more than are looked at one by one.
func TestTimelineOfVeryManyChunks(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	register(t, s, node)
	const lanes, many = 100, 300_000
	id := insert(t, s, admin, pythonSpec(rangeOf(10*many)))
	fill(t, s, id, many, lanes)
	job := read(t, s, admin, id)
	end := streamed.Add(many / lanes * 205 * time.Millisecond)
	third := streamed.Add(100_000/lanes*205*time.Millisecond - 3*time.Millisecond)
	got := stream(t, s, admin, timeline.Query{Job: job, From: streamed, To: third, Width: 10_000})
	sum := sums(rects(got))[fmt.Sprint(id, timeline.Done)]
	if want := (rect{count: 1_000_000, chunks: 100_000, failed: 1000, busy: 100_000 * 200_000}); sum != want {
		t.Errorf("sums %+v, want %+v", sum, want)
	}
	if n := len(got.Rects.Row); n > 20_000 || n < 5_000 || len(got.Rows) != lanes || got.OneIn != 1 {
		t.Errorf("%d rectangles on %d rows, one in %v", n, len(got.Rows), got.OneIn)
	}
	got = stream(t, s, admin, timeline.Query{Job: job, From: streamed, To: end, Width: 1000})
	sum = sums(rects(got))[fmt.Sprint(id, timeline.Done)]
	if n := len(got.Rects.Row); n > 20_000 || got.OneIn < 1.9 || got.OneIn > 2.1 || math.Abs(float64(sum.chunks)*got.OneIn-many) > many/20 {
		t.Errorf("%d chunks in %d rectangles, one in %v", sum.chunks, n, got.OneIn)
	}
	totals, oneIn, err := s.TimelineTotals(t.Context(), store.As(admin), timeline.Query{Job: job, From: streamed, To: end})
	if err != nil {
		t.Fatal(err)
	}
	if len(totals) != lanes || oneIn != got.OneIn || math.Abs(totals[0].Share-200.0/205) > .1 {
		t.Errorf("one in %v, %d totals, the first %+v", oneIn, len(totals), totals[0])
	}
}

// TestTimelineOfAll has what the viewer may see, on cores that live though
// they are idle, and on slots that no two lanes have at once.
func TestTimelineOfAll(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	register(t, s, node)
	if alive, err := s.Beat(t.Context(), node, store.NodeStatus{Cores: []jobs.Core{{Core: 0}, {Core: 1}}}); err != nil || !alive {
		t.Fatal(alive, err)
	}
	other := store.NewID()
	if _, err := s.Pool.Exec(t.Context(), `insert into users (id, name, role) values ($1, 'other', 'user')`, other); err != nil {
		t.Fatal(err)
	}
	mine, theirs := insert(t, s, admin, pythonSpec(rangeOf(10))), insert(t, s, &jobs.User{ID: other}, pythonSpec(rangeOf(10)))
	now := time.Now()
	put := func(job string, lane, core int, begin, end int) {
		started, finished := now.Add(time.Duration(begin)*time.Second), now.Add(time.Duration(end)*time.Second)
		c := chunk{job: job, node: node, lane: &lane, state: "done", first: 1, count: 1, leased: started, started: &started, finished: &finished}
		if core >= 0 {
			c.core = &core
		}
		c.write(t, s)
	}
	put(mine, 0, 1, -90, -80) // before the window
	put(mine, 0, 1, -70, -50) // reaches into it
	put(mine, 0, -1, -40, -30)
	put(theirs, 0, -1, -35, -25)
	put(theirs, 1, -1, -30, -20) // when the first of mine has left its slot
	q := timeline.Query{Last: time.Minute, Width: 1000}
	rows := func(got *timeline.Timeline) (labels []string) {
		for _, r := range got.Rows {
			labels = append(labels, r.Label)
		}
		return labels
	}
	where := func(list []rect) (out []string) {
		for _, r := range list {
			name := "mine"
			if r.job == theirs {
				name = "theirs"
			}
			out = append(out, fmt.Sprintf("%s on %s for %d s", name, r.row, (r.end-r.start)/1_000_000))
		}
		return out
	}
	got := stream(t, s, admin, q)
	if diff := cmp.Diff([]string{"core 0", "core 1", "slot 0", "slot 1"}, rows(got)); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	want := []string{"mine on core 1 for 20 s", "mine on slot 0 for 10 s", "theirs on slot 0 for 10 s", "theirs on slot 1 for 10 s"}
	if diff := cmp.Diff(want, where(rects(got))); diff != "" {
		t.Errorf("rectangles (-want +got):\n%s", diff)
	}
	if len(got.Jobs) != 2 || got.Jobs[0].Name == "" || got.ToMS-got.FromMS != 60_000 {
		t.Errorf("jobs %+v, window of %v ms", got.Jobs, got.ToMS-got.FromMS)
	}
	got = stream(t, s, &jobs.User{ID: other, Role: jobs.Submitter}, q)
	if diff := cmp.Diff([]string{"theirs on slot 0 for 10 s", "theirs on slot 1 for 10 s"}, where(rects(got))); diff != "" {
		t.Errorf("what others see (-want +got):\n%s", diff)
	}
	if len(got.Jobs) != 1 || got.Jobs[0].ID != theirs {
		t.Errorf("others see jobs %+v", got.Jobs)
	}
	totals, _, err := s.TimelineTotals(t.Context(), store.As(admin), q)
	if err != nil {
		t.Fatal(err)
	}
	// The window moves with the time, and a chunk reaches over its edge.
	for i, want := range []struct {
		label  string
		chunks int64
		share  float64
	}{{"core 0", 0, 0}, {"core 1", 1, 1. / 6}, {"not pinned", 3, 0.5}} {
		if len(totals) != 3 || totals[i].Label != want.label || totals[i].Chunks != want.chunks || math.Abs(totals[i].Share-want.share) > 0.1 {
			t.Errorf("totals %+v, want of no. %d %+v", totals, i, want)
		}
	}
}

// BenchmarkTimeline asks for the whole of a job of 100,000 chunks.
func BenchmarkTimeline(b *testing.B) {
	s, admin := open(b)
	id := insert(b, s, admin, pythonSpec(rangeOf(1_000_000)))
	fill(b, s, id, 100_000, 2)
	if _, err := s.Pool.Exec(b.Context(), `vacuum analyze chunks`); err != nil {
		b.Fatal(err)
	}
	q := timeline.Query{Job: read(b, s, admin, id), From: streamed, To: streamed.Add(3 * time.Hour), Width: 1200}
	for b.Loop() {
		if got := stream(b, s, admin, q); len(got.Rects.Row) < 1000 {
			b.Fatalf("%d rectangles", len(got.Rects.Row))
		}
	}
}
