package engine_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/command"
	"github.com/allcores/allcores/internal/jobs/executor/executortest"
	pyexec "github.com/allcores/allcores/internal/jobs/executor/python"
)

// TestMemoryLimitFailsOneTask checks that a task that exceeds the memory limit fails
// alone, with a control group and without.
func TestMemoryLimitFailsOneTask(t *testing.T) {
	t.Parallel()
	for _, groups := range executortest.Groups(t) {
		logger := slog.New(slog.NewTextHandler(t.Output(), nil))
		py := pyexec.New(pyexec.Options{Logger: logger, Groups: groups})
		t.Cleanup(py.Close)
		n := start(t, template.New(t), engine.Options{Logger: logger, Executors: map[string]executor.Executor{
			"python": py, "command": &command.Executor{Groups: groups},
		}})
		eater := python("def f(x):\n    return len(bytearray((300 << 20) if x == 5 else 1 << 20))", "f", rangeOf(40))
		shell := jobs.Spec{
			Program: jobs.Program{Command: &jobs.Command{Argv: []string{"python3", "-c", "import sys; bytearray((300 << 20) if sys.argv[1] == '5' else 1 << 20)", "{}"}}},
			Inputs:  rangeOf(8),
		}
		for _, spec := range []jobs.Spec{eater, shell} {
			for _, threads := range []int{1, 3} {
				spec.Policy.MemoryLimit = pointer(jobs.Size("100MiB"))
				spec.Policy.Threads = pointer(threads)
				id := n.submit(t, spec)
				j := n.end(t, id, 60*time.Second)
				failed, err := n.store.FailureGroups(t.Context(), id, 10)
				if err != nil {
					t.Fatal(err)
				}
				if j.Counts.Failed != 1 || j.Counts.Succeeded != j.Counts.Total-1 || len(failed) != 1 || failed[0].FirstIndex != 5 || failed[0].Kind != jobs.KindMemory ||
					!strings.Contains(failed[0].Message, "100MiB "+executortest.Held(groups)) {
					t.Errorf("%s, %d threads: %+v, %+v", spec.Program.Kind(), threads, j.Counts, failed)
				}
			}
		}
	}
}

// TestTasksOfAKilledProcessRunAgainSoon checks that the tasks of a killed worker
// process run again within a second.
func TestTasksOfAKilledProcessRunAgainSoon(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	file := filepath.Join(t.TempDir(), "pid")
	spec := python(fmt.Sprintf(`
import os, time
def f(x):
    if x == 0:
        with open(%q, "x") as file:
            file.write(str(os.getpid()) + "\n")
        time.sleep(1000)
    return x
`, file), "f", rangeOf(30))
	spec.Policy.Processes = pointer(1)
	spec.Policy.ChunkSize = pointer(10)
	id := n.submit(t, spec)
	var pid int
	await(t, "the first task runs", func() bool {
		text, err := os.ReadFile(file)
		number, ended := strings.CutSuffix(string(text), "\n")
		pid, _ = strconv.Atoi(number)
		return err == nil && ended
	})
	began := time.Now()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	j := n.end(t, id, 30*time.Second)
	if took := time.Since(began); took > time.Second {
		t.Errorf("the others had run after %v", took)
	}
	if j.Counts.Succeeded != 29 || j.Counts.Failed != 1 {
		t.Errorf("%+v", j.Counts)
	}
}

// TestCoresPerProcess checks that a process is pinned to as many cores as its policy
// says, and that its environment names them to libraries. If the queue is not pinned
// the environment has their number alone.
func TestCoresPerProcess(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	seen := `[sorted(os.sched_getaffinity(0)), os.environ["OMP_NUM_THREADS"], os.environ.get("ALLCORES_TASK_CORES", "")]`
	var mask unix.CPUSet
	if err := unix.SchedGetaffinity(0, &mask); err != nil {
		t.Fatal(err)
	}
	var cores []string
	for core := 0; len(cores) < mask.Count(); core++ {
		if mask.IsSet(core) {
			cores = append(cores, strconv.Itoa(core))
		}
	}
	all := "[" + strings.Join(cores, ",") + "]"
	for _, test := range []struct {
		queue string
		cores int
		want  []string
	}{
		{"cpu", 1, []string{`[[0],"1","0"]`, `[[1],"1","1"]`}},
		{"cpu", 2, []string{`[[0,1],"2","0,1"]`}},
		{"io", 1, []string{`[` + all + `,"1",""]`}},
		{"io", 2, []string{`[` + all + `,"2",""]`}},
	} {
		for _, spec := range []jobs.Spec{
			python("import os\ndef f(x): return "+seen, "f", rangeOf(2)),
			{
				Program: jobs.Program{Command: &jobs.Command{
					Argv:   []string{"python3", "-c", "import json, os; print(json.dumps(" + seen + ", separators=(',', ':')))", "{}"},
					Output: jobs.OutputJSON,
				}},
				Inputs: rangeOf(2),
			},
		} {
			spec.Queue = test.queue
			spec.Policy.CoresPerProcess = pointer(test.cores)
			id := n.submit(t, spec)
			n.end(t, id, 30*time.Second)
			for _, got := range n.outputs(t, id) {
				if !strings.Contains(strings.Join(test.want, " "), got) {
					t.Errorf("%s in %s with %d cores: %s, want %s", spec.Program.Kind(), test.queue, test.cores, got, test.want)
				}
			}
		}
	}
}
