package store_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// TestSlowUploadsLeaveConnections checks that slow clients wait for each other, and
// that other requests do not wait for them.
func TestSlowUploadsLeaveConnections(t *testing.T) {
	t.Parallel()
	s, admin := open(t) // with 4 connections
	ctx, cancel := context.WithCancel(t.Context())
	began, ended := make(chan struct{}, 8), make(chan error, 8)
	for range 8 {
		id := insert(t, s, admin, pythonSpec(jobs.Inputs{Open: true}))
		go func() {
			_, _, err := s.Append(ctx, store.AppendRequest{Viewer: store.As(admin), Job: id, Values: func(yield func([]byte, error) bool) {
				if !yield(bytes.Repeat([]byte("1"), 1<<20), nil) { // more than is kept in memory
					return
				}
				began <- struct{}{}
				<-ctx.Done()
				yield(nil, ctx.Err())
			}})
			ended <- err
		}()
	}
	<-began
	<-began
	for range 20 { // others are served
		if _, err := s.Jobs(t.Context(), store.As(admin), store.Filter{Limit: 1}); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	for range 8 {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("an upload ends with %v", err)
		}
	}
	if n := len(began); n != 0 {
		t.Errorf("%d uploads more than half of the connections", n)
	}
}

// TestStoredInputs checks that a job with missing inputs is not submitted.
func TestStoredInputs(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	lines := strings.Repeat("one\n", 10_000)
	from := insert(t, s, admin, pythonSpec(jobs.Inputs{Lines: &lines}))
	stored := func(count int64, from string) jobs.Spec {
		return pythonSpec(jobs.Inputs{Stored: &jobs.Stored{Kind: "lines", Count: count, From: from}})
	}
	id := insert(t, s, admin, stored(10_000, from))
	var same bool
	err := s.Pool.QueryRow(t.Context(), `
		select (select array_agg(row(first, count, data) order by first) from input_blocks where job_id = $1)
			= (select array_agg(row(first, count, data) order by first) from input_blocks where job_id = $2)`, from, id).Scan(&same)
	if j := read(t, s, admin, id); err != nil || !same || j.Counts.Total != 10_000 || j.Inputs.Kind != "lines" {
		t.Errorf("same %v, %v: %+v", same, err, j)
	}
	for _, spec := range []jobs.Spec{stored(10_001, from), stored(5, store.NewID()), stored(5, "")} {
		err := s.Tx(t.Context(), func(tx pgx.Tx) error {
			_, err := s.InsertJob(t.Context(), tx, store.NewJob{ID: store.NewID(), OwnerID: admin.ID, Spec: spec.WithDefaults(), Lanes: 1})
			return err
		})
		if !errors.Is(err, jobs.ErrNotFound) {
			t.Errorf("%+v: %v", spec.Inputs.Stored, err)
		}
	}
}
