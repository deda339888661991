package engine_test

import (
	"fmt"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/store"
)

// TestRollingRestart replaces each of three loaded nodes in turn, twice. No task may
// fail or use up an attempt, no lease may be lost, every outcome must be right and
// recorded once. Running tasks get the grace period; only longer ones run again.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	rounds, total := 2, int64(1000)
	if *chaosLong {
		rounds, total = 10, 15_000
	}
	url := template.New(t)
	n := webNode(t, url)
	nodes := make([]*os.Process, 3)
	for i := range nodes {
		nodes[i] = startProcess(t, url)
	}
	working := func() (living int) {
		err := n.store.Pool.QueryRow(t.Context(), `select count(*) from nodes where state = 'alive' and role = 'worker'`).Scan(&living)
		if err != nil {
			t.Fatal(err)
		}
		return living
	}
	await(t, "the nodes are up", func() bool { return working() == len(nodes) })

	dir, longDir := t.TempDir(), t.TempDir()
	big := n.submit(t, marked(dir, 20*time.Millisecond, total))
	longer := marked(longDir, 2500*time.Millisecond, 2) // than the nodes' grace
	longer.Policy.Processes = pointer(1)
	long := n.submit(t, longer)
	ended := n.submitOften(t)
	await(t, "the nodes work", func() bool { return n.succeeded(t, big) > 50 })
	for range rounds {
		for i, old := range nodes {
			if err := old.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			state, err := old.Wait()
			if err != nil || state.ExitCode() != 0 {
				t.Fatalf("the stopped node ended with %v, %v", state, err)
			}
			nodes[i] = startProcess(t, url)
			await(t, "the new node is up", func() bool { return working() == len(nodes) })
		}
	}
	small := ended()

	for _, id := range append(small, big, long) {
		if j := n.end(t, id, 5*time.Minute); j.State != jobs.Succeeded {
			t.Errorf("%s, %+v, %s", j.State, j.Counts, j.Reason)
		}
	}
	if again := n.checkMarked(t, big, dir, total); again != 0 {
		t.Errorf("%d short tasks were run again", again)
	}
	t.Logf("%d small jobs; long tasks were run again %d times", len(small), n.checkMarked(t, long, longDir, 2))
	for _, id := range small {
		for i, text := range n.outputs(t, id) {
			if text != fmt.Sprint(i*i) {
				t.Errorf("output of %d is %s", i, text)
			}
		}
	}
	n.checkUntroubled(t)
	j, err := n.store.Job(t.Context(), store.As(n.admin), long)
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(2) {
		if task, err := n.store.Task(t.Context(), j, i); err != nil || task.Attempts != 1 || len(task.Earlier) != 0 {
			t.Errorf("long task %d: %+v, %v", i, task, err)
		}
	}
}

// submitOften submits a small job every 100 ms and waits up to a second for each,
// until ended is called, which returns the jobs.
func (n *node) submitOften(t *testing.T) (ended func() []string) {
	var small []string
	stop := make(chan struct{})
	var load sync.WaitGroup
	load.Go(func() {
		for tick := time.NewTicker(100 * time.Millisecond); ; {
			select {
			case <-stop:
				tick.Stop()
				return
			case <-tick.C:
			}
			id, err := n.Submit(t.Context(), engine.SubmitRequest{User: n.admin, Spec: python("def f(x): return x * x", "f", rangeOf(20))})
			if err != nil {
				t.Error(err)
				return
			}
			small = append(small, id)
			if _, err := n.Await(t.Context(), engine.AwaitRequest{Job: id, Viewer: store.As(n.admin), AtMost: time.Second}); err != nil {
				t.Error(err)
			}
		}
	})
	return func() []string {
		close(stop)
		load.Wait()
		return small
	}
}

// checkUntroubled checks that no lease was lost, no attempt failed and no node died.
func (n *node) checkUntroubled(t *testing.T) {
	t.Helper()
	for what, sql := range map[string]string{
		"leases were lost":                    `select count(*) from chunks where state <> 'done'`,
		"leases are of a second attempt":      `select count(*) from chunks where attempt <> 1 or losses <> 0`,
		"failed attempts are kept":            `select count(*) from attempts`,
		"nodes did not stop in order":         `select count(*) from nodes where state = 'dead'`,
		"tasks wait although their job ended": `select count(*) from backlog`,
	} {
		var found int
		if err := n.store.Pool.QueryRow(t.Context(), sql).Scan(&found); err != nil || found != 0 {
			t.Errorf("%d %s (%v)", found, what, err)
		}
	}
}
