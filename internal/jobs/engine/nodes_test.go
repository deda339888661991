package engine_test

import (
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/store"
)

// startProcess starts a node in its own process, which the test may kill or stop.
func startProcess(t *testing.T, url string, env ...string) *os.Process {
	t.Helper()
	cmd := osexec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), nodeURL+"="+url), env...)
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGCONT) // it may have ended before
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process
}

// webNode starts a node that only submits and reads.
func webNode(t *testing.T, url string) *node {
	return start(t, url, engine.Options{Role: engine.RoleWeb})
}

// marked returns a job whose tasks leave a mark in files below dir each time they run.
func marked(dir string, pause time.Duration, n int64) jobs.Spec {
	return python(fmt.Sprintf(`
import os, time
def f(x):
    with open(os.path.join(%q, "%%d" %% x), "a") as file:
        file.write("%%d\n" %% os.getpid())
    time.sleep(%v)
    return x * x
`, dir, pause.Seconds()), "f", rangeOf(n))
}

// checkMarked checks that every task of a job made by marked ran and has the right
// outcome once. It returns how often tasks ran again.
func (n *node) checkMarked(t *testing.T, id, dir string, total int64) (again int) {
	t.Helper()
	for i, text := range n.outputs(t, id) {
		if text != strconv.Itoa(i*i) {
			t.Errorf("output of %d is %s", i, text)
		}
	}
	var recorded int64
	err := n.store.Pool.QueryRow(t.Context(), `select sum(count) from outcomes where job_id = $1`, id).Scan(&recorded)
	if err != nil || recorded != total {
		t.Errorf("%d outcomes are recorded, want %d (%v)", recorded, total, err)
	}
	for i := range total {
		text, err := os.ReadFile(filepath.Join(dir, strconv.FormatInt(i, 10)))
		runs := strings.Count(string(text), "\n")
		if err != nil || runs < 1 {
			t.Errorf("task %d was never run (%v)", i, err)
		}
		again += runs - 1
	}
	return again
}

func (n *node) succeeded(t *testing.T, id string) int64 {
	t.Helper()
	j, err := n.store.Job(t.Context(), store.As(n.admin), id)
	if err != nil {
		t.Fatal(err)
	}
	if c := j.Counts; c.Waiting+c.Running+c.Done() != c.Total || c.Waiting < 0 {
		t.Errorf("counts do not add up: %+v", c)
	}
	return j.Counts.Succeeded
}

func TestKilledNode(t *testing.T) {
	t.Parallel()
	url, dir := template.New(t), t.TempDir()
	n := webNode(t, url)
	first := startProcess(t, url)
	const total = 2000
	id := n.submit(t, marked(dir, 5*time.Millisecond, total))
	await(t, "the first node works", func() bool { return n.succeeded(t, id) > 200 })
	startProcess(t, url)
	if err := first.Kill(); err != nil {
		t.Fatal(err)
	}
	j := n.end(t, id, 60*time.Second)
	if j.State != jobs.Succeeded {
		t.Errorf("%+v", j)
	}
	if again := n.checkMarked(t, id, dir, total); again > 400 {
		t.Errorf("%d tasks were run again", again)
	}
}

func TestRestartedServerGoesOnAtOnce(t *testing.T) {
	t.Parallel()
	url, dir := template.New(t), t.TempDir()
	n := webNode(t, url)
	first := startProcess(t, url)
	const total = 1000
	id := n.submit(t, marked(dir, 5*time.Millisecond, total))
	await(t, "the first node works", func() bool { return n.succeeded(t, id) > 100 })
	if err := first.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Wait(); err != nil {
		t.Fatal(err)
	}
	before := n.succeeded(t, id)
	began := time.Now()
	startProcess(t, url)
	await(t, "the second node works", func() bool { return n.succeeded(t, id) > before })
	// The lease of a process that is known to be gone is not waited for.
	if took := time.Since(began); took > store.NodeLease-time.Second {
		t.Errorf("the work was taken up after %v", took)
	}
	if j := n.end(t, id, 60*time.Second); j.State != jobs.Succeeded {
		t.Errorf("%+v", j)
	}
	n.checkMarked(t, id, dir, total)
}

