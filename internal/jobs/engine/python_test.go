package engine_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/store"
)

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

// TestRetryLoadsTheModuleAnew checks that a retried job, and another one of the same
// program, find the module in the state right after its source ran, even in the same
// process.
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
	// Each of the two processes may have started one more before it was halted.
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

// TestSkewedTasksAreBalanced checks that long tasks at the end are spread over the
// cores: no core idles for longer than a few of them take.
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
		t.Errorf("%d lanes; one ended %v before the other", len(ends), tail)
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

// TestMaxTasksPerProcess checks that no process of a job starts more tasks than the
// policy allows, and that a command ignores that.
func TestMaxTasksPerProcess(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	for _, most := range []int{1, 7} {
		spec := python("import os\ndef f(x):\n    return os.getpid()\n", "f", rangeOf(30))
		spec.Policy.MaxTasksPerProcess, spec.Policy.Processes = &most, pointer(2)
		id := n.submit(t, spec)
		if j := n.end(t, id, 30*time.Second); j.State != jobs.Succeeded {
			t.Fatalf("%s %q", j.State, j.Reason)
		}
		tasks := map[string]int{}
		for _, pid := range n.outputs(t, id) {
			tasks[pid]++
		}
		for pid, ran := range tasks {
			if ran > most {
				t.Errorf("process %s ran %d tasks, at most %d may be", pid, ran, most)
			}
		}
		// A lane leaves at most one process before it is used up.
		if least := 30 / most; len(tasks) < least || len(tasks) > least+4 {
			t.Errorf("%d processes ran 30 tasks, %d each", len(tasks), most)
		}
	}
	id := n.submit(t, jobs.Spec{Program: jobs.Program{Command: &jobs.Command{Argv: []string{"true", "{}"}}}, Inputs: rangeOf(5), Policy: jobs.Policy{MaxTasksPerProcess: pointer(2)}})
	if j := n.end(t, id, 30*time.Second); j.State != jobs.Succeeded || j.Counts.Succeeded != 5 {
		t.Errorf("a command: %s %+v", j.State, j.Counts)
	}
}
