package timeline

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/allcores/allcores/internal/jobs"
)

var noon = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return noon.Add(time.Duration(seconds * float64(time.Second))) }

func when(seconds float64) *jobs.Time { return &jobs.Time{Time: at(seconds)} }

func ptr[T any](v T) *T { return &v }

func TestUnitIsAPowerOfTwoThatFits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		window time.Duration
		width  int
		want   time.Duration
	}{
		{0, 100, time.Microsecond},
		{100 * time.Microsecond, 100, time.Microsecond},
		{101 * time.Microsecond, 100, 2 * time.Microsecond},
		{time.Second, 1000, 1024 * time.Microsecond},
		{time.Second, 0, 1 << 20 * time.Microsecond},
		{time.Hour, 1000, 1 << 22 * time.Microsecond},
	} {
		if got := Unit(tt.window, tt.width); got != tt.want {
			t.Errorf("Unit(%v, %d) = %v, want %v", tt.window, tt.width, got, tt.want)
		}
	}
}

func TestFloorRoundsDown(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ n, unit, want int64 }{{0, 4, 0}, {3, 4, 0}, {4, 4, 4}, {-1, 4, -4}, {-4, 4, -4}} {
		if got := floor(tt.n, tt.unit); got != tt.want {
			t.Errorf("floor(%d, %d) = %d, want %d", tt.n, tt.unit, got, tt.want)
		}
	}
}

func TestWindowFillsInTimes(t *testing.T) {
	t.Parallel()
	queued := &jobs.Job{ID: "a"}
	running := &jobs.Job{ID: "a", StartedAt: when(10)}
	ended := &jobs.Job{ID: "a", StartedAt: when(10), FinishedAt: when(70)}
	for _, tt := range []struct {
		name                string
		query               Query
		first               *time.Time
		from, to, firstWant float64
		until, since        float64
	}{
		{"all jobs", Query{Last: time.Minute}, nil, 40, 100, 40, 100 + 24*3600, 0},
		{"queued job", Query{Job: queued}, nil, 100, 100.001, 100, 160, 0},
		{"running job", Query{Job: running}, ptr(at(2)), 10, 100, 2, 160, 0},
		{"ended job", Query{Job: ended}, ptr(at(10)), 10, 70, 10, 71, 0},
		{"part of an ended job", Query{Job: ended, From: at(20), To: at(30)}, ptr(at(10)), 20, 30, 10, 71, 0},
		{"to before from", Query{Job: ended, From: at(20), To: at(15)}, ptr(at(10)), 20, 20.001, 10, 71, 0},
		{"far ahead", Query{Last: time.Minute, From: at(50), To: at(1e6)}, nil, 50, 3700, 50, 3700 + 24*3600, 0},
		{"since", Query{Job: ended, Width: 60, Since: at(33)}, ptr(at(10)), 10, 70, 10, 71, 33},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := tt.query.Window(at(100), tt.first)
			for _, c := range []struct {
				name      string
				got, want time.Time
			}{{"from", w.From, at(tt.from)}, {"to", w.To, at(tt.to)}, {"first", w.First, at(tt.firstWant)}, {"until", w.Until, at(tt.until)}} {
				if !c.got.Equal(c.want) {
					t.Errorf("%s is %v, want %v", c.name, c.got, c.want)
				}
			}
			if tt.since == 0 {
				if !w.Since.IsZero() || !w.Lower().Equal(w.From) {
					t.Errorf("since %v, lower %v", w.Since, w.Lower())
				}
			} else if off := at(tt.since).Sub(w.Since); off < 0 || off >= w.Unit || w.Since.UnixMicro()%w.Unit.Microseconds() != 0 || !w.Lower().Equal(w.Since) {
				t.Errorf("since %v in units of %v, lower %v", w.Since, w.Unit, w.Lower())
			}
		})
	}
}

func TestNextSinceIsBeforeWhatMayChange(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pending *time.Time
		want    float64
	}{{nil, 95}, {ptr(at(98)), 95}, {ptr(at(60)), 60}} {
		w := Window{Now: at(100), Unit: time.Microsecond, Pending: tt.pending}
		if got := w.nextSince(); !got.Equal(at(tt.want)) {
			t.Errorf("pending %v: %v, want %v", tt.pending, got, at(tt.want))
		}
	}
}

