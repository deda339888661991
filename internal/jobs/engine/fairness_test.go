package engine_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/jobs/executor"
	pyexec "github.com/allcores/allcores/internal/jobs/executor/python"
	"github.com/allcores/allcores/internal/store"
)

// startOn is startReal with other cores.
func startOn(t testing.TB, url string, cores ...int) *node {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	py := pyexec.New(pyexec.Options{Logger: logger})
	t.Cleanup(func() { py.Close() })
	return start(t, url, engine.Options{Logger: logger, Cores: cores, Executors: map[string]executor.Executor{"python": py}, Checks: engine.Checks{Python: py.Check}})
}

// sleeps returns a job of n tasks that sleep.
func sleeps(nap time.Duration, n int64) jobs.Spec {
	return python(fmt.Sprintf("import time\ndef f(x):\n    time.sleep(%v)\n", nap.Seconds()), "f", rangeOf(n))
}

// A lease is a row of chunks.
type lease struct {
	Job            string
	Leased         time.Time
	Finished       *time.Time
	Count, Attempt int
	First          int64
	State          string
}

// leases reads the chunks of all jobs in the order of their claims.
func (n *node) leases(t testing.TB) []lease {
	t.Helper()
	rows, err := n.store.Pool.Query(t.Context(), `select job_id::text, leased_at, finished_at, count, attempt, first, state from chunks order by id`)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[lease])
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// cancelAll cancels the jobs that still run, so that the node stops at once.
func (n *node) cancelAll(t testing.TB, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if _, err := n.Cancel(t.Context(), store.As(n.admin), id, nil); err != nil {
			t.Error(err)
		}
	}
}

