package engine_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/jobs/executor"
	pyexec "github.com/allcores/allcores/internal/jobs/executor/python"
	"github.com/allcores/allcores/internal/store"
)

// why returns why a job waits now; its kind is empty where it does not.
func (n *node) why(t testing.TB, id string) jobs.Waiting {
	t.Helper()
	j, err := n.store.Job(t.Context(), store.As(n.admin), id)
	if err != nil {
		t.Fatal(err)
	}
	w, err := n.store.Waiting(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	if w == nil {
		return jobs.Waiting{}
	}
	return *w
}

// waitsFor polls until a job waits for a kind of reason with a message that contains all
// of the given words.
func (n *node) waitsFor(t testing.TB, id string, kind jobs.WaitKind, words ...string) jobs.Waiting {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		w := n.why(t, id)
		if w.Kind == kind && !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(w.Message, word) }) {
			t.Logf("%s: %s", w.Kind, w.Message)
			return w
		}
		if time.Now().After(deadline) {
			t.Fatalf("the job waits for %+v, want %q in words like %q", w, kind, words)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// gated returns a job of n tasks that last until the file exists.
func gated(path string, n int64) jobs.Spec {
	return python(fmt.Sprintf("import os, time\ndef f(x):\n    open(%q, 'w').close()\n    while not os.path.exists(%q):\n        time.sleep(0.01)\n",
		begun(path), path), "f", rangeOf(n))
}

func begun(path string) string { return path + ".begun" }

// submitGated submits a job of gated tasks and waits until one has begun: before that,
// its lane may be preempted.
func (n *node) submitGated(t testing.TB, path string, spec jobs.Spec) string {
	t.Helper()
	id := n.submit(t, spec)
	await(t, "a task has begun", func() bool { _, err := os.Stat(begun(path)); return err == nil })
	return id
}

func openGate(t testing.TB, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWaitsForQueue(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	gate := filepath.Join(t.TempDir(), "open")
	spec := gated(gate, 10)
	spec.Policy.ChunkSize = pointer(1)
	running := n.submitGated(t, gate, spec)
	if err := n.store.PauseQueue(t.Context(), "cpu", true); err != nil {
		t.Fatal(err)
	}
	n.waitsFor(t, running, jobs.WaitQueuePaused, "cpu is paused", "still run")
	queued := n.submit(t, python("def f(x): return x", "f", rangeOf(3)))
	if w := n.waitsFor(t, queued, jobs.WaitQueuePaused); strings.Contains(w.Message, "claimed") {
		t.Errorf("no task of the job runs: %s", w.Message)
	}
	openGate(t, gate)
	if err := n.store.PauseQueue(t.Context(), "cpu", false); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{running, queued} {
		n.end(t, id, 20*time.Second)
		if w := n.why(t, id); w.Kind != "" {
			t.Errorf("a job that has ended waits for %+v", w)
		}
	}
}

// TestRetryInDeletedQueue retries an ended job whose queue was deleted. The error names
// the queue, until a queue of that name exists again.
func TestRetryInDeletedQueue(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	for _, paused := range []bool{false, true} {
		name := fmt.Sprintf("gone-%v", paused)
		n.setQueue(t, name, jobs.QueueLimits{PerCore: 1})
		spec := python("def f(x): return 1 / 0", "f", rangeOf(3))
		spec.Queue = name
		id := n.submit(t, spec)
		n.end(t, id, 20*time.Second)
		serves := func(yes bool) func() bool {
			return func() bool {
				nodes, err := n.store.Nodes(t.Context())
				return err == nil && len(nodes) == 1 && (nodes[0].Slots[name].Total > 0) == yes
			}
		}
		await(t, "the node says that it serves the queue", serves(true))
		if err := n.store.PauseQueue(t.Context(), name, paused); err != nil {
			t.Fatal(err)
		}
		await(t, "the node has heard of it", serves(!paused))
		if err := n.store.DeleteQueue(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		var deleted *store.DeletedQueueError
		if _, err := n.Retry(t.Context(), store.As(n.admin), id, nil, nil); !errors.As(err, &deleted) || deleted.Queue != name || !errors.Is(err, jobs.ErrConflict) {
			t.Errorf("paused %v: a retry in the deleted queue: %v", paused, err)
		}
		n.setQueue(t, name, jobs.QueueLimits{PerCore: 1})
		if _, err := n.Retry(t.Context(), store.As(n.admin), id, nil, nil); err != nil {
			t.Fatal(err)
		}
		if j := n.end(t, id, 20*time.Second); j.Run != 2 {
			t.Errorf("run %d", j.Run)
		}
	}
}

func TestWaitsForNode(t *testing.T) {
	t.Parallel()
	url := template.New(t)
	web := webNode(t, url)
	id := web.submit(t, python("def f(x): return x", "f", rangeOf(3)))
	web.waitsFor(t, id, jobs.WaitNoNode, "No living node")
	io := startServing(t, url, engine.Options{Queues: []string{"io"}})
	web.waitsFor(t, id, jobs.WaitNoNode, "No living node serves queue cpu", "serves io")
	low := startServing(t, url, engine.Options{Queues: []string{"cpu"}, MemoryFloor: 1})
	web.waitsFor(t, id, jobs.WaitMemory, "Memory is short on every node that serves queue cpu", "GiB free")
	if err := web.store.Drain(t.Context(), low.NodeID(), true); err != nil {
		t.Fatal(err)
	}
	web.waitsFor(t, id, jobs.WaitNoNode, "being drained")
	io.stop(t)
	startServing(t, url, engine.Options{Queues: []string{"cpu"}})
	web.end(t, id, 20*time.Second)
}

// TestWaitsForTrouble has programs whose interpreter the node lacks.
func TestWaitsForTrouble(t *testing.T) {
	t.Parallel()
	n := startServing(t, template.New(t), engine.Options{})
	spec := python("def f(x): return x", "f", rangeOf(100))
	spec.Program.Python.Interpreter = "/nowhere/python3"
	id := n.submit(t, spec)
	n.waitsFor(t, id, jobs.WaitTrouble, "/nowhere/python3")
	// At first the node postpones a turn itself, later River does.
	await(t, "the turns were tried a few times", func() bool {
		var tries int
		err := n.store.Pool.QueryRow(t.Context(), `select coalesce(min(cardinality(errors)), 0) from river_job where args->>'job' = $1`, id).Scan(&tries)
		return err == nil && tries > 1
	})
	w := n.waitsFor(t, id, jobs.WaitTrouble, "/nowhere/python3")
	if w.Until == nil {
		t.Errorf("no time of the next attempt: %+v", w)
	}
	if other := n.submit(t, python("def f(x): return x", "f", rangeOf(3))); n.end(t, other, 20*time.Second).State != jobs.Succeeded {
		t.Error("the trouble of one job is that of another")
	}
	n.cancelAll(t, id)
}

func TestWaitsForRetry(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	spec := python("def f(x):\n    if x % 5 == 0: raise RuntimeError('not yet')\n", "f", rangeOf(10))
	spec.Policy.MaxAttempts = pointer(2)
	spec.Policy.RetryBackoff = pointer(jobs.Duration("10m"))
	id := n.submit(t, spec)
	await(t, "all tasks were tried", func() bool { return n.succeeded(t, id) == 8 })
	w := n.waitsFor(t, id, jobs.WaitRetry, "2 tasks wait for their next attempt")
	if w.Until == nil || time.Until(w.Until.Time) < 7*time.Minute || time.Until(w.Until.Time) > 13*time.Minute {
		t.Errorf("the next attempt is due at %v", w.Until)
	}
	n.cancelAll(t, id)
}

func TestWaitsForItself(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	spec := python("def f(x): return x", "f", jobs.Inputs{Open: true})
	id := n.submit(t, spec)
	n.waitsFor(t, id, jobs.WaitInputs, "first input")
	inputs := func(yield func([]byte, error) bool) { _ = yield([]byte("1"), nil) && yield([]byte("2"), nil) }
	if _, _, err := n.Append(t.Context(), store.AppendRequest{Viewer: store.As(n.admin), Job: id, Values: inputs}); err != nil {
		t.Fatal(err)
	}
	await(t, "the inputs are done", func() bool { return n.succeeded(t, id) == 2 })
	n.waitsFor(t, id, jobs.WaitInputs, "All inputs so far are done")
	if _, err := n.Pause(t.Context(), store.As(n.admin), id, nil); err != nil {
		t.Fatal(err)
	}
	n.waitsFor(t, id, jobs.WaitJobPaused, "The job is paused.")
	n.cancelAll(t, id)
	if w := n.why(t, id); w.Kind != "" {
		t.Errorf("a cancelled job waits for %+v", w)
	}
}

// TestWaitsForItsLimit has a job that may have one process of two, and a queue
// that allows one.
func TestWaitsForItsLimit(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	gate := filepath.Join(t.TempDir(), "open")
	spec := gated(gate, 10)
	spec.Policy.ChunkSize = pointer(1)
	spec.Policy.Processes = pointer(1)
	id := n.submitGated(t, gate, spec)
	n.waitsFor(t, id, jobs.WaitLimit, "1 process, which is all that its policy allows", "1 slot free")

	n.setQueue(t, "narrow", jobs.QueueLimits{PerCore: 1, MaxProcesses: pointer(1)})
	other := filepath.Join(t.TempDir(), "open")
	first := gated(other, 2)
	first.Queue = "narrow"
	running := n.submitGated(t, other, first)
	second := sleeps(time.Millisecond, 3)
	second.Queue = "narrow"
	queued := n.submit(t, second)
	w := n.waitsFor(t, queued, jobs.WaitLimit, "next in line for the 1 process that queue narrow allows at once", "1 other job")
	if w.JobsBefore != 1 || w.Position != 1 {
		t.Errorf("%+v", w)
	}
	openGate(t, gate)
	openGate(t, other)
	for _, id := range []string{id, running, queued} {
		n.end(t, id, 20*time.Second)
	}
}

// TestWaitsInLine has jobs behind one that keeps the only slot with a long task.
func TestWaitsInLine(t *testing.T) {
	t.Parallel()
	n := startOn(t, template.New(t), 0)
	gate := filepath.Join(t.TempDir(), "open")
	long := n.submitGated(t, gate, gated(gate, 1))
	if w := n.why(t, long); w.Kind != "" {
		t.Errorf("a job with all its tasks claimed waits for %+v", w)
	}
	spec := sleeps(time.Millisecond, 3)
	var ids []string
	for range 5 {
		ids = append(ids, n.submit(t, spec))
	}
	spec.Priority = 1
	urgent := n.submit(t, spec)
	for _, id := range append([]string{urgent}, ids...) {
		if w := n.waitsFor(t, id, jobs.WaitBusy, "in line"); w.JobsBefore == 0 || w.Position == 0 {
			t.Errorf("%+v", w)
		}
	}
	// Up to three turns wait at the slot already; no other job is first beside them.
	last := n.waitsFor(t, ids[4], jobs.WaitBusy, "for the 1 slot of queue cpu", "6 other jobs")
	if last.JobsBefore != 6 || last.Position != 6 {
		t.Errorf("the last one: %+v", last)
	}
	// Once its task runs for longer than a quantum, its end cannot be estimated.
	await(t, "no estimate is made", func() bool { return n.why(t, ids[4]).StartsIn == nil })
	n.waitsFor(t, ids[4], jobs.WaitBusy, "not known")
	openGate(t, gate)
	for _, id := range append(ids, long, urgent) {
		n.end(t, id, 20*time.Second)
	}
}

// TestEstimateOfTheStart has a job behind others whose task times are known, and compares
// the estimate with its start.
func TestEstimateOfTheStart(t *testing.T) {
	t.Parallel()
	n := startOn(t, template.New(t), 0)
	slow := n.submit(t, sleeps(2*time.Second, 1000))
	await(t, "a task has ended", func() bool { return n.succeeded(t, slow) > 0 })
	id := n.submit(t, sleeps(time.Millisecond, 3))
	asked := time.Now()
	w := n.waitsFor(t, id, jobs.WaitBusy, "next in line", "1 other job")
	if w.StartsIn == nil || *w.StartsIn < 1 || *w.StartsIn > 10 {
		t.Fatalf("about %v s to a start behind tasks of 2 s", w.StartsIn)
	}
	n.startedAfter(t, id, 20*time.Second)
	t.Logf("started after %v, expected after %.1f s", time.Since(asked), *w.StartsIn)
	n.cancelAll(t, slow)
}

// TestSharesSlots has a job with more processes than slots alone on one slot, and then
// two long jobs share it.
func TestSharesSlots(t *testing.T) {
	t.Parallel()
	n := startOn(t, template.New(t), 0)
	alone := sleeps(20*time.Millisecond, 100_000)
	alone.Policy.Processes = pointer(3)
	a := n.submit(t, alone)
	w := n.waitsFor(t, a, jobs.WaitBusy, "has the 1 slot of queue cpu to itself", "may run in 3")
	if w.JobsBefore != 0 {
		t.Errorf("%+v", w)
	}
	b := n.submit(t, sleeps(20*time.Millisecond, 100_000))
	for range 100 {
		await(t, "both share the slot", func() bool {
			x, y := n.why(t, a), n.why(t, b)
			return x.Kind == jobs.WaitBusy && y.Kind == jobs.WaitBusy && x.JobsBefore == 1 && y.JobsBefore == 1 &&
				strings.Contains(x.Message+y.Message, "shares the 1 slot of queue cpu with 1 other job")
		})
	}
	n.cancelAll(t, a, b)
}

// TestCannotRunThere submits a job to a node without an executor for its program.
func TestCannotRunThere(t *testing.T) {
	t.Parallel()
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	py := pyexec.New(pyexec.Options{Logger: logger})
	t.Cleanup(func() { py.Close() })
	n := start(t, template.New(t), engine.Options{Executors: map[string]executor.Executor{"python": py}})
	id := n.submit(t, jobs.Spec{Program: jobs.Program{Command: &jobs.Command{Argv: []string{"true"}}}, Inputs: rangeOf(1)})
	n.waitsFor(t, id, jobs.WaitTrouble, `cannot run programs of kind "command"`)
	n.cancelAll(t, id)
}
