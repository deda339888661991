package store_test

import (
	"errors"
	"testing"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
)

func TestCancel(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	id := insert(t, s, admin, pythonSpec(rangeOf(100)))
	lease := claim(t, s, id, 10)
	if err := s.Cancel(t.Context(), store.As(admin), id, nil); err != nil {
		t.Fatal(err)
	}
	if claim(t, s, id, 10) != nil {
		t.Error("a cancelled job's task was claimed")
	}
	p := record(t, s, store.Record{Job: id, Lease: lease.ID, Count: 10, Outcomes: []outcomes.Encoded{outcomesOf(0, 4)},
		Back: []store.BacklogSpan{{First: 4, Count: 6, Attempt: 1}}})
	if !p.Held || !p.Ended || p.Halted != "cancelled" {
		t.Errorf("recorded after cancel: %+v", p)
	}
	if j := read(t, s, admin, id); j.State != jobs.Cancelled || j.Counts.Succeeded != 4 || j.Counts.Cancelled != 96 {
		t.Errorf("the job: %+v", j)
	}
	if err := s.Cancel(t.Context(), store.As(admin), id, nil); err != nil {
		t.Errorf("cancelled again: %v", err)
	}
	if err := s.DeleteJob(t.Context(), store.As(admin), id); err != nil {
		t.Error(err)
	}
	if _, err := s.Job(t.Context(), store.As(admin), id); !errors.Is(err, jobs.ErrNotFound) {
		t.Errorf("after delete: %v", err)
	}
}
