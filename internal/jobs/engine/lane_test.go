package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
)

// workOf is a job of tasks that are numbers, with every default.
func workOf(in jobs.Inputs, p jobs.Policy) *store.Work {
	spec := jobs.Spec{Inputs: in, Policy: p}.WithDefaults()
	return &store.Work{Job: "job", Inputs: spec.Inputs.Shape(), Policy: spec.Policy}
}

func TestNextClaim(t *testing.T) {
	t.Parallel()
	size, threads := 17, 4
	ranged := jobs.Inputs{Range: &jobs.Range{Stop: 100, Step: 1}}
	for name, test := range map[string]struct {
		in     jobs.Inputs
		policy jobs.Policy
		task   time.Duration
		age    time.Duration
		want   store.Claim
	}{
		"nothing is known":              {ranged, jobs.Policy{}, 0, 0, store.Claim{Job: "job", Want: 8, Floor: 1, Ranged: true}},
		"a second of 1 ms tasks' lane":  {ranged, jobs.Policy{}, time.Millisecond, time.Second, store.Claim{Job: "job", Want: 250, Floor: 5, Ranged: true}},
		"an old lane":                   {ranged, jobs.Policy{}, time.Millisecond, time.Hour, store.Claim{Job: "job", Want: 500, Floor: 5, Ranged: true}},
		"long tasks in several threads": {ranged, jobs.Policy{Threads: &threads}, time.Minute, 0, store.Claim{Job: "job", Want: 4, Floor: 1, Ranged: true}},
		"a fixed size":                  {ranged, jobs.Policy{ChunkSize: &size}, time.Minute, time.Hour, store.Claim{Job: "job", Want: 17, Floor: 17, Fixed: true, Ranged: true}},
		"stored inputs":                 {jobs.Inputs{}, jobs.Policy{}, 0, 0, store.Claim{Job: "job", Want: 8, Floor: 1}},
	} {
		got := nextClaim(workOf(test.in, test.policy), &estimate{taskCost: taskCost{wall: test.task}}, test.age)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestNewChunk(t *testing.T) {
	t.Parallel()
	size := 5
	lease := store.Lease{ID: 7, First: 10, Count: 5, Inputs: []byte("1\n2\n3\n4\n5\n")}
	stored := workOf(jobs.Inputs{}, jobs.Policy{})
	want := executor.Chunk{ID: 7, First: 10, Count: 5, Inputs: lease.Inputs, Failures: 3, Budget: 2 * firstAim}
	if diff := cmp.Diff(want, newChunk(stored, lease, 3, 0)); diff != "" {
		t.Errorf("stored inputs (-want +got):\n%s", diff)
	}
	ranged := workOf(jobs.Inputs{Range: &jobs.Range{Start: 100, Stop: 400, Step: 3}}, jobs.Policy{ChunkSize: &size})
	lease.Inputs = nil
	want = executor.Chunk{ID: 7, First: 10, Count: 5, Failures: -1, Range: &jobs.Range{Start: 130, Step: 3}}
	if diff := cmp.Diff(want, newChunk(ranged, lease, -1, time.Hour)); diff != "" {
		t.Errorf("a range in chunks of a fixed size, which have no budget (-want +got):\n%s", diff)
	}
}

func TestFeedWantsMore(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		feed      feed
		unclaimed int64
		limited   bool
		ahead     int
		want      bool
	}{
		{"an idle process asks whatever is known", feed{overdue: true}, 0, true, 1, true},
		{"one waits behind the one that runs", feed{atHand: 1}, 10, false, 2, true},
		{"two are enough", feed{atHand: 2}, 10, false, 2, false},
		{"one is enough", feed{atHand: 1}, 10, false, 1, false},
		{"nothing is left", feed{atHand: 1}, 0, false, 2, false},
		{"those that run take long", feed{atHand: 1, overdue: true}, 10, false, 2, false},
		{"the failures of the first must be known", feed{atHand: 1}, 10, true, 2, false},
	} {
		if got := test.feed.wantsMore(test.unclaimed, test.limited, test.ahead); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

func TestFeedClosesWhenIdle(t *testing.T) {
	t.Parallel()
	f := newFeed()
	for id := range int64(maxAtHand) {
		f.push(executor.Chunk{ID: id})
	}
	if f.closeIfIdle(); f.closed {
		t.Error("closed while chunks are at hand")
	}
	f.atHand = 0
	f.closeIfIdle()
	f.closeIfIdle()
	if !f.closed || len(f.in) != maxAtHand {
		t.Errorf("closed %v with %d chunks", f.closed, len(f.in))
	}
}

func TestLogBuffer(t *testing.T) {
	t.Parallel()
	var b logBuffer
	if b.add(1, nil); b.due != nil || b.full() {
		t.Error("no lines are due")
	}
	b.add(2, []jobs.LogLine{{Line: "a"}})
	due := b.due
	if b.add(3, []jobs.LogLine{{Line: strings.Repeat("b", maxLogBuffer-2)}}); due == nil || b.due != due || b.full() || len(b.lines) != 2 || b.chunk != 3 {
		t.Errorf("%d lines of chunk %d, full %v; a later line must not put the first one off", len(b.lines), b.chunk, b.full())
	}
	if b.add(3, []jobs.LogLine{{Line: "c"}}); !b.full() {
		t.Error("not full")
	}
	if b.clear(); b.full() || b.due != nil || b.lines != nil {
		t.Errorf("after it was cleared: %+v", b)
	}
}

func TestNewRecord(t *testing.T) {
	t.Parallel()
	two, zero := 2, jobs.Duration("0s")
	w := workOf(jobs.Inputs{}, jobs.Policy{MaxAttempts: &two, RetryBackoff: &zero})
	now := time.Now()
	h := newLease(store.Lease{ID: 7, First: 10, Count: 12, Attempt: 1, Losses: 1})
	h.leave(jobs.Span{First: 20, Count: 2})
	failed := outcomes.Encoded{First: 10, Count: 1, Failed: []int32{0}, Durations: []byte{0, 0},
		Outputs: outcomes.AppendFailure(nil, &jobs.TaskError{Kind: jobs.KindException})}
	done := outcomes.Encoded{First: 11, Count: 1, Outputs: []byte("1\n"), Durations: []byte{0, 0}}
	rec, again := newRecord(w, h, executor.Update{
		Outcomes: []outcomes.Encoded{failed, done}, Back: []executor.Span{{First: 15, Count: 5}}, Suspects: []int64{12, 13}, Lost: []executor.Span{{First: 14, Count: 1}},
		Usage: executor.Usage{StartedAt: now.Add(-3 * time.Second), FinishedAt: now.Add(-time.Second), User: time.Second, InTasks: 2 * time.Second, PeakMemory: 5},
	}, now)
	retried := store.BacklogSpan{First: 10, Count: 1, Attempt: 2}
	want := store.Record{
		Job: "job", Lease: 7, Count: 10, Outcomes: []outcomes.Encoded{done},
		Back: []store.BacklogSpan{
			{First: 15, Count: 5, Attempt: 1, Losses: 1},
			{First: 12, Count: 1, Attempt: 1, Losses: 1}, {First: 13, Count: 1, Attempt: 1, Losses: 1},
			{First: 14, Count: 1, Attempt: 1, Losses: 1},
			retried,
		},
		Attempts: []store.Attempt{{Index: 10, Attempt: 1, Error: &jobs.TaskError{Kind: jobs.KindException}}},
		Usage:    store.Usage{StartedAt: 3 * time.Second, FinishedAt: time.Second, User: time.Second, Tasks: 2 * time.Second, PeakMemory: 5},
	}
	if diff := cmp.Diff(want, rec); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]store.BacklogSpan{retried}, again); diff != "" {
		t.Errorf("again (-want +got):\n%s", diff)
	}
	if rec, _ := newRecord(w, h, executor.Update{Back: []executor.Span{{First: 10, Count: 10}}}, now); rec.Usage.StartedAt != 0 || rec.Usage.FinishedAt != 0 {
		t.Errorf("an untouched chunk started %v and finished %v ago", rec.Usage.StartedAt, rec.Usage.FinishedAt)
	}
}

func TestTriesUntilEnd(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		ran, alone, others bool
		want               int
	}{
		{false, true, false, 1},
		{false, true, true, lonelyTries},
		{false, false, false, lonelyTries},
		{false, false, true, lonelyTries},
		{true, true, false, lonelyTries},
		{true, false, false, lonelyTries},
		{true, true, true, idleTries},
		{true, false, true, idleTries},
	} {
		if got := triesUntilEnd(test.ran, test.alone, test.others); got != test.want {
			t.Errorf("%+v: %d", test, got)
		}
	}
}

