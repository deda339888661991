package store_test

import (
	"testing"
	"time"

	"github.com/allcores/allcores/internal/store"
)

func TestForgetNodes(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	const busy, gone, late = "0192f0c8-0000-7000-8000-000000000011", "0192f0c8-0000-7000-8000-000000000012", "0192f0c8-0000-7000-8000-000000000013"
	for _, id := range []string{node, busy, gone, late} {
		register(t, s, id)
	}
	job := insert(t, s, admin, pythonSpec(rangeOf(10)))
	if c, err := s.Claim(t.Context(), store.Claim{Job: job, Node: busy, Want: 5, First: true, Ranged: true}); err != nil || c.Lease == nil {
		t.Fatal(c, err)
	}
	exec(t, s, `update nodes set state = 'dead', heartbeat_at = now() - interval '2 hours' where id in ($1, $2)`, busy, gone)
	exec(t, s, `update nodes set state = 'stopped', heartbeat_at = now() - interval '30 minutes' where id = $1`, late)
	if n, err := s.ForgetNodes(t.Context(), time.Hour, 10); err != nil || n != 1 {
		t.Errorf("%d nodes are forgotten, %v", n, err)
	}
	var left int
	if err := s.Pool.QueryRow(t.Context(), `select count(*) from nodes where id <> $1`, gone).Scan(&left); err != nil || left != 3 {
		t.Errorf("%d are left, %v", left, err)
	}
}