// startedAfter returns how long a job waited for its first task to start.
func (n *node) startedAfter(t testing.TB, id string, atMost time.Duration) time.Duration {
	t.Helper()
	deadline := time.Now().Add(atMost)
	for {
		j, err := n.store.Job(t.Context(), store.As(n.admin), id)
		if err != nil {
			t.Fatal(err)
		}
		if j.StartedAt != nil {
			return j.StartedAt.Sub(j.CreatedAt.Time)
		}
		if time.Now().After(deadline) {
			t.Fatalf("the job has not started within %v: %+v", atMost, j)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// stretched returns a promised time for the present load of the machine: as many times
// longer as a busy loop takes than its CPU time.
func stretched(t testing.TB, promised time.Duration) time.Duration {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const thread = 1 // RUSAGE_THREAD
	var usage syscall.Rusage
	spent := func() time.Duration {
		if err := syscall.Getrusage(thread, &usage); err != nil {
			t.Fatal(err)
		}
		return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	began, before := time.Now(), spent()
	for spent()-before < 50*time.Millisecond {
	}
	crowding := max(float64(time.Since(began))/float64(spent()-before), 1)
	if crowding > 1.5 {
		t.Logf("the cores are crowded: %.1f times", crowding)
	}
	return time.Duration(float64(promised) * crowding)
}

// TestTenUsersBehindAMillionTasks submits ten users' small jobs behind a job
// that keeps every core busy for long. Each must start within two seconds.
func TestTenUsersBehindAMillionTasks(t *testing.T) {
	// Not parallel: it measures time.
	n := startReal(t, template.New(t))
	big := n.submit(t, python("def f(x):\n    n = 0\n    for i in range(1000):\n        n += i * x\n    return n\n", "f", rangeOf(1_000_000)))
	await(t, "the big job runs", func() bool { return n.succeeded(t, big) > 5000 })
	var all sync.WaitGroup
	ids := make([]string, 10)
	for i := range ids {
		user := &jobs.User{ID: store.NewID(), Name: fmt.Sprintf("user %d", i), Role: jobs.Submitter}
		if _, err := n.store.Pool.Exec(t.Context(), `insert into users (id, name, role) values ($1, $2, $3)`, user.ID, user.Name, user.Role); err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			id, err := n.Submit(t.Context(), engine.SubmitRequest{User: user, Spec: python(fmt.Sprintf("def f(x):\n    return x + %d\n", i), "f", rangeOf(20))})
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = id
		})
	}
	all.Wait()
	var waits, ends []time.Duration
	for _, id := range ids {
		j := n.end(t, id, 20*time.Second)
		if j.State != jobs.Succeeded {
			t.Errorf("%+v", j)
		}
		waits = append(waits, j.StartedAt.Sub(j.CreatedAt.Time).Round(time.Millisecond))
		ends = append(ends, j.FinishedAt.Sub(j.CreatedAt.Time).Round(time.Millisecond))
	}
	slices.Sort(waits)
	slices.Sort(ends)
	t.Logf("started after %v", waits)
	t.Logf("ended after %v", ends)
	if slowest, most := waits[len(waits)-1], stretched(t, 2*time.Second); slowest > most {
		t.Errorf("one job started after %v, want at most %v", slowest, most)
	}
	before := n.succeeded(t, big)
	await(t, "the big job goes on", func() bool { return n.succeeded(t, big) > before })
	if j, err := n.store.Job(t.Context(), store.As(n.admin), big); err != nil || j.State.Ended() {
		t.Errorf("the big job was too short to be in the way: %+v, %v", j, err)
	}
	n.cancelAll(t, big)
}

// TestPrioritiesActInOrder has jobs of every priority wait for the one slot.
func TestPrioritiesActInOrder(t *testing.T) {
	t.Parallel()
	n := startOn(t, template.New(t), 0)
	gate := t.TempDir()
	blocker := python(fmt.Sprintf(`
import os, time
def f(x):
    open(os.path.join(%q, "in"), "w").close()
    while not os.path.exists(os.path.join(%q, "open")):
        time.sleep(0.01)
`, gate, gate), "f", rangeOf(1))
	blocker.Priority = 1
	first := n.submit(t, blocker)
	await(t, "the slot is taken", func() bool {
		_, err := os.Stat(filepath.Join(gate, "in"))
		return err == nil
	})
	priority := make(map[string]int)
	for _, p := range []int{4, 3, 2, 1, 3, 1, 4, 2} {
		spec := sleeps(10*time.Millisecond, 5)
		spec.Priority = p
		priority[n.submit(t, spec)] = p
	}
	// The turns fetched first wait at the slot until their patience is over, and more
	// urgent ones are fetched then.
	await(t, "the most urgent stand at the slot", func() bool {
		var waiting int
		err := n.store.Pool.QueryRow(t.Context(), `
			select count(*) from river_job where state = 'running' and priority = 1 and args->>'job' <> $1`, first).Scan(&waiting)
		return err == nil && waiting == 2
	})
	if err := os.WriteFile(filepath.Join(gate, "open"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for id := range priority {
		n.end(t, id, 30*time.Second)
	}
	var order []int
	seen := make(map[string]bool)
	for _, l := range n.leases(t) {
		if p := priority[l.Job]; p > 0 && !seen[l.Job] {
			seen[l.Job] = true
			order = append(order, p)
		}
	}
	if !slices.IsSorted(order) || len(order) != len(priority) {
		t.Errorf("jobs started in the order of priorities %v", order)
	}
}

// TestRoundRobinWithinAPriority has three long jobs share one slot. None may wait
// longer than the others' quanta, and all must progress alike.
func TestRoundRobinWithinAPriority(t *testing.T) {
	t.Parallel()
	n := startOn(t, template.New(t), 0)
	const total = 80
	var ids []string
	for range 3 {
		ids = append(ids, n.submit(t, sleeps(25*time.Millisecond, total)))
	}
	var last *jobs.Job
	for _, id := range ids {
		if j := n.end(t, id, 60*time.Second); last == nil || j.FinishedAt.Before(last.FinishedAt.Time) {
			last = j
		}
	}
	firstEnd := last.FinishedAt.Time
	done := make(map[string]int)
	idle := make(map[string]time.Duration)
	latest := make(map[string]time.Time)
	streaks, before := make(map[string]int), ""
	for _, l := range n.leases(t) {
		if l.Job != before {
			streaks[l.Job]++
			before = l.Job
		}
		if at, ok := latest[l.Job]; ok {
			idle[l.Job] = max(idle[l.Job], l.Leased.Sub(at))
		}
		latest[l.Job] = *l.Finished
		if !l.Finished.After(firstEnd) {
			done[l.Job] += l.Count
		}
	}
	t.Logf("turns %v, longest waits %v, tasks done when the first job ended %v", streaks, idle, done)
	for _, id := range ids {
		if streaks[id] < 2 {
			t.Errorf("a job had %d turn", streaks[id])
		}
		if idle[id] > 4*time.Second && idle[id] > stretched(t, 4*time.Second) {
			t.Errorf("a job waited for %v between two turns", idle[id])
		}
		if done[id] < total/3 {
			t.Errorf("when the first job ended, another had done %d of %d tasks", done[id], total)
		}
	}
}

// TestWideAndNarrowJobsDoNotStarve has jobs that need all cores for each process behind
// jobs that need one core, and the other way round. None of them ends by itself.
func TestWideAndNarrowJobsDoNotStarve(t *testing.T) {
	t.Parallel()
	naps := map[string]time.Duration{"long tasks": 1200 * time.Millisecond} // longer than a turn waits for a slot
	if *chaosLong {
		naps["short tasks"] = 20 * time.Millisecond
	}
	for name, nap := range naps {
		for _, wide := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, wide %v", name, wide), func(t *testing.T) {
				t.Parallel()
				n := startOn(t, template.New(t), 0, 1)
				spec := func(wide bool, nap time.Duration, tasks int64) jobs.Spec {
					spec := sleeps(nap, tasks)
					if wide {
						spec.Policy.CoresPerProcess = pointer(2)
					}
					return spec
				}
				var crowd []string
				for range 3 {
					crowd = append(crowd, n.submit(t, spec(!wide, nap, 1_000_000)))
				}
				for _, id := range crowd {
					n.startedAfter(t, id, 20*time.Second)
				}
				late := n.submit(t, spec(wide, 20*time.Millisecond, 3))
				t.Logf("started after %v", n.startedAfter(t, late, 30*time.Second))
				n.end(t, late, 30*time.Second)
				n.cancelAll(t, crowd...)
			})
		}
	}
}

// TestNewcomersDoNotStarveOthers has a job whose program loads slowly progress while
// new jobs keep coming, each of which may preempt its lanes.
func TestNewcomersDoNotStarveOthers(t *testing.T) {
	t.Parallel()
	n := startOn(t, template.New(t), 0, 1)
	big := n.submit(t, python("import time\ntime.sleep(0.5)\ndef f(x):\n    time.sleep(0.01)\n", "f", rangeOf(1_000_000)))
	came := 0
	for began := time.Now(); n.succeeded(t, big) < 50; came++ {
		if time.Since(began) > 30*time.Second {
			t.Errorf("%d tasks of the big job were done beside %d newcomers", n.succeeded(t, big), came)
			break
		}
		n.end(t, n.submit(t, python(fmt.Sprintf("def f(x): return x + %d", came), "f", rangeOf(1))), 30*time.Second)
		pause(t.Context(), 50*time.Millisecond)
	}
	t.Logf("50 tasks of the big job were done beside %d newcomers", came)
	n.cancelAll(t, big)
}
