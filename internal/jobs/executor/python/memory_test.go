package python_test

import (
	"bytes"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/cgroup"
	"github.com/allcores/allcores/internal/jobs/executor/executortest"
	"github.com/allcores/allcores/internal/jobs/executor/python"
)

const limit = 100 << 20

// limited runs tasks 0 to 19 of the source under the limit, and reruns those given
// back, as the engine does. Suspects run alone.
func limited(t *testing.T, groups *cgroup.Tree, threads int, source string) *executortest.Record {
	t.Helper()
	e := python.New(python.Options{Groups: groups})
	defer e.Close()
	l := lane(source)
	l.MemoryLimit, l.Threads = limit, threads
	all := executortest.NewRecord(t)
	for todo := []executor.Chunk{executortest.Numbers(1, 0, 20)}; len(todo) > 0; {
		r, err := executortest.Run(t, e, l, todo...)
		if err != nil {
			t.Fatal(err)
		}
		todo = nil
		for task := range int64(20) {
			if e, failed := r.Failed[task]; failed {
				all.Failed[task] = e
			} else if output, ok := r.Outputs[task]; ok {
				all.Outputs[task] = output
			} else if r.Back[task] || r.Suspects[task] || r.Lost[task] {
				todo = append(todo, executortest.Numbers(task+1, task, 1))
			}
		}
	}
	return all
}

// TestMemoryLimit checks that a task that exceeds the limit fails alone. Its message
// has the limit and what it applies to.
func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	for _, groups := range executortest.Groups(t) {
		for _, threads := range []int{1, 3} {
			r := limited(t, groups, threads, "def f(x):\n    return len(bytearray(300 << 20 if x == 5 else 10))")
			e := r.Failed[5]
			if len(r.Failed) != 1 || len(r.Outputs) != 19 || e.Kind != jobs.KindMemory || !strings.Contains(e.Message, "the memory limit of 100MiB "+executortest.Held(groups)) {
				t.Errorf("%d threads: %v, %+v", threads, r.Outputs, r.Failed)
			}
		}
	}
}

// TestMemoryLimitOfChildren checks that processes that a task starts count in a
// control group.
func TestMemoryLimitOfChildren(t *testing.T) {
	t.Parallel()
	groups := executortest.Groups(t)[0]
	if groups == nil {
		return // each process has the limit by itself
	}
	for _, start := range []string{
		"subprocess.run([sys.executable, '-c', 'bytearray(300 << 20)'], check=True)",
		"subprocess.run([sys.executable, '-c', 'bytearray(300 << 20)'], start_new_session=True)",
		"[p.wait() for p in [subprocess.Popen([sys.executable, '-c', 'import time; b = bytearray(40 << 20); time.sleep(1)']) for i in range(4)]]",
		"os.fork() or bytearray(300 << 20); os.wait()",
	} {
		r := limited(t, groups, 1, "import os, subprocess, sys\ndef f(x):\n    if x == 5:\n        "+start+"\n    return x")
		e := r.Failed[5]
		if len(r.Failed) != 1 || len(r.Outputs) != 19 || e.Kind != jobs.KindMemory || e.Type != "SIGKILL" {
			t.Errorf("%s: %v, %+v", start, r.Outputs, r.Failed)
		}
	}
}

// TestMemoryErrors checks that the memory errors of Python and of the system have the
// same kind.
func TestMemoryErrors(t *testing.T) {
	t.Parallel()
	for _, groups := range executortest.Groups(t) {
		for raise, want := range map[string]string{
			"MemoryError()":                "it needed more than the memory limit of 100MiB ",
			"MemoryError('no 3 GiB left')": "no 3 GiB left: it needed more than the memory limit of 100MiB ",
			"OSError(12, 'No memory')":     "[Errno 12] No memory: it needed more than the memory limit of 100MiB ",
			"OSError(13, 'No right')":      "",
		} {
			r := limited(t, groups, 1, "def f(x):\n    if x == 5: raise "+raise)
			e := r.Failed[5]
			if want == "" {
				if e.Kind != jobs.KindException || strings.Contains(e.Message, "limit") {
					t.Errorf("%s: %+v", raise, e)
				}
			} else if e.Kind != jobs.KindMemory || e.Message != want+executortest.Held(groups) || !strings.Contains(e.Traceback, "line 2, in f") {
				t.Errorf("%s: %+v", raise, e)
			}
		}
	}
}

// TestCrashUnderMemoryLimit checks that a process that dies for another reason has
// not reached the limit, however large the program that started it is.
func TestCrashUnderMemoryLimit(t *testing.T) {
	t.Parallel()
	mine := bytes.Repeat([]byte{1}, 2*limit)
	defer runtime.KeepAlive(mine)
	for _, groups := range executortest.Groups(t) {
		r := limited(t, groups, 1, "import os\ndef f(x):\n    if x == 5: os.kill(os.getpid(), 9)")
		if e := r.Failed[5]; len(r.Failed) != 1 || e.Kind != jobs.KindCrash || e.Type != "SIGKILL" {
			t.Errorf("%+v", r.Failed)
		}
	}
}

// TestMemoryLimitWhileLoading checks that a program that exceeds the limit while it
// loads fails with the same message.
func TestMemoryLimitWhileLoading(t *testing.T) {
	t.Parallel()
	for _, groups := range executortest.Groups(t) {
		e := python.New(python.Options{Groups: groups})
		defer e.Close()
		l := lane("b = bytearray(300 << 20)\ndef f(x): pass")
		l.MemoryLimit = limit
		_, err := executortest.Run(t, e, l, executortest.Numbers(1, 0, 10))
		var load *executor.LoadError
		if !errors.As(err, &load) || load.Kind != jobs.KindMemory || !strings.Contains(load.Message, "the memory limit of 100MiB "+executortest.Held(groups)) {
			t.Errorf("%v", err)
		}
		// This limit does not let Python start.
		l.MemoryLimit = 4 << 20
		_, err = executortest.Run(t, e, l, executortest.Numbers(1, 0, 10))
		if load = nil; !errors.As(err, &load) || load.Kind != jobs.KindMemory || !strings.Contains(load.Message, "Python itself needs more than the memory limit of 4MiB "+executortest.Held(groups)) {
			t.Errorf("within 4 MiB: %v", err)
		}
	}
}
