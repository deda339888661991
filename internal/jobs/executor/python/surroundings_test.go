package python_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/executortest"
	"github.com/allcores/allcores/internal/jobs/executor/process"
	"github.com/allcores/allcores/internal/jobs/executor/python"
)

// first runs one task and decodes its output.
func first(t *testing.T, e executor.Executor, l executor.Lane, output any) {
	t.Helper()
	r, err := executortest.Run(t, e, l, executortest.Numbers(1, 0, 1))
	if err != nil {
		t.Fatal(err)
	}
	if e, failed := r.Failed[0]; failed {
		t.Fatalf("%+v", e)
	}
	if err := json.Unmarshal([]byte(r.Outputs[0]), output); err != nil {
		t.Fatal(err)
	}
}

func TestEnvironment(t *testing.T) {
	for name, value := range map[string]string{"DATABASE_URL": "postgres://secret", "ALLCORES_TOKEN": "secret", "AWS_SECRET_ACCESS_KEY": "secret"} {
		t.Setenv(name, value)
	}
	e := python.New(python.Options{})
	defer e.Close()
	e.Warm()
	for _, own := range []map[string]string{{"MINE": "m", "OMP_NUM_THREADS": "7"}, {"MINE": "m", "OMP_NUM_THREADS": "7", "PYTHONHASHSEED": "0"}} {
		l := lane("import os, subprocess\ndef f(x):\n    return [dict(os.environ), subprocess.check_output(['env'], text=True)]")
		l.Job, l.Number = "j1", 3
		l.Program.Python.Env = own
		var out []any
		first(t, e, l, &out)
		env := map[string]string{}
		for name, value := range out[0].(map[string]any) {
			env[name] = value.(string)
		}
		for name, want := range map[string]string{"MINE": "m", "OMP_NUM_THREADS": "7", "MKL_NUM_THREADS": "1", "ALLCORES_JOB": "j1", "ALLCORES_LANE": "3", "PATH": os.Getenv("PATH")} {
			if env[name] != want || !strings.Contains(out[1].(string), name+"="+want+"\n") {
				t.Errorf("%s is %q, want %q", name, env[name], want)
			}
		}
		for name, value := range env {
			if strings.Contains(value, "secret") {
				t.Errorf("%s=%s", name, value)
			}
		}
	}
	// The same process in another job.
	l := lane("import os\ndef f(x):\n    return [os.environ['ALLCORES_JOB'], str(os.getpid())]")
	var one, two []string
	first(t, e, l, &one)
	l.Job = "other"
	first(t, e, l, &two)
	if one[0] != "job" || two[0] != "other" || one[1] != two[1] {
		t.Errorf("%v, then %v", one, two)
	}
}

// TestDescriptors checks that a task and its children inherit no descriptor of this
// program.
func TestDescriptors(t *testing.T) {
	t.Parallel()
	var out [2][]string
	first(t, shared, lane(`
import os, subprocess
def links(text):
    return sorted(text.split())
def f(x):
    own = [fd + "=" + os.readlink("/proc/self/fd/" + fd).split(":")[0] for fd in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + fd) or int(fd) < 7]
    child = subprocess.run(["sh", "-c", "ls /proc/self/fd"], stdout=subprocess.PIPE, text=True, close_fds=False).stdout
    return [own, child.split()]
`), &out)
	for _, fd := range out[1] {
		if fd > "3" || len(fd) > 1 { // 3 is ls's own
			t.Errorf("a child has descriptor %s; the process has %v", fd, out[0])
		}
	}
	for _, fd := range out[0] {
		number, kind, _ := strings.Cut(fd, "=")
		if number > "6" && kind == "pipe" || kind == "socket" {
			t.Errorf("the process has %s", fd)
		}
	}
}

