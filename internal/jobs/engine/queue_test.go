package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/jobs/executor"
	pyexec "github.com/allcores/allcores/internal/jobs/executor/python"
	"github.com/allcores/allcores/internal/store"
)

// startServing is startReal for a node that serves only some queues, or has a memory
// floor.
func startServing(t testing.TB, url string, o engine.Options) *node {
	t.Helper()
	o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	py := pyexec.New(pyexec.Options{Logger: o.Logger})
	t.Cleanup(func() { py.Close() })
	o.Executors = map[string]executor.Executor{"python": py}
	return start(t, url, o)
}

func (n *node) setQueue(t *testing.T, name string, l jobs.QueueLimits) {
	t.Helper()
	if _, err := n.store.SetQueue(t.Context(), name, l); err != nil {
		t.Fatal(err)
	}
}

// witness returns a job whose tasks record in dir when and where they ran: lines with
// start and end in seconds, and the cores that they may run on.
func witness(dir, queue string, n int64) jobs.Spec {
	spec := python(fmt.Sprintf(`
import os, time
def f(x):
    begin = time.monotonic()
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    time.sleep(0.03)
    with open(os.path.join(%q, str(os.getpid())), "a") as file:
        file.write("%%.6f %%.6f %%s\n" %% (begin, time.monotonic(), ",".join(map(str, cores))))
`, dir), "f", rangeOf(n))
	spec.Queue = queue
	spec.Policy.ChunkSize = pointer(1)
	return spec
}

// A sighting is one task as it recorded itself.
type sighting struct {
	begin, end float64 // seconds on the machine's monotonic clock
	cores      string
}

func sightings(t *testing.T, dir string) (all []sighting) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) < 3 {
				continue // it is being written
			}
			var s sighting
			s.begin, _ = strconv.ParseFloat(fields[0], 64)
			s.end, _ = strconv.ParseFloat(fields[1], 64)
			s.cores = fields[2]
			all = append(all, s)
		}
	}
	return all
}

// atOnce returns the greatest number of tasks that ran at once, of those that began
// after a given time.
func atOnce(all []sighting, after float64) int {
	type event struct {
		at float64
		n  int
	}
	var events []event
	for _, s := range all {
		if s.begin >= after {
			events = append(events, event{s.begin, 1}, event{s.end, -1})
		}
	}
	slices.SortFunc(events, func(a, b event) int {
		if a.at != b.at {
			if a.at < b.at {
				return -1
			}
			return 1
		}
		return a.n - b.n
	})
	most, now := 0, 0
	for _, e := range events {
		now += e.n
		most = max(most, now)
	}
	return most
}

// TestLimitsWhileTheyChange changes a queue's limit while its tasks run, and
// checks from inside the tasks how many run at once and where.
func TestLimitsWhileTheyChange(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	n.setQueue(t, "own", jobs.QueueLimits{PerCore: 1, Pinned: true})
	dir := t.TempDir()
	id := n.submit(t, witness(dir, "own", 100_000))
	await(t, "tasks run", func() bool { return len(sightings(t, dir)) > 0 })
	slots := func() jobs.SlotUse {
		nodes, err := n.store.Nodes(t.Context())
		if err != nil || len(nodes) != 1 {
			t.Fatal(nodes, err)
		}
		return nodes[0].Slots["own"]
	}
	for _, step := range []struct {
		limits jobs.QueueLimits
		slots  int
	}{
		{jobs.QueueLimits{PerCore: 1, Pinned: true}, 2},
		{jobs.QueueLimits{PerCore: 3, Pinned: false}, 6},
		{jobs.QueueLimits{PerCore: 0.5, Pinned: true}, 1},
		{jobs.QueueLimits{PerCore: 2, Pinned: false, MaxProcesses: pointer(3)}, 3},
		{jobs.QueueLimits{PerCore: 1, Pinned: true}, 2},
	} {
		n.setQueue(t, "own", step.limits)
		changed := time.Now()
		await(t, fmt.Sprintf("%+v is in force", step.limits), func() bool { use := slots(); return use.Used == step.slots && use.Total == step.slots })
		if took := time.Since(changed); took > 5*time.Second {
			t.Errorf("%+v was in force after %v", step.limits, took)
		}
		seen := sightings(t, dir)
		last := slices.MaxFunc(seen, func(a, b sighting) int { return int(a.begin*1e6) - int(b.begin*1e6) })
		await(t, "tasks run", func() bool { return len(sightings(t, dir)) > len(seen)+20*step.slots })
		var after []sighting
		for _, s := range sightings(t, dir) {
			if s.begin > last.end+0.1 {
				after = append(after, s)
			}
		}
		if most := atOnce(after, 0); most != step.slots {
			t.Errorf("%+v: %d tasks ran at once, want %d", step.limits, most, step.slots)
		}
		if runtime.GOOS != "linux" {
			continue
		}
		for _, s := range after {
			if pinned := !strings.Contains(s.cores, ","); pinned != step.limits.Pinned && runtime.NumCPU() > 1 {
				t.Errorf("%+v: a task ran on cores %s", step.limits, s.cores)
				break
			}
		}
	}
	j, err := n.Cancel(t.Context(), store.As(n.admin), id, nil)
	if err != nil || j.Counts.Failed > 0 {
		t.Errorf("%+v, %v", j, err)
	}
	var again int
	if err := n.store.Pool.QueryRow(t.Context(), `select count(*) from chunks where job_id = $1 and (attempt > 1 or losses > 0 or state = 'lost')`, id).Scan(&again); err != nil || again > 0 {
		t.Errorf("%d chunks were lost or tried again (%v)", again, err)
	}
}