func TestFirstLeaseOfALaneRuns(t *testing.T) {
	t.Parallel()
	lease := func(node, job string, lane int, id int64, since float64, first int64) Lease {
		return Lease{Place: Place{Host: "h", Lane: &lane}, Node: node, Job: job, ID: id, At: at(since), First: first, Count: 10}
	}
	w := Window{Now: at(100), From: at(0), To: at(100)}
	got := w.Running([]Lease{
		lease("n", "a", 0, 2, 95, 20), lease("n", "a", 0, 1, 90, 10), // claimed ahead: runs since 95
		lease("n", "a", 1, 3, 97, 30),
		lease("m", "a", 0, 4, 101, 40), // by a clock that is ahead
	})
	want := []Group{
		{Job: "a", Start: at(95), End: at(100), Busy: 5, Tally: Tally{10, 19, 10, 1, 0}},
		{Job: "a", Start: at(97), End: at(100), Busy: 3, Tally: Tally{30, 39, 10, 1, 0}},
	}
	for i := range got {
		got[i].Place, got[i].State = Place{}, ""
	}
	if diff := cmp.Diff(want, got, cmpopts.SortSlices(func(a, b Group) bool { return a.First < b.First }), cmpopts.IgnoreUnexported(Group{})); diff != "" {
		t.Errorf("running (-want +got):\n%s", diff)
	}
	if w.Pending == nil || !w.Pending.Equal(at(90)) {
		t.Errorf("pending since %v", w.Pending)
	}
	later := Window{Now: at(100), From: at(120), To: at(130)}
	if got := later.Running([]Lease{lease("n", "a", 0, 1, 90, 10)}); len(got) != 0 {
		t.Errorf("in a window after now: %+v", got)
	}
}

func group(host, job string, core, lane int, start, end float64) Group {
	g := Group{Place: Place{Host: host}, Job: job, State: "done", Start: at(start), End: at(end), Busy: end - start, Tally: Tally{Count: 1, Chunks: 1}}
	if core >= 0 {
		g.Core = &core
	} else {
		g.Lane = &lane
	}
	return g
}

