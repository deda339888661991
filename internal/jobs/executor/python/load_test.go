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

// A program that never finishes loading is bounded by the timeout of its tasks.
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

// A process whose turn ends while it loads its program serves the next turn,
// which knows that it has loaded it.
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
