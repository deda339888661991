package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
)

// failing returns outcomes of failures with these messages, raised at a line of the
// program.
func failing(first int64, line int, messages ...string) outcomes.Encoded {
	run := outcomes.Encoded{First: first, Count: len(messages), Durations: make([]byte, 2*len(messages))}
	for i, message := range messages {
		run.Failed = append(run.Failed, int32(i))
		run.Outputs = outcomes.AppendFailure(run.Outputs, &jobs.TaskError{Kind: jobs.KindException, Type: "ValueError", Message: message,
			Traceback: fmt.Sprintf("Traceback (most recent call last):\n  File \"program.py\", line %d, in f\nValueError: %s\n", line, message)})
	}
	return run
}

// words are messages of one pattern each.
func words(n int, prefix string) (out []string) {
	for i := range n {
		out = append(out, prefix+string(rune('a'+i/26/26%26))+string(rune('a'+i/26%26))+string(rune('a'+i%26)))
	}
	return out
}

// groupsOf reads a job's groups, and checks that each has as many tasks as its count
// says.
func groupsOf(t *testing.T, s *store.Store, id string) []jobs.FailureGroup {
	t.Helper()
	groups, err := s.FailureGroups(t.Context(), id, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	known, err := s.Groups(t.Context(), id)
	if err != nil || len(known) != len(groups) {
		t.Fatalf("%d groups, %d ids, %v", len(groups), len(known), err)
	}
	counts := make(map[jobs.GroupID]int64)
	blocks, err := s.Outcomes(t.Context(), id, 0, store.Pick{Failed: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blocks {
		if len(b.Groups) != len(b.Failed) {
			t.Fatalf("block %d has %d failures and %d groups", b.First, len(b.Failed), len(b.Groups))
		}
		for _, group := range b.Groups {
			counts[known.Of(group)]++
		}
	}
	for _, g := range groups {
		if counts[g.ID] != g.Count {
			t.Errorf("group %v %q counts %d, and has %d", g.ID, g.Pattern, g.Count, counts[g.ID])
		}
	}
	return groups
}

func TestFailureGroups(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	id := insert(t, s, admin, pythonSpec(rangeOf(1000)))
	fail := func(line int, messages ...string) {
		t.Helper()
		lease := claim(t, s, id, len(messages))
		if p := record(t, s, store.Record{Job: id, Lease: lease.ID, Count: lease.Count, Outcomes: []outcomes.Encoded{failing(lease.First, line, messages...)}}); !p.Held {
			t.Fatal("not held")
		}
	}
	var values []string
	for i := range 100 {
		values = append(values, fmt.Sprintf("bad value %d", i))
	}
	fail(3, values...)
	fail(3, values[:50]...)
	fail(4, "bad value 7\x00", "bad value 7\x00")
	groups := groupsOf(t, s, id)
	if len(groups) != 2 {
		t.Fatalf("%d groups: %+v", len(groups), groups)
	}
	g := groups[0]
	if g.Count != 150 || g.FirstIndex != 0 || g.Message != "bad value 0" || g.Pattern != "bad value <number>" || g.Frame.String() != "program.py:3 in f" ||
		len(g.Messages) != 5 || g.Messages[4].Text != "bad value 4" || g.Messages[4].Index != 4 || g.Example.Message != "bad value 0" {
		t.Errorf("%+v", g)
	}
	if g := groups[1]; g.Count != 2 || g.FirstIndex != 150 || len(g.Messages) != 1 {
		t.Errorf("%+v", g)
	}
	one, err := s.FailureGroup(t.Context(), id, g.ID)
	if err != nil || one.Count != 150 {
		t.Errorf("%+v, %v", one, err)
	}
	if _, err := s.FailureGroup(t.Context(), id, 12); !errors.Is(err, jobs.ErrNotFound) {
		t.Errorf("a group that is not there: %v", err)
	}

	// More patterns than are kept at a place: each failure counts in its group, in any
	// order.
	fail(9, words(15, "no ")...)
	fail(9, words(70, "no ")...)
	fail(9, words(30, "no ")...)
	groups = groupsOf(t, s, id)
	if len(groups) != 2+20+1 || groups[0].ID != groups[0].ID.Other() && groups[1].ID != groups[1].ID.Other() {
		t.Errorf("%d groups, first %+v", len(groups), groups[0])
	}
	for _, g := range groups {
		if g.ID == g.ID.Other() && (g.Pattern != "(other messages)" || g.Frame.String() != "program.py:9 in f" || len(g.Messages) != 5 || g.Count != 60 || g.Type != "ValueError") {
			t.Errorf("%+v", g)
		}
	}
	// More places than are kept.
	for line := range 110 {
		fail(100+line, "x", "y")
	}
	groups = groupsOf(t, s, id)
	if last, err := s.FailureGroup(t.Context(), id, 0); err != nil || last.Pattern != "(other failures)" || last.Count != 2*13 || last.Frame != nil {
		t.Errorf("%+v, %v", last, err)
	}

	// Groups of another rule are rebuilt.
	if _, err := s.Pool.Exec(t.Context(), `update failure_groups set version = 0, id = id + 1`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pool.Exec(t.Context(), `update outcomes set groups = '{}'`); err != nil {
		t.Fatal(err)
	}
	again := groupsOf(t, s, id)
	if len(again) != len(groups) || again[0].Count != groups[0].Count {
		t.Errorf("rebuilt: %d groups, before %d", len(again), len(groups))
	}
}

func TestFailuresAreGroupedAndStopTheJob(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	spec := pythonSpec(rangeOf(100))
	limit := jobs.FailureLimit("2")
	spec.Policy.MaxFailures = &limit
	id := insert(t, s, admin, spec)
	first, second := claim(t, s, id, 10), claim(t, s, id, 10)
	p := record(t, s, store.Record{Job: id, Lease: second.ID, Count: 10, Outcomes: []outcomes.Encoded{outcomesOf(10, 10, 3, 4)}})
	if p.Halted != "" || p.Failed != 2 {
		t.Fatalf("after two failures: %+v", p)
	}
	p = record(t, s, store.Record{Job: id, Lease: first.ID, Count: 10, Outcomes: []outcomes.Encoded{outcomesOf(0, 10, 9)}})
	if p.Halted != "failed" || !p.Ended {
		t.Fatalf("after three failures: %+v", p)
	}
	j := read(t, s, admin, id)
	if j.State != jobs.Failed || j.Counts.Failed != 3 || j.Counts.Succeeded != 17 || j.Counts.Cancelled != 80 || !strings.Contains(j.Reason, "max_failures") {
		t.Errorf("the job: %+v", j)
	}
	groups, err := s.FailureGroups(t.Context(), id, 10)
	if err != nil || len(groups) != 1 || groups[0].Count != 3 || groups[0].FirstIndex != 9 || groups[0].Type != "ValueError" {
		t.Errorf("groups: %+v, %v", groups, err)
	}
	cells, err := s.Strip(t.Context(), j, 25)
	if err != nil || len(cells) != 25 || cells[2].Failed != 1 || cells[3].Failed != 2 || cells[3].Succeeded != 2 || cells[24].Cancelled != 4 {
		t.Errorf("strip: %+v, %v", cells, err)
	}
}
