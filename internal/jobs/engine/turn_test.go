package engine_test

import (
	"context"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// turns counts the River jobs of a job in a state.
func (n *node) turns(t *testing.T, id, state string) (count int) {
	t.Helper()
	err := n.store.Pool.QueryRow(context.Background(), `
		select count(*) from river_job where args->>'job' = $1 and state::text = $2`, id, state).Scan(&count)
	if err != nil {
		t.Fatal(err)
	}
	return count
}

func TestTurnsBeginWithTheirInsertionWhereSlotsAreFree(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	id := n.submit(t, python("import time\ndef f(x): time.sleep(0.2)", "f", rangeOf(2)))
	j, err := n.store.Job(t.Context(), store.As(n.admin), id)
	if err != nil || j.State != jobs.Running || j.Counts.Running != 2 || j.StartedAt == nil {
		t.Fatalf("just submitted: %+v, %v", j, err)
	}
	// Both in one transaction, by the clock at its beginning and in its course.
	if gap := n.leases(t)[0].Leased.Sub(j.StartedAt.Time); gap < -time.Millisecond || gap > time.Second {
		t.Errorf("the first lease is of %v after the start", gap)
	}
	if running := n.turns(t, id, "running"); running != 2 {
		t.Errorf("%d turns run", running)
	}
	n.end(t, id, 30*time.Second)
	await(t, "the turns are over", func() bool { return n.turns(t, id, "completed") == 2 })
}

func TestTurnsBeyondTheFreeSlotsWait(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	spec := python("import time\ndef f(x): time.sleep(0.05)", "f", rangeOf(20))
	spec.Policy.Processes = pointer(5)
	id := n.submit(t, spec)
	if running := n.turns(t, id, "running"); running < 2 {
		t.Errorf("%d turns run", running)
	}
	if j := n.end(t, id, 30*time.Second); j.State != jobs.Succeeded {
		t.Errorf("%+v", j)
	}
}

func TestStopGivesBackWhatBeganWithItsInsertion(t *testing.T) {
	t.Parallel()
	url := template.New(t)
	n := startReal(t, url)
	watcher := webNode(t, url)
	id := n.submit(t, python("import time\ndef f(x): time.sleep(60)", "f", rangeOf(2)))
	n.stop(t)
	j, err := watcher.store.Job(t.Context(), store.As(watcher.admin), id)
	if err != nil || j.Counts.Waiting != 2 {
		t.Errorf("after the stop: %+v, %v", j, err)
	}
	if running, waiting := watcher.turns(t, id, "running"), watcher.turns(t, id, "available"); running != 0 || waiting != 2 {
		t.Errorf("%d turns run and %d wait, want 0 and 2", running, waiting)
	}
}

// TestNewcomerGetsACore submits one task behind a job whose chunks would keep
// every core for half a minute each.
func TestNewcomerGetsACore(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	big := python("import time\ndef f(x): time.sleep(0.02)", "f", rangeOf(100_000))
	big.Policy.ChunkSize = pointer(1500)
	bigID := n.submit(t, big)
	await(t, "the big job works", func() bool {
		j, err := n.store.Job(t.Context(), store.As(n.admin), bigID)
		return err == nil && j.Counts.Running >= 3000
	})
	id := n.submit(t, python("def f(x): return x", "f", rangeOf(1)))
	if j := n.end(t, id, 10*time.Second); j.State != jobs.Succeeded {
		t.Errorf("%+v", j)
	}
	await(t, "the big job has both cores again", func() bool { return n.turns(t, bigID, "running") == 2 })
	if _, err := n.Cancel(t.Context(), store.As(n.admin), bigID, nil); err != nil {
		t.Error(err)
	}
}
