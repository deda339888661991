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

// TestTimelineIsExact compares the rectangles with those of merge, for lanes with any
// chunks from short to minutes long, in any window and at any width.
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
		chunks := drawChunks(rt, ids, nodes, pinned)
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

		checkTotals(rt, s, admin, timeline.Query{Job: job, From: from, To: to}, sums(merge(mine, row, from, to, time.Now(), unit)))
	})
}

// drawChunks draws the chunks of a few lanes: one after the other, done or lost, from
// a moment to minutes long.
func drawChunks(rt *rapid.T, ids, nodes []string, pinned bool) []chunk {
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
	return chunks
}

// checkTotals compares the totals of a job's window with the sums of its chunks by
// state.
func checkTotals(rt *rapid.T, s *store.Store, admin *jobs.User, q timeline.Query, byState map[string]rect) {
	totals, _, err := s.TimelineTotals(rt.Context(), store.As(admin), q)
	if err != nil {
		rt.Fatal(err)
	}
	want := map[string]rect{}
	for k, r := range byState {
		sum := want[""]
		sum.chunks, sum.failed = sum.chunks+r.chunks, sum.failed+r.failed
		if k != fmt.Sprint(q.Job.ID, timeline.Lost) {
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
}

// TestTimelineGrows reads only what is new, as an open page does, and compares the
// sum with one answer for the whole.
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

	// Another 100 end. The next two are claimed.
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
	// No answer waits for the straggler any more, so the next one is short.
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

func TestTimelineOfClaimed(t *testing.T) {
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
		t.Errorf("want one done and one claimed: %+v", got)
	}
	if sums(got)[fmt.Sprint(id, timeline.Leased)].count != int64(second.Count) {
		t.Errorf("%+v", got)
	}
}

// TestTimelineOfVeryManyChunks reads one row after the other of 100,000 chunks, and a
// sample of more chunks than are read one by one.
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

// TestTimelineOfAll checks the chunks that the viewer may see, on cores that live
// though they are idle, and on slots that no two lanes have at once.
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