func TestStoppedNodeRecordsNothingLate(t *testing.T) {
	t.Parallel()
	url, dir := template.New(t), t.TempDir()
	n := webNode(t, url)
	first := startProcess(t, url)
	const total = 1500
	id := n.submit(t, marked(dir, 5*time.Millisecond, total))
	await(t, "the first node works", func() bool { return n.succeeded(t, id) > 100 })
	if err := first.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var node string
	await(t, "its lease runs out", func() bool {
		err := n.store.Pool.QueryRow(t.Context(), `select id from nodes where state = 'dead'`).Scan(&node)
		return err == nil
	})
	startProcess(t, url)
	if j := n.end(t, id, 60*time.Second); j.State != jobs.Succeeded {
		t.Errorf("%+v", j)
	}
	var before int64
	count := `select count(*) from chunks where node_id = $1 and state = 'done'`
	if err := n.store.Pool.QueryRow(t.Context(), count, node).Scan(&before); err != nil {
		t.Fatal(err)
	}
	if err := first.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	await(t, "it comes back", func() bool {
		var state string
		err := n.store.Pool.QueryRow(t.Context(), `select state from nodes where id = $1`, node).Scan(&state)
		return err == nil && state == "alive"
	})
	var after int64
	if err := n.store.Pool.QueryRow(t.Context(), count, node).Scan(&after); err != nil || after != before {
		t.Errorf("it recorded %d chunks late (%v)", after-before, err)
	}
	n.checkMarked(t, id, dir, total)
	// Both nodes can run another job.
	if j := n.end(t, n.submit(t, python("def f(x): return x", "f", rangeOf(100))), 30*time.Second); j.State != jobs.Succeeded {
		t.Errorf("afterwards: %+v", j)
	}
}

func TestDrainGivesBackWhatIsUnfinished(t *testing.T) {
	t.Parallel()
	url, dir := template.New(t), t.TempDir()
	n := webNode(t, url)
	first := startProcess(t, url)
	const total = 1000
	id := n.submit(t, marked(dir, 5*time.Millisecond, total))
	await(t, "the first node works", func() bool { return n.succeeded(t, id) > 100 })
	if err := first.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	state, err := first.Wait()
	if err != nil || state.ExitCode() != 0 {
		t.Fatalf("the drained node ended with %v, %v", state, err)
	}
	j, err := n.store.Job(t.Context(), store.As(n.admin), id)
	if err != nil || j.Counts.Running != 0 || j.State.Ended() {
		t.Errorf("after the drain: %+v, %v", j, err)
	}
	startProcess(t, url)
	if j := n.end(t, id, 60*time.Second); j.State != jobs.Succeeded {
		t.Errorf("%+v", j)
	}
	if again := n.checkMarked(t, id, dir, total); again != 0 {
		t.Errorf("%d tasks were run again", again)
	}
}

func TestDatabaseKilledUnderLoad(t *testing.T) {
	t.Parallel()
	url, postmaster := ownPostgres(t)
	dir := t.TempDir()
	n := startReal(t, url)
	const total = 1500
	id := n.submit(t, marked(dir, 5*time.Millisecond, total))
	await(t, "tasks succeed", func() bool { return n.succeeded(t, id) > 100 })
	if err := syscall.Kill(postmaster(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if j := n.end(t, id, 60*time.Second); j.State != jobs.Succeeded {
		t.Errorf("%+v", j)
	}
	n.checkMarked(t, id, dir, total)
}

// TestPoisonTaskFailsAlone has a task that kills its whole node each time.
func TestPoisonTaskFailsAlone(t *testing.T) {
	t.Parallel()
	url := template.New(t)
	n := webNode(t, url)
	const total, poison = 64, 23
	id := n.submit(t, python(fmt.Sprintf(`
import os, signal
def f(x):
    if x == %d:
        os.kill(os.getppid(), signal.SIGKILL)
        signal.pause()
    return x * x
`, poison), "f", rangeOf(total)))
	deaths := 0
	for ended := false; !ended; deaths++ {
		if deaths > 30 {
			t.Fatal("the poison is not found")
		}
		node := startProcess(t, url)
		gone := make(chan struct{})
		go func() { _, _ = node.Wait(); close(gone) }() // the cleanup waits again and gets an error
		await(t, "the node dies or the job ends", func() bool {
			select {
			case <-gone:
				return true
			default:
			}
			j, err := n.store.Job(t.Context(), store.As(n.admin), id)
			ended = err == nil && j.State.Ended()
			return ended
		})
	}
	j := n.end(t, id, time.Second)
	if j.State != jobs.Failed || j.Counts.Failed != 1 || j.Counts.Succeeded != total-1 {
		t.Errorf("%+v", j)
	}
	task, err := n.store.Task(t.Context(), j, poison)
	if err != nil || task.Error == nil || task.Error.Kind != jobs.KindLost {
		t.Errorf("the poison: %+v, %v", task, err)
	}
	t.Logf("found after %d deaths", deaths-1)
}
