package python_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/executortest"
)

// gate returns a source whose tasks with odd thousands wait for a file.
func gate(t *testing.T) (source, file string) {
	file = filepath.Join(t.TempDir(), "go")
	return fmt.Sprintf(`
import os, time
def f(x):
    if x %% 1000 == 500:
        print("waiting")
        while not os.path.exists(%q):
            time.sleep(0.002)
    return x
`, file), file
}

func open(t *testing.T, file string) {
	t.Helper()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestBudgetGivesTailBack checks that a long task does not delay its neighbours: past
// the budget the tail and the waiting chunk are given back while it runs.
func TestBudgetGivesTailBack(t *testing.T) {
	t.Parallel()
	for _, threads := range []int{1, 2} {
		source, file := gate(t)
		l := lane(source)
		l.Threads = threads
		b := executortest.Begin(t, shared, l)
		c := executortest.Numbers(1, 490, 500) // 500 waits
		c.Budget = 50 * time.Millisecond
		if threads > 1 {
			c = executortest.Numbers(1, 499, 3001)
			c.Budget = 50 * time.Millisecond
		}
		b.Give(c)
		b.Give(executortest.Numbers(2, 10500, 10))
		if threads == 1 {
			b.Await("the tail is back", func() bool { return b.Back[501] && b.Back[989] })
			b.Await("the waiting chunk is back", func() bool { return b.Back[10500] && b.Back[10509] })
		} else {
			b.Await("the rest is back", func() bool { return len(b.Back) > 0 })
		}
		b.Lock()
		if _, ended := b.Ended[1]; ended {
			t.Error("the chunk has ended before its long task")
		}
		if b.Back[500] {
			t.Error("the running task was given back")
		}
		b.Unlock()
		open(t, file)
		if err := b.End(); err != nil {
			t.Fatal(err)
		}
		if b.Outputs[500] != "500" || b.Outputs[499] != "499" {
			t.Errorf("outcomes %v", b.Outputs)
		}
	}
}

// TestBudgetUnderInterpreterLock checks that a task that holds the interpreter lock
// does not delay its neighbours either: the tasks that certainly do not start are
// given back without the process's help.
func TestBudgetUnderInterpreterLock(t *testing.T) {
	t.Parallel()
	l := lane(`
import ctypes, time
sleep = ctypes.PyDLL(None).usleep
def f(x):
    if x == 3:
        sleep(2000000)
    time.sleep(0.001)
    return x
`)
	b := executortest.Begin(t, shared, l)
	c := executortest.Numbers(1, 0, 50)
	c.Budget = 60 * time.Millisecond
	b.Give(c)
	b.Give(executortest.Numbers(2, 100, 5))
	b.Await("all but the running task is back", func() bool { return b.Back[5] && b.Back[49] && b.Back[100] })
	b.Lock()
	if _, ended := b.Ended[1]; ended {
		t.Error("the chunk has ended before its long task")
	}
	b.Unlock()
	if err := b.End(); err != nil {
		t.Fatal(err)
	}
	if b.Outputs[3] != "3" {
		t.Errorf("%v", b.Outputs)
	}
}

// TestBudgetThenMore checks that the process runs the next chunk after a cut.
func TestBudgetThenMore(t *testing.T) {
	t.Parallel()
	b := executortest.Begin(t, shared, lane("import time\ndef f(x):\n    time.sleep(0.004)\n    return x"))
	for i := range int64(6) {
		c := executortest.Numbers(i, 100*i, 100)
		c.Budget = 40 * time.Millisecond
		b.Give(c)
	}
	if err := b.End(); err != nil {
		t.Fatal(err)
	}
	if n := len(b.Outputs); n < 5 || n > 300 {
		t.Errorf("%d tasks done", n)
	}
}

func TestHalt(t *testing.T) {
	t.Parallel()
	for _, threads := range []int{1, 2} {
		source, file := gate(t)
		l := lane(source)
		l.Threads = threads
		halt := make(chan struct{})
		l.Halt = halt
		b := executortest.Begin(t, shared, l)
		b.Give(executortest.Numbers(1, 500, 1)) // waits
		b.Give(executortest.Numbers(2, 1500, 2002))
		b.Await("tasks wait", func() bool { return len(b.Logs) >= threads })
		close(halt)
		b.Await("tasks are back", func() bool { return b.Back[3501] })
		b.Give(executortest.Numbers(3, 9000, 5))
		b.Await("a later chunk is back", func() bool { return b.Back[9004] })
		open(t, file)
		if err := b.End(); err != nil {
			t.Fatal(err)
		}
		if b.Outputs[500] != "500" {
			t.Errorf("the running task: %v %v", b.Outputs, b.Failed)
		}
	}
}

// TestSkewed checks that the long tasks at the end of a chunk do not stay with one
// lane when each chunk has a budget.
func TestSkewed(t *testing.T) {
	t.Parallel()
	b := executortest.Begin(t, shared, lane("import time\ndef f(x):\n    time.sleep(0.03 if x >= 200 else 0)\n    return x"))
	c := executortest.Numbers(1, 0, 300)
	c.Budget = 100 * time.Millisecond
	b.Give(c)
	if err := b.End(); err != nil {
		t.Fatal(err)
	}
	if n := len(b.Outputs); n < 200 || n > 215 {
		t.Errorf("%d tasks done within the budget", n)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	source, _ := gate(t)
	b := executortest.Begin(t, shared, lane(source))
	b.Give(executortest.Numbers(1, 400, 200)) // 500 waits for ever
	b.Give(executortest.Numbers(2, 1000, 5))
	b.Await("a task waits", func() bool { return len(b.Logs) == 1 })
	began := time.Now()
	b.Cancel()
	if err := b.Wait(); !errors.Is(err, context.Canceled) {
		t.Errorf("Run returns %v", err)
	}
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("it took %v", d)
	}
	if !b.Back[500] || !b.Back[599] || len(b.Failed) > 0 {
		t.Errorf("back: %v, failed: %v", b.Back, b.Failed)
	}
}

// TestFlushed checks that outcomes arrive while a later task of the same chunk runs,
// so that a crash loses few.
func TestFlushed(t *testing.T) {
	t.Parallel()
	b := executortest.Begin(t, shared, lane(`
import os, time
def f(x):
    if x == 1000:
        time.sleep(0.3)
        os._exit(3)
    return x
`))
	b.Give(executortest.Numbers(1, 0, 2000))
	if err := b.End(); err != nil {
		t.Fatal(err)
	}
	if n := len(b.Outputs); n != 1000 {
		t.Errorf("%d outcomes before the crash, want 1000", n)
	}
	if e := b.Failed[1000]; len(b.Failed) != 1 || e.Type != "exit 3" {
		t.Errorf("%v", b.Failed)
	}
}

// TestFlushAnytime flushes from another thread all the time, between any two
// steps of the one that runs the tasks.
func TestFlushAnytime(t *testing.T) {
	t.Parallel()
	const count = 2000
	for output, want := range map[string]func(x int64) string{
		"x * x":  func(x int64) string { return fmt.Sprint(x * x) },
		"x + .5": func(x int64) string { return fmt.Sprintf("%d.5", x) },
		"str(x)": func(x int64) string { return fmt.Sprintf(`"%d"`, x) },
		"[x]":    func(x int64) string { return fmt.Sprintf("[%d]", x) },
		"x if x % 3 else None": func(x int64) string {
			if x%3 == 0 {
				return "null"
			}
			return fmt.Sprint(x)
		},
	} {
		t.Run(output, func(t *testing.T) {
			t.Parallel()
			r := must(t, lane(`
import sys, threading, time
sys.setswitchinterval(1e-6)
runner = sys.stdout.runner
def flush():
    while True:
        with runner.lock:
            runner.flush()
def f(x):
    if x == 0:
        threading.Thread(target=flush, daemon=True).start()
    time.sleep(100e-6)
    return `+output+`
`), executortest.Numbers(1, 0, count))
			if len(r.Outputs) != count {
				t.Errorf("%d outputs of %d", len(r.Outputs), count)
			}
			for i := range int64(count) {
				if got := r.Outputs[i]; got != want(i) {
					t.Fatalf("output of %d is %q, want %s", i, got, want(i))
				}
			}
		})
	}
}

// TestSlowReports checks that the process runs the next chunk while the caller blocks
// in an update.
func TestSlowReports(t *testing.T) {
	t.Parallel()
	in := make(chan executor.Chunk)
	started := filepath.Join(t.TempDir(), "started")
	source := fmt.Sprintf("def f(x):\n    if x == 10:\n        open(%q, 'w')\n    return x", started)
	blocked := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- shared.Run(t.Context(), lane(source), in, func(r executor.Update) {
			if r.Chunk == 1 {
				<-blocked
			}
		})
	}()
	in <- executortest.Numbers(1, 0, 1)
	in <- executortest.Numbers(2, 10, 1)
	executortest.Eventually(t, "the second chunk runs", func() bool {
		_, err := os.Stat(started)
		return err == nil
	})
	close(blocked)
	close(in)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
