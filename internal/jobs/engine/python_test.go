package engine_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/command"
	pyexec "github.com/allcores/allcores/internal/jobs/executor/python"
	"github.com/allcores/allcores/internal/store"
)

// startReal brings up a node with the executors that users get.
func startReal(t testing.TB, url string) *node {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	py := pyexec.New(pyexec.Options{Logger: logger})
	t.Cleanup(func() { py.Close() })
	return start(t, url, engine.Options{
		Logger:    logger,
		Executors: map[string]executor.Executor{"python": py, "command": &command.Executor{}},
		Checks:    engine.Checks{Python: py.Check, Command: new(command.Executor).Check},
	})
}

func pointer[T any](v T) *T { return &v }

// runs reports whether a process lives: one that is dead but not yet reaped by
// its parent does not.
func runs(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, _ := strings.Cut(string(stat), ") ")
	return err != nil || !strings.HasPrefix(state, "Z")
}

// await polls until the condition holds.
func await(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestPythonMillion(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	id := n.submit(t, python("def f(x): return x*x", "f", rangeOf(1_000_000)))
	j := n.end(t, id, 60*time.Second)
	if j.State != jobs.Succeeded || j.Counts.Succeeded != 1_000_000 || j.CPUSeconds == 0 || j.Rate == 0 {
		t.Errorf("%+v", j)
	}
	all := n.outputs(t, id)
	if len(all) != 1_000_000 {
		t.Fatalf("%d outputs", len(all))
	}
	for i, text := range all {
		if text != strconv.Itoa(i*i) {
			t.Fatalf("output of %d is %s", i, text)
		}
	}
}

func TestFailuresStayAlone(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	id := n.submit(t, python(`
def f(x):
    if x % 100 == 7:
        raise ValueError("bad luck")
    if x == 50:
        return float("nan")
    return x
`, "f", rangeOf(1000)))
	j := n.end(t, id, 60*time.Second)
	if j.State != jobs.Failed || j.Counts.Failed != 11 || j.Counts.Succeeded != 989 || j.Reason != "11 of 1000 tasks failed" {
		t.Errorf("%+v", j)
	}
	for i, text := range n.outputs(t, id) {
		bad := i%100 == 7 || i == 50
		if bad != strings.HasPrefix(text, "!") || !bad && text != strconv.Itoa(i) {
			t.Errorf("task %d: %s", i, text)
		}
	}
	groups, err := n.store.FailureGroups(t.Context(), id, 10)
	if err != nil || len(groups) != 2 || groups[0].Count != 10 || groups[0].FirstIndex != 7 || groups[0].Type != "ValueError" ||
		groups[0].Message != "bad luck" || !strings.Contains(groups[0].Example.Traceback, "raise ValueError") {
		t.Errorf("groups %+v, %v", groups, err)
	}
}

func TestRetriesUntilAttemptsAreUsedUp(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	dir := t.TempDir()
	spec := python(fmt.Sprintf(`
import os
def f(x):
    # Every third task fails at first, every ninth each time.
    path = os.path.join(%q, str(x))
    with open(path, "a") as file:
        file.write("x")
    if x %% 9 == 0 or x %% 3 == 0 and os.path.getsize(path) < 2:
        raise RuntimeError("try again")
    return x
`, dir), "f", rangeOf(90))
	spec.Policy.MaxAttempts = pointer(3)
	spec.Policy.RetryBackoff = pointer(jobs.Duration("10ms"))
	id := n.submit(t, spec)
	j := n.end(t, id, 60*time.Second)
	if j.Counts.Failed != 10 || j.Counts.Succeeded != 80 {
		t.Errorf("%+v", j.Counts)
	}
	for i := range 90 {
		want := 1
		switch {
		case i%9 == 0:
			want = 3
		case i%3 == 0:
			want = 2
		}
		info, err := os.Stat(filepath.Join(dir, strconv.Itoa(i)))
		if err != nil || info.Size() != int64(want) {
			t.Errorf("task %d ran %d times, want %d (%v)", i, info.Size(), want, err)
		}
	}
	task, err := n.store.Task(t.Context(), j, 9)
	if err != nil || task.Attempts != 3 || task.State != jobs.TaskFailed {
		t.Errorf("task 9: %+v, %v", task, err)
	}
	if len(task.Earlier) != 2 {
		t.Fatalf("earlier attempts: %+v", task.Earlier)
	}
	last := j.StartedAt.Time
	for i, a := range append(task.Earlier, jobs.Attempt{Attempt: 3, Error: task.Error, StartedAt: task.StartedAt, DurationMS: task.DurationMS, Node: task.Node, NodeID: task.NodeID}) {
		if a.Attempt != i+1 || a.Error.Message != "try again" || a.Error.Traceback == "" || a.NodeID != task.NodeID || a.Node == "" {
			t.Errorf("attempt %d: %+v", i+1, a)
		}
		if a.StartedAt == nil || a.StartedAt.Before(last) || a.StartedAt.After(j.FinishedAt.Time) || a.DurationMS == nil || *a.DurationMS <= 0 || *a.DurationMS > 10_000 {
			t.Fatalf("attempt %d began at %v, after %v, and took %v ms", i+1, a.StartedAt, last, a.DurationMS)
		}
		last = a.StartedAt.Add(time.Duration(*a.DurationMS * float64(time.Millisecond)))
	}
}

// A job that is retried, and another one of the same program, find the module as it
// is when the source has just been run, though the process may be the same.
func TestRetryLoadsTheModuleAnew(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	spec := python("seen = []\ndef f(x):\n    seen.append(x)\n    if x == 2:\n        raise ValueError(len(seen))\n    return len(seen)\n", "f", rangeOf(3))
	spec.Policy.Processes = pointer(1)
	for range 2 {
		id := n.submit(t, spec)
		n.end(t, id, 60*time.Second)
		for _, want := range []string{"3", "1"} {
			groups, err := n.store.FailureGroups(t.Context(), id, 10)
			if err != nil || len(groups) != 1 || groups[0].Message != want {
				t.Errorf("it failed with %+v, want %s tasks seen (%v)", groups, want, err)
			}
			if want == "3" {
				if _, err := n.Retry(t.Context(), store.As(n.admin), id, nil, nil); err != nil {
					t.Fatal(err)
				}
				n.end(t, id, 60*time.Second)
			}
		}
	}
}

func TestMaxFailuresStopsTheJob(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	spec := python("def f(x):\n    if x >= 100: raise ValueError(x)\n", "f", rangeOf(1_000_000))
	spec.Policy.MaxFailures = pointer(jobs.FailureLimit("5"))
	j := n.end(t, n.submit(t, spec), 60*time.Second)
	// Each of the two processes may have started one more before it heard.
	if j.State != jobs.Failed || j.Counts.Failed < 6 || j.Counts.Failed > 12 || j.Counts.Cancelled < 999_000 || !strings.Contains(j.Reason, "max_failures") {
		t.Errorf("%+v", j)
	}
}

func TestProgramThatCannotBeLoaded(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	j := n.end(t, n.submit(t, python("import no_such_module_at_all\ndef f(x): return x\n", "f", rangeOf(1000))), 60*time.Second)
	if j.State != jobs.Failed || j.Counts.Failed != 1 || j.Counts.Cancelled != 999 || !strings.Contains(j.Reason, "no_such_module_at_all") {
		t.Errorf("%+v", j)
	}
}

func TestSourceIsCompiledAtSubmit(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	for source, want := range map[string]string{
		"def f(x):\n    return x +\n": "program.python.source",
		"def g(x):\n    return x\n":   "program.python.function",
	} {
		_, err := n.Submit(t.Context(), engine.SubmitRequest{User: n.admin, Spec: python(source, "f", rangeOf(1))})
		found, ok := errors.AsType[jobs.Invalid](err)
		if !ok || len(found) != 1 || found[0].Location != want {
			t.Errorf("%q: %v", source, err)
		}
	}
}

func TestCrashIsBlamedOnOneTask(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	j := n.end(t, n.submit(t, python(`
import os, signal
def f(x):
    if x == 500:
        os.kill(os.getpid(), signal.SIGSEGV)
    if x == 900:
        os._exit(3)
    return x
`, "f", rangeOf(2000))), 60*time.Second)
	if j.State != jobs.Failed || j.Counts.Failed != 2 || j.Counts.Succeeded != 1998 {
		t.Errorf("%+v", j)
	}
	for index, want := range map[int64]string{500: "SIGSEGV", 900: "exit 3"} {
		task, err := n.store.Task(t.Context(), j, index)
		if err != nil || task.Error == nil || task.Error.Kind != jobs.KindCrash || !strings.Contains(task.Error.Type+task.Error.Message, want) {
			t.Errorf("task %d: %+v, %v", index, task.Error, err)
		}
	}
}

func TestKilledProcess(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	pids := filepath.Join(t.TempDir(), "pids")
	id := n.submit(t, python(fmt.Sprintf(`
import os, time
with open(%q, "a") as file:
    file.write("%%d\n" %% os.getpid())
def f(x):
    time.sleep(0.005)
    return x
`, pids), "f", rangeOf(400)))
	await(t, "tasks succeed", func() bool {
		j, err := n.store.Job(t.Context(), store.As(n.admin), id)
		return err == nil && j.Counts.Succeeded > 50
	})
	text, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.Fields(string(text))[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	j := n.end(t, id, 60*time.Second)
	// The task in hand at the kill, if there was one, is the one that failed.
	if j.Counts.Failed > 1 || j.Counts.Succeeded+j.Counts.Failed != 400 {
		t.Errorf("%+v", j.Counts)
	}
}

func TestCancelEndsGrandchildren(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	dir := t.TempDir()
	id := n.submit(t, jobs.Spec{
		Program: jobs.Program{Command: &jobs.Command{Argv: []string{"sh", "-c",
			`trap "" TERM; sh -c 'trap "" TERM; echo $$ > "$0/grandchild-$1"; while :; do sleep 0.1; done' "$0" "$1" & echo $$ > "$0/child-$1"; wait; sleep 100`, dir, "{}"}}},
		Inputs: rangeOf(100),
	})
	var pids []int
	await(t, "two commands run", func() bool {
		pids = nil
		files, err := filepath.Glob(filepath.Join(dir, "*child-*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if pid, bad := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && bad == nil {
				pids = append(pids, pid)
			}
		}
		return len(pids) == 4
	})
	began := time.Now()
	j, err := n.Cancel(t.Context(), store.As(n.admin), id, nil)
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); j.State != jobs.Cancelled || took > 2*time.Second || j.Counts.Cancelled != 100 {
		t.Errorf("cancelled after %v: %+v", took, j)
	}
	for _, pid := range pids {
		if runs(pid) {
			t.Errorf("process %d is still there", pid)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 4 {
		t.Errorf("%d files, so more than two commands ran (%v)", len(entries), err)
	}
}

// Of long tasks that come last each core has its share: at the end none waits for
// another longer than a few of them take.
func TestSkewedTasksAreBalanced(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	const short, long = 270, 30
	id := n.submit(t, python(`
import time
def f(x):
    time.sleep(0.002 if x < 270 else 0.1)
    return x
`, "f", rangeOf(short+long)))
	j := n.end(t, id, 60*time.Second)
	ideal := (short*2*time.Millisecond + long*100*time.Millisecond) / 2
	took := j.Elapsed(time.Now())
	t.Logf("took %v, ideal %v", took, ideal)
	if j.State != jobs.Succeeded || took > ideal*3/2 {
		t.Errorf("took %v, ideal %v: %+v", took, ideal, j.Counts)
	}
	bars, err := n.store.Bars(t.Context(), id, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	ends := make(map[int]time.Time)
	for _, b := range bars {
		if b.FinishedAt != nil && b.FinishedAt.After(ends[b.Lane]) {
			ends[b.Lane] = b.FinishedAt.Time
		}
	}
	if tail := ends[0].Sub(ends[1]).Abs(); len(ends) != 2 || tail > 300*time.Millisecond {
		t.Errorf("%d lanes, of which one ended %v before the other", len(ends), tail)
		for _, b := range bars {
			t.Logf("%+v", b)
		}
	}
}

func TestManySmallJobsShareTheCores(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	big := n.submit(t, python("import time\ndef f(x):\n    time.sleep(0.01)\n", "f", rangeOf(100_000)))
	await(t, "the big job runs", func() bool {
		j, err := n.store.Job(t.Context(), store.As(n.admin), big)
		return err == nil && j.Counts.Succeeded > 0
	})
	began := time.Now()
	var small []string
	for range 4 {
		small = append(small, n.submit(t, python("def f(x): return x", "f", rangeOf(10))))
	}
	for _, id := range small {
		if j := n.end(t, id, 30*time.Second); j.State != jobs.Succeeded {
			t.Errorf("%+v", j)
		}
	}
	t.Logf("four small jobs took %v behind a big one", time.Since(began))
	if _, err := n.Cancel(t.Context(), store.As(n.admin), big, nil); err != nil {
		t.Fatal(err)
	}
}

func TestLogsAreKeptByTask(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	id := n.submit(t, python(`
import sys, subprocess
def f(x):
    print("hello", x)
    print("oops", file=sys.stderr)
    subprocess.run(["echo", "from a child", str(x)])
    return x
`, "f", rangeOf(5)))
	j := n.end(t, id, 60*time.Second)
	for i := range int64(5) {
		task, err := n.store.Task(t.Context(), j, i)
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[string]bool)
		for _, l := range task.Logs {
			got[l.Stream+": "+l.Line] = true
		}
		for _, want := range []string{fmt.Sprintf("stdout: hello %d", i), "stderr: oops", fmt.Sprintf("stdout: from a child %d", i)} {
			if !got[want] || len(got) != 3 {
				t.Errorf("task %d printed %v, want %q", i, got, want)
			}
		}
	}
}

// A task that breaks its process for all others, which ends only later, is found
// among those that ran before the end, and fails alone.
func TestBreakingTaskFailsAlone(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	const total, bad = 2000, 700
	for _, define := range []string{"def", "async def"} {
		id := n.submit(t, python(fmt.Sprintf(`
import os
%s f(x):
    if x == %d: os.closerange(3, 100)
    return x * x
`, define, bad), "f", rangeOf(total)))
		j := n.end(t, id, 60*time.Second)
		if j.State != jobs.Failed || j.Counts.Failed != 1 || j.Counts.Succeeded != total-1 {
			t.Errorf("%s: %+v", define, j)
		}
		task, err := n.store.Task(t.Context(), j, bad)
		if err != nil || task.Error == nil || task.Error.Kind != jobs.KindCrash || len(task.Earlier) != 2 {
			t.Errorf("%s: %+v, %v", define, task, err)
		}
		t.Logf("%s: %v", define, j.Elapsed(time.Now()))
	}
}