func TestLastLoad(t *testing.T) {
	t.Parallel()
	once, zero := 1, jobs.Duration("0s")
	policy := jobs.Policy{MaxAttempts: &once, RetryBackoff: &zero}
	var s loadFailures
	s.add("job", 0, policy)
	two := 2
	s.add("job", 1, jobs.Policy{MaxAttempts: &two, RetryBackoff: &zero})
	if s.last("job", 0, store.Others{Turns: 2}, true) {
		t.Error("the job ends while lane 1 has attempts left")
	}
	s.add("job", 1, jobs.Policy{MaxAttempts: &two, RetryBackoff: &zero})
	if s.last("job", 0, store.Others{Turns: 2, Working: true}, true) {
		t.Error("the job ends while another lane works")
	}
	if !s.last("job", 0, store.Others{Turns: 2}, true) {
		t.Error("the job goes on though both lanes have failed")
	}
	if s.forget("job"); s.wait("job", 0) != 0 || len(s.failed) != 0 {
		t.Errorf("%d failures of a job that has ended are remembered", len(s.failed))
	}
}

func TestFirstWait(t *testing.T) {
	t.Parallel()
	if wait, ok := firstWait([]store.BacklogSpan{{Wait: 0}, {Wait: 3}, {Wait: 2}}); !ok || wait != 2 {
		t.Errorf("%v, %v", wait, ok)
	}
	if _, ok := firstWait([]store.BacklogSpan{{}}); ok {
		t.Error("a span without a wait is waited for")
	}
}

