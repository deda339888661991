package store_test

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/internal/store/storetest"
)

var template = storetest.Template{Fingerprint: store.SchemaFingerprint(), Migrate: store.Migrate}

// open returns a store on a fresh database and its admin.
func open(t testing.TB) (*store.Store, *jobs.User) {
	t.Helper()
	return openAt(t, template.New(t))
}

// openAt is open on the database at url.
func openAt(t testing.TB, url string) (*store.Store, *jobs.User) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{URL: url, MaxConns: 4, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.EnsureAdmin(t.Context(), "test", "secret"); err != nil {
		t.Fatal(err)
	}
	admin, err := s.UserByToken(t.Context(), "secret")
	if err != nil {
		t.Fatal(err)
	}
	return s, admin
}

// insert writes a job of spec and returns its id.
func insert(t testing.TB, s *store.Store, owner *jobs.User, spec jobs.Spec) string {
	t.Helper()
	if found := spec.Validate(); len(found) > 0 {
		t.Fatal(found)
	}
	spec = spec.WithDefaults()
	id := store.NewID()
	err := s.Tx(t.Context(), func(tx pgx.Tx) error {
		_, err := s.InsertJob(t.Context(), tx, store.NewJob{ID: id, OwnerID: owner.ID, Spec: spec, Lanes: 2, Turns: 2})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func pythonSpec(in jobs.Inputs) jobs.Spec {
	return jobs.Spec{Program: jobs.Program{Python: &jobs.Python{Source: "def f(x):\n    return x\n", Function: "f"}}, Inputs: in}
}

func rangeOf(n int64) jobs.Inputs { return jobs.Inputs{Range: &jobs.Range{Stop: n, Step: 1}} }

// outcomesOf makes outcomes of a span whose outputs are the indexes of its tasks.
func outcomesOf(first int64, count int, failed ...int32) outcomes.Encoded {
	run := outcomes.Encoded{First: first, Count: count, Failed: failed, Durations: make([]byte, 2*count)}
	for i := range count {
		if len(failed) > 0 && failed[0] == int32(i) {
			run.Outputs = outcomes.AppendFailure(run.Outputs, &jobs.TaskError{Kind: jobs.KindException, Type: "ValueError", Message: "bad"})
			failed = failed[1:]
			continue
		}
		run.Outputs = fmt.Appendf(run.Outputs, "%d\n", first+int64(i))
	}
	return run
}

func claim(t *testing.T, s *store.Store, job string, want int) *store.Lease {
	t.Helper()
	w, err := s.Work(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Claim(t.Context(), store.Claim{Job: job, Node: node, Want: want, Floor: want, Fixed: true, First: true, Ranged: w.Inputs.Range != nil})
	if err != nil {
		t.Fatal(err)
	}
	return c.Lease
}

const node = "0192f0c8-0000-7000-8000-000000000001"

func register(t testing.TB, s *store.Store, id string) {
	t.Helper()
	if err := s.Register(t.Context(), store.NewNode{ID: id, Host: "here", Role: "all", Cores: 2}); err != nil {
		t.Fatal(err)
	}
}

func record(t *testing.T, s *store.Store, r store.Record) store.Progress {
	t.Helper()
	p, _, err := s.Record(t.Context(), r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func read(t testing.TB, s *store.Store, u *jobs.User, id string) *jobs.Job {
	t.Helper()
	j, err := s.Job(t.Context(), store.As(u), id)
	if err != nil {
		t.Fatal(err)
	}
	c := j.Counts
	if c.Waiting+c.Running+c.Done() != c.Total {
		t.Errorf("counts do not add up: %+v", c)
	}
	return j
}
