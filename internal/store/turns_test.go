package store_test

import (
	"testing"
	"time"
)

// TestTurnsThatAWrongClockPutOffAreRoused puts one turn off for an hour and lets
// another be due since an hour, as a node with a wrong clock does.
func TestTurnsThatAWrongClockPutOffAreRoused(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	insert(t, s, admin, pythonSpec(rangeOf(20)))
	insert(t, s, admin, pythonSpec(rangeOf(20)))
	var ids []int64
	if err := s.Pool.QueryRow(t.Context(), `select array_agg(id order by id) from river_job`).Scan(&ids); err != nil || len(ids) != 4 {
		t.Fatal(ids, err)
	}
	for i, sql := range []string{
		`update river_job set scheduled_at = now() + interval '1 hour' where id = $1`,
		`update river_job set scheduled_at = now() - interval '1 hour', state = 'retryable' where id = $1`,
		`update river_job set scheduled_at = now() + interval '10 seconds', state = 'retryable' where id = $1`,
		`update river_job set scheduled_at = now() - interval '1 hour' where id = $1`,
	} {
		if _, err := s.Pool.Exec(t.Context(), sql, ids[i]); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []int64{2, 0} {
		if n, err := s.RouseTurns(t.Context(), 20*time.Second); err != nil || n != want {
			t.Errorf("%d turns were roused, want %d (%v)", n, want, err)
		}
	}
	var due int
	err := s.Pool.QueryRow(t.Context(), `select count(*) from river_job where state = 'available' and scheduled_at <= clock_timestamp()`).Scan(&due)
	if err != nil || due != 3 {
		t.Errorf("%d turns are due, want 3 (%v)", due, err)
	}
}
