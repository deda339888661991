package command_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/command"
	"github.com/allcores/allcores/internal/jobs/executor/executortest"
)

func TestTimeout(t *testing.T) {
	t.Parallel()
	for i, script := range []string{
		"trap '' TERM; sleep 100",
		"trap '' TERM; while :; do :; done",
		"trap '' TERM; setsid sleep 100",
		// In another session, ignoring signals, and without the command's files.
		"setsid sh -c \"trap '' TERM; exec sleep 100\" <&- >&- 2>&- & sleep 100",
	} {
		l := lane("sh", "-c", `echo before; if [ "$1" = 1 ]; then `+script+"; fi", "sh", "{}")
		l.Job = fmt.Sprintf("timeout-%d-%d", os.Getpid(), i)
		l.Timeout = 500 * time.Millisecond
		r := must(t, l, executortest.Numbers(1, 0, 3))
		if e := r.Failed[1]; len(r.Failed) != 1 || e.Kind != jobs.KindTimeout || e.Output != "before\n" || e.Message != "still running after 500ms" {
			t.Errorf("%s: %+v", script, r.Failed)
		}
		if d := r.Spent[1]; d < 500*time.Millisecond || d > 1500*time.Millisecond {
			t.Errorf("%s: it ran for %v", script, d)
		}
		if left := ofJob(l.Job); len(left) > 0 {
			t.Errorf("%s: left are %q", script, left)
		}
	}
}

// ofJob lists the environ files of processes that work for a job.
func ofJob(job string) []string {
	var found []string
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil && strings.Contains(string(data), "ALLCORES_JOB="+job+"\x00") {
			found = append(found, file)
		}
	}
	return found
}

func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	for _, groups := range executortest.Groups(t) {
		e := &command.Executor{Groups: groups}
		l := lane("python3", "-c", "import sys; x = bytearray(int(sys.argv[1]) << 20)", "{}")
		l.MemoryLimit = 100 << 20
		r, err := executortest.Run(t, e, l, executortest.Values(1, 0, "1", "300", "2"))
		if err != nil {
			t.Fatal(err)
		}
		if e := r.Failed[1]; len(r.Failed) != 1 || len(r.Outputs) != 2 || e.Kind != jobs.KindMemory || !strings.Contains(e.Message, "the memory limit of 100MiB "+executortest.Held(groups)) {
			t.Errorf("%v, %+v", r.Outputs, r.Failed)
		}
	}
}

// TestMemoryLimitOfChildren checks that every process that a command starts counts,
// in every session, and that all of them end.
func TestMemoryLimitOfChildren(t *testing.T) {
	t.Parallel()
	groups := executortest.Groups(t)[0]
	if groups == nil {
		return // each process has the limit by itself
	}
	e := &command.Executor{Groups: groups}
	for _, script := range []string{
		`head -c "$1"M /dev/zero | tail -c "$1"M > /dev/null; echo went on`,
		`setsid sh -c 'head -c "$1"M /dev/zero | tail -c "$1"M > /dev/null' sh "$1"; echo went on`,
		// None of them alone reaches the limit.
		`for i in 1 2 3 4; do (head -c "$1"M /dev/zero | tail -c $(($1 / 4))M; sleep 1) > /dev/null & done; wait; echo went on`,
	} {
		l := lane("sh", "-c", script, "sh", "{}")
		l.MemoryLimit = 60 << 20
		r, err := executortest.Run(t, e, l, executortest.Values(1, 0, "4", "200", "4"))
		if err != nil {
			t.Fatal(err)
		}
		if e := r.Failed[1]; len(r.Failed) != 1 || len(r.Outputs) != 2 || e.Kind != jobs.KindMemory || e.Type != "SIGKILL" {
			t.Errorf("%s: %v, %+v", script, r.Outputs, r.Failed)
		}
	}
	// A process killed for another reason has not reached the limit.
	l := lane("sh", "-c", "kill -KILL $$")
	l.MemoryLimit = 60 << 20
	r, err := executortest.Run(t, e, l, executortest.Numbers(1, 0, 1))
	if err != nil || r.Failed[0].Kind != jobs.KindCrash {
		t.Errorf("%+v, %v", r.Failed, err)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := lane("sh", "-c", fmt.Sprintf("trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$ > %s/session; sleep 1000' & sleep 1000", dir))
	b := executortest.Begin(t, &command.Executor{}, l)
	b.Give(executortest.Numbers(1, 0, 10))
	b.Give(executortest.Numbers(2, 10, 10))
	var pid string
	executortest.Eventually(t, "it runs", func() bool {
		data, _ := os.ReadFile(filepath.Join(dir, "session"))
		pid = strings.TrimSpace(string(data))
		return pid != ""
	})
	began := time.Now()
	b.Cancel()
	if err := b.Wait(); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	executortest.Eventually(t, "it is gone", func() bool {
		cmdline, err := os.ReadFile("/proc/" + pid + "/cmdline")
		return err != nil || len(cmdline) == 0
	})
	if d := time.Since(began); d > 2*time.Second || d < executor.KillGrace/2 {
		t.Errorf("it took %v", d)
	}
	if len(b.Back) != 20 {
		t.Errorf("back: %v", b.Back)
	}
}

// TestCancelIsGentle checks that a command has time to handle SIGTERM.
func TestCancelIsGentle(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "said")
	b := executortest.Begin(t, &command.Executor{}, lane("sh", "-c", fmt.Sprintf("trap 'sleep 0.2; echo bye > %s; exit' TERM; echo ready >&2; while :; do sleep 0.01; done", file)))
	b.Give(executortest.Numbers(1, 0, 1))
	b.Await("it is ready", func() bool { return len(b.Logs) > 0 })
	b.Cancel()
	b.Wait()
	if data, _ := os.ReadFile(file); string(data) != "bye\n" {
		t.Errorf("it said %q", data)
	}
}

