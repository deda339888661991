package engine_test

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

func numbers(from, to int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for i := from; i < to; i++ {
			if !yield([]byte(strconv.Itoa(i)), nil) {
				return
			}
		}
	}
}

func TestOpenJob(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	v := store.As(n.admin)
	id := n.submit(t, python("def f(x): return x * x", "f", jobs.Inputs{Open: true}))
	if first, count, err := n.Append(t.Context(), store.AppendRequest{Viewer: v, Job: id, Values: numbers(0, 5000)}); err != nil || first != 0 || count != 5000 {
		t.Fatal(first, count, err)
	}
	await(t, "the first tasks run while the job is open", func() bool { return n.succeeded(t, id) == 5000 })
	bad := errors.New("line 3 is bad")
	_, _, err := n.Append(t.Context(), store.AppendRequest{Viewer: v, Job: id, Seal: true, Values: func(yield func([]byte, error) bool) {
		for i := range 3 {
			if !yield([]byte("0"), map[int]error{2: bad}[i]) {
				return
			}
		}
	}})
	if !errors.Is(err, bad) {
		t.Errorf("a bad line gave %v", err)
	}
	j, err := n.store.Job(t.Context(), v, id)
	if err != nil || j.State != jobs.Open || j.Counts.Total != 5000 || !j.Inputs.Open {
		t.Errorf("after a bad request: %+v, %v", j, err)
	}
	if first, count, err := n.Append(t.Context(), store.AppendRequest{Viewer: v, Job: id, Values: numbers(5000, 10_000), Seal: true}); err != nil || first != 5000 || count != 5000 {
		t.Fatal(first, count, err)
	}
	if j := n.end(t, id, 30*time.Second); j.State != jobs.Succeeded || j.Counts.Total != 10_000 {
		t.Errorf("%+v", j)
	}
	for i, text := range n.outputs(t, id) {
		if text != strconv.Itoa(i*i) {
			t.Fatalf("output of %d is %s", i, text)
		}
	}
	if _, _, err := n.Append(t.Context(), store.AppendRequest{Viewer: v, Job: id, Values: numbers(0, 1)}); !errors.Is(err, jobs.ErrConflict) {
		t.Errorf("appending to an ended job: %v", err)
	}
}

func TestSealedWithoutInputs(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	id := n.submit(t, python("def f(x): return x", "f", jobs.Inputs{Open: true}))
	if j, err := n.Seal(t.Context(), store.As(n.admin), id, nil); err != nil || j.State != jobs.Succeeded {
		t.Errorf("%+v, %v", j, err)
	}
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	v := store.As(n.admin)
	id := n.submit(t, python("import time\ndef f(x):\n    time.sleep(0.01)\n", "f", rangeOf(300)))
	await(t, "tasks succeed", func() bool { return n.succeeded(t, id) > 10 })
	j, err := n.Pause(t.Context(), v, id, nil)
	if err != nil || j.State != jobs.Paused {
		t.Fatalf("%+v, %v", j, err)
	}
	var paused *jobs.Job
	await(t, "running tasks finish", func() bool {
		paused, err = n.store.Job(t.Context(), v, id)
		return err == nil && paused.Counts.Running == 0
	})
	if paused.State != jobs.Paused || paused.Counts.Waiting == 0 {
		t.Fatalf("%+v", paused)
	}
	if _, err := n.Pause(t.Context(), v, id, nil); err != nil {
		t.Errorf("paused again: %v", err)
	}
	// Another job uses the cores meanwhile, and nothing of the paused one starts.
	n.end(t, n.submit(t, python("def f(x): return x", "f", rangeOf(10))), 30*time.Second)
	if got := n.succeeded(t, id); got != paused.Counts.Succeeded {
		t.Errorf("%d tasks ended while paused", got-paused.Counts.Succeeded)
	}
	if j, err := n.Resume(t.Context(), v, id, nil); err != nil || j.State != jobs.Running {
		t.Errorf("%+v, %v", j, err)
	}
	if j := n.end(t, id, 30*time.Second); j.State != jobs.Succeeded {
		t.Errorf("%+v", j)
	}
	if _, err := n.Pause(t.Context(), v, id, nil); !errors.Is(err, jobs.ErrConflict) {
		t.Errorf("pausing an ended job: %v", err)
	}
}

func TestRetryRunsOnlyWhatDidNotSucceed(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	v := store.As(n.admin)
	dir := t.TempDir()
	spec := python(fmt.Sprintf(`
import os
def f(x):
    with open(os.path.join(%q, str(x)), "a") as file:
        file.write("x")
    if x %% 10 == 3 and not os.path.exists(os.path.join(%q, "mended")):
        raise ValueError(x)
    return x
`, dir, dir), "f", rangeOf(1000))
	spec.Policy.MaxFailures = pointer(jobs.FailureLimit("20"))
	id := n.submit(t, spec)
	j := n.end(t, id, 30*time.Second)
	if j.State != jobs.Failed || j.Counts.Cancelled == 0 {
		t.Fatalf("%+v", j)
	}
	if err := os.WriteFile(filepath.Join(dir, "mended"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Retry(t.Context(), v, id, nil, nil); err != nil {
		t.Fatal(err)
	}
	if j := n.end(t, id, 30*time.Second); j.State != jobs.Succeeded || j.Counts.Succeeded != 1000 || j.Counts.Failed != 0 || j.Reason != "" {
		t.Fatalf("%+v", j)
	}
	twice := 0
	for i, text := range n.outputs(t, id) {
		ran, err := os.ReadFile(filepath.Join(dir, strconv.Itoa(i)))
		if text != strconv.Itoa(i) || err != nil || len(ran) > 2 || len(ran) == 2 && i%10 != 3 {
			t.Errorf("task %d gave %s and ran %d times (%v)", i, text, len(ran), err)
		}
		twice += len(ran) - 1
	}
	if int64(twice) != j.Counts.Failed {
		t.Errorf("%d tasks ran twice, but %d had failed", twice, j.Counts.Failed)
	}
	if groups, err := n.store.FailureGroups(t.Context(), id, 10); err != nil || len(groups) != 0 {
		t.Errorf("failures are still listed: %v, %v", groups, err)
	}
	if _, err := n.Retry(t.Context(), v, id, nil, nil); !errors.Is(err, jobs.ErrConflict) {
		t.Errorf("retrying a job that succeeded: %v", err)
	}
}

func TestTimelineShowsWhereTasksRan(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	id := n.submit(t, python("def f(x): return x", "f", rangeOf(10_000)))
	n.end(t, id, 30*time.Second)
	bars, err := n.store.Bars(t.Context(), id, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	tasks := 0
	for _, b := range bars {
		tasks += b.Count
		if b.NodeID != n.NodeID() || b.Core == nil || b.FinishedAt == nil || b.FinishedAt.Before(b.StartedAt.Time) || b.State != "done" {
			t.Errorf("%+v", b)
		}
	}
	if tasks != 10_000 {
		t.Errorf("the bars have %d tasks", tasks)
	}
}