func TestRowsAndTheirLabels(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		all    bool
		groups []Group
		idle   []Place
		labels []string
		rows   []int // of the groups
	}{
		{"lanes of a job", false, []Group{group("h", "a", -1, 1, 0, 1), group("h", "a", -1, 0, 0, 1)}, nil, []string{"lane 0", "lane 1"}, []int{1, 0}},
		{"cores of two hosts", false, []Group{group("i", "a", 3, 0, 0, 1), group("h", "a", 10, 0, 0, 1), group("h", "a", 9, 0, 0, 1)}, nil,
			[]string{"h core 9", "h core 10", "i core 3"}, []int{2, 1, 0}},
		{"cores before lanes", false, []Group{group("h", "a", -1, 0, 0, 1), group("h", "a", 2, 0, 0, 1)}, nil, []string{"core 2", "lane 0"}, []int{1, 0}},
		{"idle cores", true, []Group{group("h", "a", 1, 0, 0, 1)}, []Place{{Host: "h", Core: ptr(0)}, {Host: "h", Core: ptr(1)}}, []string{"core 0", "core 1"}, []int{1}},
		{"free slots are taken again", true, []Group{group("h", "a", -1, 7, 0, 2), group("h", "b", -1, 3, 1, 3), group("h", "c", -1, 5, 2, 4)}, nil,
			[]string{"slot 0", "slot 1"}, []int{0, 1, 0}},
		{"a slot is kept through pauses", true, []Group{group("h", "a", -1, 0, 0, 1), group("h", "a", -1, 0, 5, 6), group("h", "b", -1, 0, 2, 3)}, nil,
			[]string{"slot 0", "slot 1"}, []int{0, 0, 1}},
		{"nothing", true, nil, nil, []string{}, []int{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rows, leftOut := placeOnRows(tt.groups, tt.all, tt.idle)
			labels, at := []string{}, []int{}
			for _, r := range rows {
				labels = append(labels, r.Label)
			}
			for _, g := range tt.groups {
				at = append(at, g.row)
			}
			if diff := cmp.Diff([]any{tt.labels, tt.rows, 0}, []any{labels, at, leftOut}); diff != "" {
				t.Errorf("labels, rows and rows left out (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRowsBeyondTheMostAreLeftOut(t *testing.T) {
	t.Parallel()
	var groups []Group
	for i := range maxRows + 5 {
		groups = append(groups, group("h", "a", i, 0, 0, 1))
	}
	got := Arrange(Window{From: at(0), To: at(1), Now: at(1), Unit: time.Second}, groups, nil).Timeline([]JobName{{ID: "a"}}, 1)
	if len(got.Rows) != maxRows || got.RowsLeftOut != 5 || len(got.Rects.Row) != maxRows {
		t.Errorf("%d rows, %d left out, %d rectangles", len(got.Rows), got.RowsLeftOut, len(got.Rects.Row))
	}
}

func TestMergeDoublesTheUnitUntilFewAreLeft(t *testing.T) {
	t.Parallel()
	var groups []Group
	for i := range 8 {
		g := group("h", "a", 0, 0, float64(i), float64(i)+.5)
		g.First, g.Last = int64(i), int64(i)
		groups = append(groups, g)
	}
	base := noon.UnixMicro()
	for _, tt := range []struct {
		most int
		unit time.Duration
		want int
	}{{8, time.Second, 8}, {7, 2 * time.Second, 4}, {4, 2 * time.Second, 4}, {3, 4 * time.Second, 2}} {
		got, unit := merge(append([]Group{}, groups...), time.Second, tt.most)
		if len(got) != tt.want || unit != tt.unit || base%unit.Microseconds() != 0 {
			t.Errorf("at most %d: %d groups, a unit of %v", tt.most, len(got), unit)
			continue
		}
		n := int64(8 / tt.want)
		want := Group{Place: got[0].Place, Job: "a", State: "done", Start: at(0), End: at(float64(n) - .5), Busy: .5 * float64(n), Tally: Tally{0, n - 1, n, n, 0}}
		if diff := cmp.Diff(want, got[0], cmpopts.IgnoreUnexported(Group{})); diff != "" {
			t.Errorf("at most %d (-want +got):\n%s", tt.most, diff)
		}
	}
	other := group("h", "a", 0, 0, 0, 1)
	other.State = "lost"
	if got, _ := merge([]Group{groups[0], other, group("h", "b", 0, 0, 0, 1)}, time.Hour, 1000); len(got) != 3 {
		t.Errorf("states and jobs are kept apart: %+v", got)
	}
}

func TestTotalsAddUpRows(t *testing.T) {
	t.Parallel()
	lane := func(n int) Place { return Place{Host: "h", Lane: &n} }
	for _, tt := range []struct {
		name   string
		all    bool
		idle   []Place
		labels []string
		shares []float64
	}{
		{"of a job", false, nil, []string{"core 1", "lane 0", "lane 1"}, []float64{.2, 2, 1.2}},
		{"of all", true, []Place{{Host: "h", Core: ptr(0)}}, []string{"core 0", "core 1", "not pinned"}, []float64{0, .2, 3.2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			sums := NewTotals(Window{All: tt.all, From: at(0), To: at(10), Now: at(10)}, tt.idle)
			sums.Add(Place{Host: "h", Core: ptr(1)}, time.Second, Total{Chunks: 1, Tasks: 4, Failed: 1, Longest: Longest{Job: "a", Took: time.Second}})
			sums.Add(lane(0), 10*time.Second, Total{Chunks: 2, Lost: 1})
			sums.Add(lane(1), 5*time.Second, Total{Chunks: 1, Longest: Longest{Job: "b", Took: time.Second}})
			running := group("h", "c", -1, 1, -2, 1)
			running.First = 7
			sums.AddRunning([]Group{running})
			totals := sums.Rows(2)
			var labels []string
			var shares []float64
			for _, total := range totals {
				labels, shares = append(labels, total.Label), append(shares, total.Share)
			}
			if diff := cmp.Diff([]any{tt.labels, tt.shares}, []any{labels, shares}, cmpopts.EquateApprox(0, 1e-9)); diff != "" {
				t.Errorf("labels and shares (-want +got):\n%s", diff)
			}
			last := totals[len(totals)-1]
			if want := (Longest{Job: "c", First: 7, Count: 1, Took: 3 * time.Second}); last.Longest != want {
				t.Errorf("longest %+v, want %+v", last.Longest, want)
			}
		})
	}
}
