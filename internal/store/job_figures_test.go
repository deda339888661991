package store_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
)

// TestExecuting checks that a lane executes only the first of its claimed chunks, as
// many tasks of it as there are threads.
func TestExecuting(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	register(t, s, node)
	threads, processes := 3, 3
	spec := pythonSpec(rangeOf(100))
	spec.Policy.Threads, spec.Policy.Processes = &threads, &processes
	id := insert(t, s, admin, spec)
	other := insert(t, s, admin, pythonSpec(rangeOf(100)))
	claimOf := func(job string, lane, want int) *store.Lease {
		t.Helper()
		c, err := s.Claim(t.Context(), store.Claim{Job: job, Node: node, Lane: lane, Want: want, Floor: want, Fixed: true, First: true, Ranged: true})
		if err != nil || c.Lease == nil {
			t.Fatalf("%+v, %v", c, err)
		}
		return c.Lease
	}
	expect := func(what string, running, executing int64, processes int) {
		t.Helper()
		list, err := s.Jobs(t.Context(), store.As(admin), store.Filter{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range append(list.Jobs, read(t, s, admin, id)) {
			if j.ID == id && (j.Counts.Running != running || j.Executing != executing || j.ProcessesNow != processes) {
				t.Errorf("%s: %d running, %d executing in %d processes, want %d, %d, %d", what, j.Counts.Running, j.Executing, j.ProcessesNow, running, executing, processes)
			}
		}
	}
	expect("at first", 0, 0, 0)
	first := claimOf(id, 0, 40)
	ahead := claimOf(id, 0, 20)
	claimOf(other, 0, 50)
	expect("one lane, with a chunk ahead", 60, 3, 1)
	claimOf(id, 1, 2)
	expect("another with two tasks", 62, 5, 2)
	for lane := 2; lane < 6; lane++ {
		claimOf(id, lane, 5)
	}
	expect("more lanes than there may be", 82, 9, 3)
	if err := s.Pause(t.Context(), store.As(admin), id, nil); err != nil {
		t.Fatal(err)
	}
	for _, l := range []*store.Lease{first, ahead} {
		record(t, s, store.Record{Job: id, Lease: l.ID, Count: l.Count, Outcomes: []outcomes.Encoded{outcomesOf(l.First, l.Count)}})
	}
	exec(t, s, `update chunks set state = 'lost' where job_id = $1 and state = 'leased'`, id)
	exec(t, s, `update progress set leased = 0 where job_id = $1`, id)
	expect("paused", 0, 0, 0)
}

// TestRateStandsStill checks that an idle job has a rate of 0, whatever the clock
// says, and that idle time does not count later.
func TestRateStandsStill(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	register(t, s, node)
	id := insert(t, s, admin, pythonSpec(rangeOf(100)))
	l := claim(t, s, id, 10)
	record(t, s, store.Record{Job: id, Lease: l.ID, Count: 10, Outcomes: []outcomes.Encoded{outcomesOf(0, 10)}})
	l = claim(t, s, id, 10)
	if j := read(t, s, admin, id); j.Rate <= 0 || j.ETASeconds == nil {
		t.Errorf("while it runs: %+v", j)
	}
	if err := s.Pause(t.Context(), store.As(admin), id, nil); err != nil {
		t.Fatal(err)
	}
	if j := read(t, s, admin, id); j.Rate != 0 || j.ETASeconds != nil {
		t.Errorf("paused: %+v", j)
	}
	exec(t, s, `update progress set newer_at = newer_at - interval '1 h' where job_id = $1`, id)
	record(t, s, store.Record{Job: id, Lease: l.ID, Count: 10, Outcomes: []outcomes.Encoded{outcomesOf(10, 10)}})
	if err := s.Resume(t.Context(), store.As(admin), id, nil); err != nil {
		t.Fatal(err)
	}
	if j := read(t, s, admin, id); j.Rate != 0 {
		t.Errorf("resumed, with nothing claimed: %+v", j)
	}
	l = claim(t, s, id, 10)
	record(t, s, store.Record{Job: id, Lease: l.ID, Count: 10, Outcomes: []outcomes.Encoded{outcomesOf(20, 10)}})
	claim(t, s, id, 10)
	if j := read(t, s, admin, id); j.Rate < 1 {
		t.Errorf("after an hour's pause the rate is %g", j.Rate)
	}
}

// TestCreatedInOrder checks that the list is in the order of created_at, also where a
// job's inputs arrived slowly.
func TestCreatedInOrder(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	slow := store.NewID()
	quick := insert(t, s, admin, pythonSpec(rangeOf(1)))
	err := s.InsertStreamed(t.Context(), slow, func(yield func([]byte, error) bool) { yield([]byte("1"), nil) },
		func(_ pgx.Tx, count int64) (store.NewJob, error) {
			spec := pythonSpec(jobs.Inputs{Stored: &jobs.Stored{Kind: "items", Count: count}}).WithDefaults()
			return store.NewJob{ID: slow, OwnerID: admin.ID, Spec: spec, Lanes: 1}, nil
		})
	if err != nil {
		t.Fatal(err)
	}
	last := insert(t, s, admin, pythonSpec(rangeOf(1)))
	list, err := s.Jobs(t.Context(), store.As(admin), store.Filter{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for i, j := range list.Jobs {
		ids = append(ids, j.ID)
		if i > 0 && j.CreatedAt.After(list.Jobs[i-1].CreatedAt.Time) || time.Since(j.CreatedAt.Time).Abs() > time.Minute {
			t.Errorf("%s was created at %v, after the one before in the list", j.ID, j.CreatedAt)
		}
	}
	if !cmp.Equal(ids, []string{last, quick, slow}) {
		t.Errorf("%v", ids)
	}
}

// TestPolicyAsGiven checks that values left out of a policy stay out of it.
func TestPolicyAsGiven(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	one, second := 1, jobs.Duration("1s")
	for what, given := range map[string]*jobs.Policy{"nothing": {}, "a default": {Threads: &one, RetryBackoff: &second}, "unknown": nil} {
		spec := pythonSpec(rangeOf(1)).WithDefaults()
		id := store.NewID()
		if _, err := s.InsertJob(t.Context(), nil, store.NewJob{ID: id, OwnerID: admin.ID, Spec: spec, Given: given, Lanes: 7}); err != nil {
			t.Fatal(err)
		}
		if given == nil {
			given = new(jobs.Policy)
		}
		lanes := 7
		effective := jobs.Policy{Processes: &lanes}.WithDefaults()
		if j := read(t, s, admin, id); !cmp.Equal(j.Policy, *given) || !cmp.Equal(j.EffectivePolicy, effective) {
			t.Errorf("%s: %s\n%s", what, cmp.Diff(*given, j.Policy), cmp.Diff(effective, j.EffectivePolicy))
		}
	}
}