func TestWakesKeepTheEarliest(t *testing.T) {
	t.Parallel()
	var w wakes
	now := time.Now()
	if !w.add("job", now.Add(2)) || w.add("job", now.Add(2)) || w.add("job", now.Add(3)) || !w.add("job", now.Add(1)) {
		t.Error("a wake is added unless an earlier one is due")
	}
	w.remove("job", now.Add(2))
	if len(w.due) != 1 {
		t.Error("a wake that was replaced removes the earlier one")
	}
	if w.remove("job", now.Add(1)); len(w.due) != 0 {
		t.Error("a wake stays")
	}
}

// TestLeaseLeft checks that tasks leave a lease in any order, and which are left.
func TestLeaseLeft(t *testing.T) {
	t.Parallel()
	h := newLease(store.Lease{ID: 1, First: 10, Count: 10})
	run := func(first int64, count int) outcomes.Encoded {
		return outcomes.Encoded{First: first, Count: count, Outputs: []byte("x\n"), Durations: make([]byte, 2*count)}
	}
	for _, step := range []struct {
		runs []outcomes.Encoded
		n    int
		want []jobs.Span
	}{
		{nil, 0, []jobs.Span{{First: 10, Count: 10}}},
		{[]outcomes.Encoded{run(10, 2)}, 2, []jobs.Span{{First: 12, Count: 8}}},
		{[]outcomes.Encoded{run(14, 1), run(17, 2)}, 3, []jobs.Span{{First: 12, Count: 2}, {First: 15, Count: 2}, {First: 19, Count: 1}}},
		{[]outcomes.Encoded{run(12, 2), run(15, 1)}, 3, []jobs.Span{{First: 16, Count: 1}, {First: 19, Count: 1}}},
		{[]outcomes.Encoded{run(16, 1), run(19, 1)}, 2, []jobs.Span{}},
	} {
		if n := h.leaveEarly(step.runs); n != step.n {
			t.Errorf("%d tasks left the lease, want %d", n, step.n)
		}
		if diff := cmp.Diff(step.want, h.left); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if h.early.tasks != 10 || h.early.bytes != 14 || h.count() != 0 {
		t.Errorf("%+v", h.early)
	}
}