func TestBudgetAndHalt(t *testing.T) {
	t.Parallel()
	l := lane("sleep", "0.3")
	l.Program.Command.Argv = []string{"sh", "-c", "sleep 0.3", "{}"}
	halt := make(chan struct{})
	l.Halt = halt
	b := executortest.Begin(t, &command.Executor{}, l)
	c := executortest.Numbers(1, 0, 10)
	c.Budget = 20 * time.Millisecond
	b.Give(c)
	b.Give(executortest.Numbers(2, 100, 10))
	b.Await("the tail and the chunk that waits are back", func() bool { return b.Back[1] && b.Back[9] && b.Back[100] && len(b.Outputs) == 0 })
	b.Await("the first task is done", func() bool { return len(b.Outputs) == 1 })
	b.Give(executortest.Numbers(3, 200, 10))
	close(halt)
	b.Await("the rest is back", func() bool { return b.Back[209] })
	b.Give(executortest.Numbers(4, 300, 10))
	if err := b.End(); err != nil {
		t.Fatal(err)
	}
	if !b.Back[300] || len(b.Failed) > 0 {
		t.Errorf("back %v, failed %v", b.Back, b.Failed)
	}
}

func TestFailureLimit(t *testing.T) {
	t.Parallel()
	c := executortest.Numbers(1, 0, 100)
	c.Failures = 2
	if r := must(t, lane("false", "{}"), c); len(r.Failed) != 3 {
		t.Errorf("%d failures", len(r.Failed))
	}
}

func TestPinned(t *testing.T) {
	t.Parallel()
	l := lane("python3", "-c", "import os; print(sorted(os.sched_getaffinity(0)))", "{}")
	l.Program.Command.Output = jobs.OutputJSON
	var all []int
	if r := must(t, l, executortest.Numbers(1, 0, 1)); json.Unmarshal([]byte(r.Outputs[0]), &all) != nil {
		t.Fatalf("%v %v", r.Outputs, r.Failed)
	}
	for _, cores := range [][]int{all[:1], all[len(all)-1:], all[:min(2, len(all))]} {
		l := lane("python3", "-c", "import os; print(sorted(os.sched_getaffinity(0)), os.environ['ALLCORES_TASK_CORES'], os.environ['OMP_NUM_THREADS'])", "{}")
		l.Cores, l.CoreCount = cores, len(cores)
		numbers := strings.Trim(fmt.Sprint(cores), "[]")
		want := fmt.Sprintf("\"[%s] %s %d\"", strings.ReplaceAll(numbers, " ", ", "), strings.ReplaceAll(numbers, " ", ","), len(cores))
		if r := must(t, l, executortest.Numbers(1, 0, 1)); r.Outputs[0] != want {
			t.Errorf("pinned to %v: %v %v, want %s", cores, r.Outputs, r.Failed, want)
		}
	}
}
