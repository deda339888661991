package store_test

import (
	"errors"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// idleFor moves the last input of a job into the past.
func idleFor(t *testing.T, s *store.Store, id string, age time.Duration) {
	t.Helper()
	if _, err := s.Pool.Exec(t.Context(), `update progress set input_at = input_at - $2::bigint * interval '1 microsecond' where job_id = $1`, id, age.Microseconds()); err != nil {
		t.Fatal(err)
	}
}

// sealIdle reports whether SealIdle seals the job.
func sealIdle(t *testing.T, s *store.Store, id string) bool {
	t.Helper()
	ids, err := s.SealIdle(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return slices.Contains(ids, id)
}

func appended(values ...string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, v := range values {
			if !yield([]byte(v), nil) {
				return
			}
		}
	}
}

// TestSealIdle checks when an open job counts as idle, and what its seal does.
func TestSealIdle(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	register(t, s, node)
	idle := jobs.Duration("60s")
	id := insert(t, s, admin, pythonSpec(jobs.Inputs{Open: true, IdleSeal: &idle}))
	patient := insert(t, s, admin, pythonSpec(jobs.Inputs{Open: true}))
	v := store.As(admin)
	again := func(what string, touch func() error) {
		t.Helper()
		idleFor(t, s, id, 59*time.Second)
		if err := touch(); err != nil {
			t.Fatal(what, err)
		}
		idleFor(t, s, id, 59*time.Second)
		if sealIdle(t, s, id) {
			t.Errorf("sealed although %s", what)
		}
	}
	again("kept alive", func() error { return s.KeepAlive(t.Context(), v, id) })
	again("appended to", func() error {
		_, _, err := s.Append(t.Context(), store.AppendRequest{Viewer: v, Job: id, Values: appended("1", "2")})
		return err
	})
	again("appended nothing", func() error {
		_, _, err := s.Append(t.Context(), store.AppendRequest{Viewer: v, Job: id, Values: appended()})
		return err
	})
	again("uploading", func() error {
		_, _, err := s.Append(t.Context(), store.AppendRequest{Viewer: v, Job: id, Values: func(yield func([]byte, error) bool) {
			idleFor(t, s, id, 59*time.Second)
			for began := time.Now(); time.Since(began) < 300*time.Millisecond; {
				if !yield([]byte("3"), nil) {
					return
				}
			}
			if sealIdle(t, s, id) {
				t.Error("sealed during an upload")
			}
		}})
		return err
	})
	if err := s.KeepAlive(t.Context(), v, patient); err != nil {
		t.Error("keep alive a job without an idle time:", err)
	}
	j := read(t, s, admin, id)
	if j.Inputs.IdleSeal == nil || *j.Inputs.IdleSeal != "60s" || j.Inputs.IdleSealed || j.State != jobs.Open {
		t.Errorf("before: %+v", j.Inputs)
	}
	idleFor(t, s, id, 2*time.Second)
	if !sealIdle(t, s, id) || sealIdle(t, s, id) {
		t.Error("not sealed once")
	}
	j = read(t, s, admin, id)
	if !j.Inputs.IdleSealed || j.Inputs.Open || j.State != jobs.Queued || j.Reason != "sealed after 60s without input" {
		t.Errorf("after: %+v, %s, %q", j.Inputs, j.State, j.Reason)
	}
	if err := s.KeepAlive(t.Context(), v, id); !errors.Is(err, jobs.ErrConflict) {
		t.Error("keep alive a sealed job:", err)
	}
	other := store.Viewer{UserID: store.NewID()}
	if err := s.KeepAlive(t.Context(), other, patient); !errors.Is(err, jobs.ErrNotFound) {
		t.Error("keep alive another's job:", err)
	}
	if err := s.KeepAlive(t.Context(), store.Viewer{All: true, ReadOnly: true}, patient); !errors.Is(err, jobs.ErrForbidden) {
		t.Error("keep alive as a viewer:", err)
	}
	if read(t, s, admin, patient).State != jobs.Open {
		t.Error("a job without an idle time was sealed")
	}
}

// TestSealIdleEnds checks that a job whose tasks have all ended ends with its seal, and
// that one that is retried while open has its whole idle time again.
func TestSealIdleEnds(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	idle := jobs.Duration("1s")
	id := insert(t, s, admin, pythonSpec(jobs.Inputs{Open: true, IdleSeal: &idle}))
	idleFor(t, s, id, 2*time.Second)
	if !sealIdle(t, s, id) {
		t.Fatal("not sealed")
	}
	if j := read(t, s, admin, id); j.State != jobs.Succeeded || j.Reason != "sealed after 1s without input" {
		t.Errorf("%s, %q", j.State, j.Reason)
	}
	id = insert(t, s, admin, pythonSpec(jobs.Inputs{Open: true, IdleSeal: &idle}))
	if _, _, err := s.Append(t.Context(), store.AppendRequest{Viewer: store.As(admin), Job: id, Values: appended("1")}); err != nil {
		t.Fatal(err)
	}
	if err := s.Cancel(t.Context(), store.As(admin), id, nil); err != nil {
		t.Fatal(err)
	}
	idleFor(t, s, id, time.Hour)
	if sealIdle(t, s, id) {
		t.Error("an ended job was sealed")
	}
	if err := s.Retry(t.Context(), store.As(admin), id, nil, nil); err != nil {
		t.Fatal(err)
	}
	if sealIdle(t, s, id) {
		t.Error("sealed with the retry")
	}
	if j := read(t, s, admin, id); j.State != jobs.Open {
		t.Errorf("after a retry: %s", j.State)
	}
}
