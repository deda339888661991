package python_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/executortest"
	"github.com/allcores/allcores/internal/jobs/executor/python"
)

// TestEndlessLoad checks that the timeout of tasks also bounds the loading of their
// program.
func TestEndlessLoad(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		body    string
		threads int
		timeout time.Duration
		message string
	}{
		{"while True: pass", 1, 2 * time.Second, "still loading after 5s; loading may take as long as a task, 2s, but at least 5s"},
		{"import threading; threading.Lock().acquire(); threading.Event().wait()", 4, 6 * time.Second, "still loading after 6s, the timeout of its tasks"},
		{"import ctypes; ctypes.PyDLL(None).sleep(60)", 1, time.Second, "still loading after 5s"},
		{"import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", 2, time.Second, "still loading after 5s"},
	} {
		t.Run(test.body, func(t *testing.T) {
			t.Parallel()
			l := lane(test.body + "\ndef f(x): return x")
			l.Timeout, l.Threads = test.timeout, test.threads
			began := time.Now()
			r, err := executortest.Run(t, shared, l, executortest.Numbers(1, 0, 10), executortest.Numbers(2, 10, 10))
			var e *executor.LoadError
			if !errors.As(err, &e) || e.Kind != jobs.KindTimeout || e.Type != "timeout" || !strings.Contains(e.Message, test.message) || !r.Back[0] {
				t.Errorf("%v, back %v", err, r.Back)
			}
			if d, limit := time.Since(began), max(test.timeout, 5*time.Second); d < limit || d > limit+4*time.Second {
				t.Errorf("it took %v", d)
			}
		})
	}
}

// TestTurnEndsWhileLoading checks that a process whose session ends while it loads
// its program serves the next session, which knows that the program is loaded.
func TestTurnEndsWhileLoading(t *testing.T) {
	t.Parallel()
	e := python.New(python.Options{})
	defer e.Close()
	dir := t.TempDir()
	note := func(name string) func() bool {
		return func() bool {
			_, err := os.Stat(filepath.Join(dir, name))
			return err == nil
		}
	}
	l := lane(fmt.Sprintf(`
import os, time
os.chdir(%q)
open("began-%%d" %% os.getpid(), "w").close()
open("began", "w").close()
while not os.path.exists("go"):
    time.sleep(0.01)
def f(x):
    os._exit(3)
`, dir))
	halt := make(chan struct{})
	l.Halt = halt
	b := executortest.Begin(t, e, l)
	b.Give(executortest.Numbers(1, 0, 1))
	executortest.Eventually(t, "it loads", note("began"))
	close(halt)
	if err := b.End(); err != nil || !b.Back[0] {
		t.Fatalf("%v, back %v", err, b.Back)
	}
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l.Halt = nil
	r, err := executortest.Run(t, e, l, executortest.Numbers(1, 0, 1))
	if err != nil || r.Failed[0].Type != "exit 3" {
		t.Errorf("%v, %v", r.Failed, err)
	}
	if loads, _ := filepath.Glob(filepath.Join(dir, "began-*")); len(loads) != 1 {
		t.Errorf("it was loaded %d times", len(loads))
	}
}

// TestKilledWhileLoading checks that a process killed from outside while it loads the
// program is replaced. A process that its program kills each time is not.
func TestKilledWhileLoading(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "loads")
	r := must(t, lane(fmt.Sprintf("import os, signal\nopen(%q, 'a').write('x')\nif os.path.getsize(%q) < 2: os.kill(os.getpid(), signal.SIGKILL)\ndef f(x):\n    return x", file, file)),
		executortest.Numbers(1, 0, 10), executortest.Numbers(2, 10, 10))
	if len(r.Outputs) != 20 {
		t.Errorf("%v %v", r.Outputs, r.Failed)
	}
	_, err := executortest.Run(t, shared, lane("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\ndef f(x): pass"), executortest.Numbers(1, 0, 10))
	var e *executor.LoadError
	if !errors.As(err, &e) || e.Kind != jobs.KindCrash || e.Type != "SIGKILL" {
		t.Errorf("error %v", err)
	}
}

func TestLoadErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ source, kind, message, trace string }{
		{"import nothing_like_this\ndef f(x): pass", "ModuleNotFoundError", "nothing_like_this", "line 1, in <module>\n    import nothing_like_this"},
		{"def g(x): pass", "AttributeError", "no function f", ""},
		{"f = 3", "TypeError", "is not a function but int", ""},
		{"raise SystemExit(2)", "SystemExit", "2", "line 1"},
		{"def f(:", "SyntaxError", "invalid syntax", "def f(:"},
		{"import os\nos._exit(9)", "exit 9", "while the program was loaded", ""},
		{"import os\nos.abort()", "SIGABRT", "while the program was loaded", ""},
	} {
		r, err := executortest.Run(t, shared, lane(test.source), executortest.Numbers(1, 0, 10), executortest.Numbers(2, 10, 10))
		var e *executor.LoadError
		if !errors.As(err, &e) {
			t.Errorf("%q: error %v", test.source, err)
			continue
		}
		if e.Type != test.kind || !strings.Contains(e.Message, test.message) || !strings.Contains(e.Traceback, test.trace) {
			t.Errorf("%q: %+v", test.source, e)
		}
		for i := range int64(10) {
			if !r.Back[i] {
				t.Errorf("%q: task %d is not back", test.source, i)
			}
		}
	}
}

func TestNoInterpreter(t *testing.T) {
	t.Parallel()
	l := lane("def f(x): pass")
	l.Program.Python.Interpreter = "/nowhere/python3"
	r, err := executortest.Run(t, shared, l, executortest.Numbers(1, 0, 10))
	if err == nil || !strings.Contains(err.Error(), "/nowhere/python3") || !r.Back[0] {
		t.Errorf("error %v, back %v", err, r.Back)
	}
}