func TestPinned(t *testing.T) {
	t.Parallel()
	cores := allowed(t)
	sets := [][]int{cores[:1], cores[len(cores)-1:], cores[:1]}
	if len(cores) > 1 {
		sets = append(sets, cores[:2], cores[len(cores)-2:])
	}
	e := python.New(python.Options{})
	defer e.Close()
	for _, set := range sets {
		l := lane(`
import os, subprocess, sys, threading
here = lambda: [sorted(os.sched_getaffinity(0)), os.environ["ALLCORES_TASK_CORES"], os.environ["OMP_NUM_THREADS"]]
def f(x):
    out = []
    t = threading.Thread(target=lambda: out.append(here()))
    t.start(); t.join()
    below = subprocess.check_output([sys.executable, "-c", "import os; print([sorted(os.sched_getaffinity(0)), os.environ['ALLCORES_TASK_CORES'], os.environ['OMP_NUM_THREADS']])"], text=True)
    return [here(), out[0], eval(below)]
`)
		l.Cores, l.CoreCount = set, len(set)
		numbers := strings.Trim(fmt.Sprint(set), "[]")
		want := fmt.Sprintf("[%v %s %d]", set, strings.ReplaceAll(numbers, " ", ","), len(set))
		for range 2 { // new, or of another set of as many, and again
			var out []any
			first(t, e, l, &out)
			if got := fmt.Sprint(out); got != fmt.Sprintf("[%s %s %s]", want, want, want) {
				t.Errorf("pinned to %v, it runs on %v", set, got)
			}
		}
	}
	// No variable is left where no process is pinned.
	l := lane(`
import os
def f(x):
    return [os.environ.get("ALLCORES_TASK_CORES"), os.environ["OMP_NUM_THREADS"]]
`)
	l.CoreCount = 3
	var out []any
	if first(t, e, l, &out); fmt.Sprint(out) != "[<nil> 3]" {
		t.Errorf("not pinned: %v", out)
	}
}

func allowed(t *testing.T) []int {
	t.Helper()
	var cores []int
	first(t, shared, lane("import os\ndef f(x):\n    return sorted(os.sched_getaffinity(0))"), &cores)
	return cores
}

// TestReuse checks that a process is used again only for the same program and owner.
func TestReuse(t *testing.T) {
	t.Parallel()
	e := python.New(python.Options{})
	defer e.Close()
	source := "import os\ndef f(x):\n    return os.getpid()"
	var pids []int
	for _, change := range []func(*executor.Lane){
		func(*executor.Lane) {},
		func(l *executor.Lane) { l.Job, l.Number = "another", 5 },
		func(l *executor.Lane) { l.Owner = "another" },
		func(l *executor.Lane) { l.Program.Python.Source += "\n" },
		func(l *executor.Lane) { l.Threads = 2 },
		func(l *executor.Lane) { l.MemoryLimit = 1 << 30 },
		func(l *executor.Lane) { l.CoreCount = 2 },
		func(l *executor.Lane) { l.Program.Python.Env = map[string]string{"A": "b"} },
	} {
		l := lane(source)
		change(&l)
		var pid int
		first(t, e, l, &pid)
		pids = append(pids, pid)
	}
	if pids[0] != pids[1] {
		t.Error("the same program of the same owner got another process")
	}
	for i, pid := range pids[2:] {
		for j, other := range pids[:i+2] {
			if pid == other {
				t.Errorf("cases %d and %d share a process", i+2, j)
			}
		}
	}
}

func TestIdleProcessesEnd(t *testing.T) {
	t.Parallel()
	e := python.New(python.Options{Keep: 20 * time.Millisecond})
	defer e.Close()
	var pid int
	first(t, e, lane("import os\ndef f(x):\n    return os.getpid()"), &pid)
	executortest.Eventually(t, "it has ended", func() bool { return syscall.Kill(pid, 0) != nil })
}

