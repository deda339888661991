package engine_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

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
	// The task that ran at the kill, if any, is the one that failed.
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

// TestBreakingTaskFailsAlone checks that a task that breaks its process, which ends
// only later, is found among those that ran before the end, and fails alone.
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