func TestPausedQueueStartsNothing(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	id := n.submit(t, python("import time\ndef f(x): time.sleep(0.05)", "f", rangeOf(100)))
	await(t, "tasks succeed", func() bool { return n.succeeded(t, id) > 2 })
	if err := n.store.PauseQueue(t.Context(), "cpu", true); err != nil {
		t.Fatal(err)
	}
	await(t, "running tasks are done", func() bool { return n.turns(t, id, "running") == 0 })
	done := n.succeeded(t, id)
	late := n.submit(t, python("def f(x): return x", "f", rangeOf(3)))
	other := python("def f(x): return x", "f", rangeOf(3))
	other.Queue = "io"
	if j := n.end(t, n.submit(t, other), 20*time.Second); j.State != jobs.Succeeded {
		t.Errorf("another queue's job: %+v", j)
	}
	if now := n.succeeded(t, id) + n.succeeded(t, late); now != done {
		t.Errorf("%d tasks succeeded while the queue was paused", now-done)
	}
	if err := n.store.PauseQueue(t.Context(), "cpu", false); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{id, late} {
		if j := n.end(t, id, 30*time.Second); j.State != jobs.Succeeded {
			t.Errorf("%+v", j)
		}
	}
}

// TestLongTaskOutlivesAChangeOfItsQueue replaces River's fetching of a queue while a
// task of it runs.
func TestLongTaskOutlivesAChangeOfItsQueue(t *testing.T) {
	t.Parallel()
	url := template.New(t)
	n := startReal(t, url)
	web := webNode(t, url)
	gate := filepath.Join(t.TempDir(), "open")
	spec := python(fmt.Sprintf("import os, time\ndef f(x):\n    while not os.path.exists(%q):\n        time.sleep(0.01)\n    return x\n", gate), "f", rangeOf(1))
	id := web.submit(t, spec) // so that River fetches its turns
	await(t, "the task runs", func() bool {
		j, err := n.store.Job(t.Context(), store.As(n.admin), id)
		return err == nil && j.Counts.Running == 1
	})
	n.setQueue(t, "cpu", jobs.QueueLimits{PerCore: 2, Pinned: true})
	if j := n.end(t, web.submit(t, python("def f(x): return x", "f", rangeOf(50))), 20*time.Second); j.State != jobs.Succeeded {
		t.Errorf("a job beside it: %+v", j)
	}
	if running := n.turns(t, id, "running"); running != 1 {
		t.Errorf("%d turns run, want 1", running)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if j := n.end(t, id, 20*time.Second); j.State != jobs.Succeeded {
		t.Errorf("%+v", j)
	}
	await(t, "its turn is over", func() bool { return n.turns(t, id, "running") == 0 })
	var chunks int
	if err := n.store.Pool.QueryRow(t.Context(), `select count(*) from chunks where job_id = $1`, id).Scan(&chunks); err != nil || chunks != 1 {
		t.Errorf("%d leases for one task (%v)", chunks, err)
	}
}

func TestDrainedNodeTakesNothing(t *testing.T) {
	t.Parallel()
	url := template.New(t)
	n, other := startReal(t, url), startReal(t, url)
	id := n.submit(t, python("import time\ndef f(x): time.sleep(0.02)", "f", rangeOf(300)))
	if err := n.store.Drain(t.Context(), n.NodeID(), true); err != nil {
		t.Fatal(err)
	}
	leased := func(node string) (count int) {
		if err := n.store.Pool.QueryRow(context.Background(), `select count(*) from chunks where node_id = $1 and state = 'leased'`, node).Scan(&count); err != nil {
			t.Fatal(err)
		}
		return count
	}
	await(t, "the drained node runs nothing and the other works", func() bool {
		return leased(n.NodeID()) == 0 && leased(other.NodeID()) > 0
	})
	var before int
	if err := n.store.Pool.QueryRow(t.Context(), `select count(*) from chunks where node_id = $1`, n.NodeID()).Scan(&before); err != nil {
		t.Fatal(err)
	}
	if j := n.end(t, id, 30*time.Second); j.State != jobs.Succeeded {
		t.Errorf("%+v", j)
	}
	var after int
	if err := n.store.Pool.QueryRow(t.Context(), `select count(*) from chunks where node_id = $1`, n.NodeID()).Scan(&after); err != nil || after != before {
		t.Errorf("the drained node claimed %d chunks (%v)", after-before, err)
	}
	other.stop(t)
	waiting := n.submit(t, python("def f(x): return x", "f", rangeOf(3)))
	if err := n.store.Drain(t.Context(), n.NodeID(), false); err != nil {
		t.Fatal(err)
	}
	if j := n.end(t, waiting, 30*time.Second); j.State != jobs.Succeeded {
		t.Errorf("after resuming: %+v", j)
	}
}

func TestNodeServesOnlyItsQueues(t *testing.T) {
	t.Parallel()
	url := template.New(t)
	n := startServing(t, url, engine.Options{Queues: []string{"io"}})
	cpu := n.submit(t, python("def f(x): return x", "f", rangeOf(3)))
	spec := python("def f(x): return x", "f", rangeOf(3))
	spec.Queue = "io"
	if j := n.end(t, n.submit(t, spec), 20*time.Second); j.State != jobs.Succeeded {
		t.Errorf("%+v", j)
	}
	if j, err := n.store.Job(t.Context(), store.As(n.admin), cpu); err != nil || j.State != jobs.Queued {
		t.Errorf("a job of a queue that no node serves: %+v, %v", j, err)
	}
	startServing(t, url, engine.Options{Queues: []string{"cpu"}})
	if j := n.end(t, cpu, 20*time.Second); j.State != jobs.Succeeded {
		t.Errorf("%+v", j)
	}
}

func TestDeletedQueue(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	n.setQueue(t, "short-lived", jobs.QueueLimits{PerCore: 1})
	spec := python("def f(x): return x", "f", rangeOf(3))
	spec.Queue = "short-lived"
	id := n.submit(t, spec)
	if j := n.end(t, id, 20*time.Second); j.State != jobs.Succeeded {
		t.Errorf("%+v", j)
	}
	if err := n.store.DeleteQueue(t.Context(), "short-lived"); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Submit(t.Context(), engine.SubmitRequest{User: n.admin, Spec: spec}); err == nil || !strings.Contains(err.Error(), "queue") {
		t.Errorf("submitting to a deleted queue: %v", err)
	}
	if j, err := n.store.Job(t.Context(), store.As(n.admin), id); err != nil || j.Queue != "short-lived" {
		t.Errorf("the job that has ended: %+v, %v", j, err)
	}
	n.setQueue(t, "short-lived", jobs.QueueLimits{PerCore: 1})
	if j := n.end(t, n.submit(t, spec), 20*time.Second); j.State != jobs.Succeeded {
		t.Errorf("after it was added again: %+v", j)
	}
}

// TestMemoryFloor has a floor that is above any machine's free memory.
func TestMemoryFloor(t *testing.T) {
	t.Parallel()
	n := startServing(t, template.New(t), engine.Options{MemoryFloor: 1})
	await(t, "the node says that its memory is low", func() bool {
		nodes, err := n.store.Nodes(t.Context())
		return err == nil && len(nodes) == 1 && nodes[0].LowMemory && nodes[0].Slots["cpu"].Total == 0
	})
	id := n.submit(t, python("def f(x): return x", "f", rangeOf(3)))
	other := startReal(t, n.store.Pool.Config().ConnString())
	if j := n.end(t, id, 20*time.Second); j.State != jobs.Succeeded {
		t.Errorf("%+v", j)
	}
	var claimed string
	if err := n.store.Pool.QueryRow(t.Context(), `select string_agg(distinct node_id::text, ' ') from chunks where job_id = $1`, id).Scan(&claimed); err != nil || claimed != other.NodeID() {
		t.Errorf("nodes %s ran the job (%v)", claimed, err)
	}
}
