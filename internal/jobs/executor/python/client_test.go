package python_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/executortest"
	"github.com/allcores/allcores/internal/jobs/executor/python"
	client "github.com/allcores/allcores/static/python"
)

// TestClientIsImportable imports the client in tasks, and in processes that they start.
func TestClientIsImportable(t *testing.T) {
	t.Parallel()
	const source = `import multiprocessing
def version(x):
    import allcores
    return allcores.VERSION
def f(x):
    if x is None:
        return version(x)
    with multiprocessing.get_context(x).Pool(1) as pool:
        return pool.apply(version, (x,))
`
	l := lane(source)
	r := must(t, l, executortest.Values(1, 0, "null", `"fork"`, `"spawn"`, `"forkserver"`))
	for i := range int64(4) {
		if want := fmt.Sprintf("%q", client.Version()); r.Outputs[i] != want {
			t.Errorf("task %d: %s %v", i, r.Outputs[i], r.Failed[i])
		}
	}
}

// interpreters returns those of this machine that are new enough.
func interpreters() []string {
	home, _ := os.UserHomeDir()
	found, _ := filepath.Glob(filepath.Join(home, ".pyenv/versions/3.*/bin/python3"))
	return append(slices.DeleteFunc(found, func(path string) bool {
		return strings.Contains(path, "/3.6.") || strings.Contains(path, "/3.7.")
	}), "")
}

// TestClientOfEachInterpreter imports the client, after a renewal too, and checks
// that it was compiled into the runner's directory.
func TestClientOfEachInterpreter(t *testing.T) {
	t.Parallel()
	const source = `import os
def f(x):
    import allcores
    state = getattr(allcores, "left", None)
    allcores.left = x
    return [os.getpid(), allcores.VERSION, state, os.path.exists(allcores.__cached__)]
`
	for _, interpreter := range interpreters() {
		t.Run(filepath.Base(filepath.Dir(filepath.Dir(interpreter))), func(t *testing.T) {
			t.Parallel()
			e := python.New(python.Options{})
			defer e.Close()
			var processes []string
			for job := range 2 {
				l := lane(source)
				l.Job, l.Program.Python.Interpreter = fmt.Sprint(job), interpreter
				r, err := executortest.Run(t, e, l, executortest.Numbers(1, 0, 1))
				if err != nil {
					t.Fatal(err)
				}
				pid, rest, _ := strings.Cut(r.Outputs[0], ",")
				if want := fmt.Sprintf("%q,null,true]", client.Version()); rest != want {
					t.Errorf("job %d: %s, want %s: %v", job, rest, want, r.Failed)
				}
				processes = append(processes, pid)
			}
			if processes[0] != processes[1] {
				t.Errorf("a job that imported the client was not followed by another in its process")
			}
		})
	}
}

// TestOwnClientComesFirst checks that no other module takes the client's name.
func TestOwnClientComesFirst(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, client.FileName), []byte("VERSION = 'another'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := lane("def f(x):\n    import allcores\n    return allcores.VERSION\n")
	l.Program.Python.Env = map[string]string{"PYTHONPATH": dir}
	if got := must(t, l, executortest.Numbers(1, 0, 1)).Outputs[0]; got != fmt.Sprintf("%q", client.Version()) {
		t.Errorf("the task imports version %s", got)
	}
}

// TestCurrentTask checks that a task finds its index, alone, on threads, as an asyncio
// task, and in a process that it forks.
func TestCurrentTask(t *testing.T) {
	t.Parallel()
	const head = "import asyncio, os, sys, threading\nfrom concurrent.futures import ThreadPoolExecutor\ncurrent = sys.modules['allcores_runner'].current_task\n"
	for name, test := range map[string]struct {
		source  string
		threads int
	}{
		"alone":            {"def f(x):\n    return current()", 1},
		"threads":          {"def f(x):\n    return current()", 4},
		"asyncio":          {"async def f(x):\n    await asyncio.sleep(0)\n    return await asyncio.ensure_future(g())\nasync def g():\n    return current()", 4},
		"thread of a task": {"def f(x):\n    with ThreadPoolExecutor(1) as e:\n        return e.submit(current).result()", 1},
		"fork": {`def f(x):
    r, w = os.pipe()
    if os.fork() == 0:
        os.write(w, b"%d" % current())
        os._exit(0)
    os.wait()
    return int(os.read(r, 100))`, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := lane(head + test.source)
			l.Threads = test.threads
			r := must(t, l, executortest.Numbers(1, 70, 10), executor.Chunk{ID: 2, First: 5, Count: 3, Inputs: []byte("1\n2\n3\n"), Failures: -1})
			for _, i := range []int64{70, 71, 75, 79, 5, 7} {
				if r.Outputs[i] != fmt.Sprint(i) {
					t.Errorf("task %d: %s %v", i, r.Outputs[i], r.Failed[i])
				}
			}
		})
	}
	for _, method := range []string{"fork", "spawn", "forkserver"} {
		t.Run("process by "+method, func(t *testing.T) {
			t.Parallel()
			l := lane(`import allcores, multiprocessing
context = multiprocessing.get_context("` + method + `")
def g(_):
    return allcores._task_index()
def f(x):
    with context.Pool(1) as pool:
        return pool.apply(g, (x,))`)
			r := must(t, l, executortest.Numbers(1, 70, 2))
			for i := range int64(2) {
				if want := fmt.Sprint(70 + i); r.Outputs[70+i] != want {
					t.Errorf("task %s: %s %v", want, r.Outputs[70+i], r.Failed[70+i])
				}
			}
		})
	}
	t.Run("unknown", func(t *testing.T) {
		t.Parallel()
		l := lane(head + "meet = threading.Barrier(2)\ndef f(x):\n    meet.wait()\n    with ThreadPoolExecutor(1) as e:\n        try: return e.submit(current).result()\n        finally: meet.wait()")
		l.Threads = 2
		r := must(t, l, executortest.Numbers(1, 0, 2))
		for i := range int64(2) {
			if !strings.Contains(r.Failed[i].Message, "several tasks run") {
				t.Errorf("task %d: %s %v", i, r.Outputs[i], r.Failed[i])
			}
		}
	})
}
