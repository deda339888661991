package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
)

func TestOthersJobsAreNotFound(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	id := insert(t, s, admin, pythonSpec(rangeOf(1)))
	stranger := store.Viewer{UserID: store.NewID()}
	if _, err := s.Job(t.Context(), stranger, id); !errors.Is(err, jobs.ErrNotFound) {
		t.Errorf("read: %v", err)
	}
	if err := s.Cancel(t.Context(), stranger, id, nil); !errors.Is(err, jobs.ErrNotFound) {
		t.Errorf("cancel: %v", err)
	}
	if err := s.DeleteJob(t.Context(), stranger, id); !errors.Is(err, jobs.ErrNotFound) {
		t.Errorf("delete: %v", err)
	}
	if list, err := s.Jobs(t.Context(), stranger, store.Filter{Limit: 10}); err != nil || len(list.Jobs) != 0 {
		t.Errorf("list: %v, %v", list, err)
	}
	// A user with the role viewer reads all jobs and changes none.
	viewer := store.As(&jobs.User{ID: store.NewID(), Role: jobs.Viewer})
	if list, err := s.Jobs(t.Context(), viewer, store.Filter{Limit: 10}); err != nil || len(list.Jobs) != 1 {
		t.Errorf("a viewer's list: %v, %v", list, err)
	}
	if _, err := s.Job(t.Context(), viewer, id); err != nil {
		t.Errorf("a viewer reads: %v", err)
	}
	for name, err := range map[string]error{
		"cancel": s.Cancel(t.Context(), viewer, id, nil), "pause": s.Pause(t.Context(), viewer, id, nil), "retry": s.Retry(t.Context(), viewer, id, nil, nil),
		"seal": s.Seal(t.Context(), viewer, id, nil), "delete": s.DeleteJob(t.Context(), viewer, id),
	} {
		if !errors.Is(err, jobs.ErrForbidden) {
			t.Errorf("a viewer may %s: %v", name, err)
		}
	}
}

func TestOldJobsAreDeleted(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	var ids []string
	for i := range 4 {
		id := insert(t, s, admin, pythonSpec(rangeOf(5)))
		if i < 3 {
			lease := claim(t, s, id, 5)
			record(t, s, store.Record{Job: id, Lease: lease.ID, Count: 5, Outcomes: []outcomes.Encoded{outcomesOf(0, 5)}})
		}
		ids = append(ids, id)
	}
	// The first two ended long ago, the third just now, the fourth has not ended.
	_, err := s.Pool.Exec(t.Context(), `update jobs set finished_at = now() - interval '2 hours' where id = any($1)`, ids[:2])
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{1, 1, 0} {
		if n, err := s.DeleteOld(t.Context(), time.Hour, 1); err != nil || n != want {
			t.Errorf("%d jobs were deleted, want %d (%v)", n, want, err)
		}
	}
	for i, id := range ids {
		_, err := s.Job(t.Context(), store.As(admin), id)
		if gone := errors.Is(err, jobs.ErrNotFound); gone != (i < 2) {
			t.Errorf("job %d: %v", i, err)
		}
	}
	var left int
	err = s.Pool.QueryRow(t.Context(), `select count(*) from outcomes where job_id = any($1)`, ids[:2]).Scan(&left)
	if err != nil || left != 0 {
		t.Errorf("%d outcomes are left (%v)", left, err)
	}
}