// TestDirectory checks that tasks start in a directory of their process, which is
// removed with the process.
func TestDirectory(t *testing.T) {
	t.Parallel()
	e := python.New(python.Options{})
	var dir string
	first(t, e, lane("import os\ndef f(x):\n    open('litter', 'w').close()\n    return os.getcwd()"), &dir)
	root, err := process.Root()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(dir, root+"/") {
		t.Errorf("it runs in %s", dir)
	}
	e.Close()
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s: %v", dir, err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ source, interpreter, location, message string }{
		{"def f(x): pass", "", "", ""},
		{"async def f(x): pass", "", "", ""},
		{"\ufeffdef f(x): pass", "", "", ""},
		{"class f: pass", "", "", ""},
		{"import json as f", "", "", ""},
		{"from json import loads as f", "", "", ""},
		{"from json import *", "", "", ""},
		{"f = g = len", "", "", ""},
		{"(a, [f, *b]) = 1, [2, 3]", "", "", ""},
		{"try:\n    import x\nexcept ImportError:\n    def f(x): pass", "", "", ""},
		{"if 1:\n    with open('x') as f: pass", "", "", ""},
		{"for f in []: pass", "", "", ""},
		{"def g():\n    global f\n    f = 1", "", "", ""},
		{"globals()['f'] = len", "", "", ""},
		{"print((f := len))", "", "", ""},
		{"f: int = 3", "", "", ""},
		{"def g(x):\n    def f(y): pass", "", "program.python.function", "the source has no function f; it has g"},
		{"", "", "program.python.function", "no function f"},
		{"g = lambda f: f", "", "program.python.function", "no function f"},
		{"x = 1\ndef f(x:\n    pass", "", "program.python.source", "line "},
		{"def f(x):\n    retrun x", "", "program.python.source", "line 2: invalid syntax: retrun x"},
		{"return 3", "", "program.python.source", "line 1: 'return' outside function"},
		{"def f(x):\n\tif x:\n        pass", "", "program.python.source", "line 3: "},
		{strings.Repeat("(", 500), "", "program.python.source", ""},
		{"def f(x): pass", "no-such-python", "program.python.interpreter", "no-such-python is not found on this node"},
		{"def f(x): pass", "/bin/true", "program.python.interpreter", "is not a Python interpreter"},
		{"def f(x): pass", "/etc/passwd", "program.python.interpreter", "not executable"},
		{"def f(x): pass", "bash", "program.python.interpreter", "is not a Python interpreter"},
	} {
		p := *lane(test.source).Program.Python
		p.Interpreter = test.interpreter
		for range 2 {
			found, err := shared.Check(t.Context(), p)
			switch {
			case err != nil:
				t.Errorf("%q: %v", test.source, err)
			case test.location == "" && len(found) > 0:
				t.Errorf("%q: %v", test.source, found)
			case test.location != "" && (len(found) != 1 || found[0].Location != test.location || !strings.Contains(found[0].Message, test.message)):
				t.Errorf("%q: %v, want %s at %s", test.source, found, test.message, test.location)
			}
		}
	}
}

// TestCheckRunsNothing checks that a check executes none of the source.
func TestCheckRunsNothing(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/ran"
	if _, err := shared.Check(t.Context(), *lane(fmt.Sprintf("open(%q, 'w')\ndef f(x): pass", file)).Program.Python); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Error("the source was run")
	}
}

// TestOldInterpreter checks that the error of an interpreter that is too old names
// its version.
func TestOldInterpreter(t *testing.T) {
	t.Parallel()
	old := t.TempDir() + "/python3"
	script := "#!/bin/sh\nprintf '\\006\\000\\000\\000H3.7.2\\n' >&4\n"
	if err := os.WriteFile(old, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	p := *lane("def f(x): pass").Program.Python
	p.Interpreter = old
	found, err := shared.Check(t.Context(), p)
	if err != nil || len(found) != 1 || !strings.Contains(found[0].Message, "is Python 3.7.2; 3.8 or newer is needed") {
		t.Errorf("%v %v", found, err)
	}
}
