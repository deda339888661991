package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
)

// TestTaskPages checks that pages forwards and backwards have every selected task
// once.
func TestTaskPages(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	spec := pythonSpec(jobs.Inputs{})
	for i := range 90 {
		spec.Inputs.Items = append(spec.Inputs.Items, []byte(fmt.Sprintf(`"in %d"`, i)))
	}
	id := insert(t, s, admin, spec)
	running, ended := writePages(t, s, admin, id)
	groups, err := s.Groups(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var bad jobs.GroupID // that of the failures of outcomes
	for group := range groups {
		if g, err := s.FailureGroup(t.Context(), id, group); err == nil && g.Message == "bad" {
			bad = group
		}
	}
	span := func(first, end int64) (all []int64) {
		for ; first < end; first++ {
			all = append(all, first)
		}
		return all
	}
	for _, c := range []struct {
		job  *jobs.Job
		q    store.TaskQuery
		want []int64
	}{
		{ended, store.TaskQuery{}, span(0, 90)},
		{running, store.TaskQuery{}, slices.Concat(span(10, 30), span(40, 50), span(70, 90))},
		{ended, store.TaskQuery{State: jobs.TaskCancelled}, slices.Concat(span(0, 10), span(30, 40), span(50, 70))},
		{running, store.TaskQuery{State: jobs.TaskCancelled}, nil},
		{ended, store.TaskQuery{State: jobs.TaskFailed}, slices.Concat([]int64{10, 13, 19}, span(20, 30))},
		{ended, store.TaskQuery{State: jobs.TaskSucceeded}, slices.Concat([]int64{11, 12}, span(14, 19), span(40, 50), span(70, 90))},
		{ended, store.TaskQuery{State: jobs.TaskFailed, Group: &store.GroupPick{ID: bad, Groups: groups}}, []int64{10, 13, 19}},
	} {
		for _, limit := range []int{3, 100} {
			for _, bytes := range []int64{1 << 30, 1} {
				q := c.q
				q.Limit, q.Bytes = limit, bytes
				if diff := cmp.Diff(c.want, pages(t, s, c.job, q)); diff != "" {
					t.Errorf("%+v by %d (-want +got):\n%s", c.q, limit, diff)
				}
				q.From, q.Back = 90, true
				if diff := cmp.Diff(c.want, pages(t, s, c.job, q)); diff != "" {
					t.Errorf("%+v by %d backwards (-want +got):\n%s", c.q, limit, diff)
				}
			}
		}
	}
}

// writePages records some tasks of a job with 90, among them large outputs, and
// cancels it. It returns the job before and after that.
func writePages(t *testing.T, s *store.Store, admin *jobs.User, id string) (running, ended *jobs.Job) {
	t.Helper()
	var leases []*store.Lease
	for range 9 {
		leases = append(leases, claim(t, s, id, 10))
	}
	write := func(lease *store.Lease, run outcomes.Encoded) {
		t.Helper()
		if p := record(t, s, store.Record{Job: id, Lease: lease.ID, Count: 10, Outcomes: []outcomes.Encoded{run}}); !p.Held {
			t.Fatal("not held")
		}
	}
	write(leases[4], outcomesOf(40, 10))
	write(leases[1], outcomesOf(10, 10, 0, 3, 9))
	write(leases[2], failing(20, 3, words(10, "")...))
	large := outcomesOf(70, 10)
	large.Outputs = []byte(strings.Repeat(`"`+strings.Repeat("x", 300_000)+"\"\n", 10))
	write(leases[7], large)
	write(leases[8], outcomesOf(80, 10))
	running = read(t, s, admin, id)
	if err := s.Cancel(t.Context(), store.As(admin), id, nil); err != nil {
		t.Fatal(err)
	}
	for _, lease := range []*store.Lease{leases[0], leases[3], leases[5], leases[6]} { // their tasks are given up
		record(t, s, store.Record{Job: id, Lease: lease.ID, Count: 10})
	}
	ended = read(t, s, admin, id)
	if !ended.State.Ended() || ended.Counts.Cancelled != 40 {
		t.Fatalf("%+v", ended)
	}
	return running, ended
}

// pages reads page after page and returns the indexes, ascending.
func pages(t *testing.T, s *store.Store, job *jobs.Job, q store.TaskQuery) (got []int64) {
	t.Helper()
	for {
		p, err := s.TaskPage(t.Context(), job, q)
		if err != nil || len(p.Rows) > q.Limit {
			t.Fatal(len(p.Rows), err)
		}
		var indexes []int64
		for _, row := range p.Rows {
			indexes = append(indexes, row.Index)
			checkRow(t, row)
		}
		if q.Back {
			got = append(indexes, got...)
		} else {
			got = append(got, indexes...)
		}
		if q.From = p.More; p.More < 0 {
			return got
		}
	}
}

func checkRow(t *testing.T, row jobs.TaskRow) {
	t.Helper()
	if string(row.Input) != fmt.Sprintf(`"in %d"`, row.Index) {
		t.Errorf("the input of %d is %s", row.Index, row.Input)
	}
	if large := row.Index >= 70 && row.Index < 80; row.State == jobs.TaskSucceeded && large != (row.OutputBytes == 300_002) || len(row.Output) > 1024 || (row.Error != nil) != (row.State == jobs.TaskFailed) {
		t.Errorf("%+v", row)
	}
}
