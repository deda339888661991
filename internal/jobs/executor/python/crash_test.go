package python_test

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor/executortest"
	"github.com/allcores/allcores/internal/jobs/executor/python"
)

// TestCrash checks that a task that kills its process fails alone, and is the only
// one that does.
func TestCrash(t *testing.T) {
	t.Parallel()
	const here = "Stack (most recent call first):\n  File \"program.py\", line 3 in f\n"
	for _, test := range []struct{ body, kind, trace string }{
		{"os._exit(7)", "exit 7", ""},
		{"os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV", here},
		{"ctypes.string_at(0)", "SIGSEGV", " in string_at\n  File \"program.py\", line 3 in f\n"},
		{"os.abort()", "SIGABRT", here},
		{"os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL", ""},
		// A child's crash is not its parent's.
		{"os.fork() or os.abort(); os.wait(); os._exit(7)", "exit 7", ""},
		{"os.fork() or ctypes.string_at(0); os.wait(); os.abort()", "SIGABRT", here},
	} {
		r := must(t, lane("import os, signal, ctypes\ndef f(x):\n    if x == 700: "+test.body+"\n    return x\n"),
			executortest.Numbers(1, 0, 1000), executortest.Numbers(2, 1000, 10))
		if e := r.Failed[700]; len(r.Failed) != 1 || e.Kind != jobs.KindCrash || e.Type != test.kind {
			t.Errorf("%s: %v", test.body, r.Failed)
		} else if trace := e.Traceback; !strings.HasSuffix(trace, test.trace) || test.trace == "" && trace != "" {
			t.Errorf("%s: traceback %q, want %q", test.body, trace, test.trace)
		}
		if strings.Contains(test.body, "os.fork()") && !strings.Contains(strings.Join(r.Text(), "\n"), "700 stderr Fatal Python error: ") {
			t.Errorf("%s: what became of the child is not printed: %q", test.body, r.Text())
		}
		for i := range int64(1010) {
			if _, done := r.Outputs[i]; done && i > 700 && i < 1000 || !done && (i >= 1000 || !r.Back[i] && i != 700) {
				t.Errorf("%s: task %d: done %v, back %v", test.body, i, done, r.Back[i])
			}
		}
	}
}

// TestCrashWithThreads checks that all tasks that ran in a dead process are suspects,
// and that the others are not blamed.
func TestCrashWithThreads(t *testing.T) {
	t.Parallel()
	l := lane(`
import os, threading, time
all_there = threading.Barrier(3)
def f(x):
    if x < 7 or x >= 100:
        return x
    all_there.wait(10)
    if x == 8:
        os._exit(1)
    time.sleep(60)
`)
	l.Threads = 3
	r := must(t, l, executortest.Numbers(1, 0, 50), executortest.Numbers(2, 100, 50))
	if !r.Suspects[7] || !r.Suspects[8] || !r.Suspects[9] || len(r.Suspects) < 3 || len(r.Failed) > 0 && r.Failed[0].Kind == "" {
		t.Errorf("suspects %v, failed %v", r.Suspects, r.Failed)
	}
}

// TestKilledBetweenChunks checks that a process that is killed from outside while no
// task runs is replaced.
func TestKilledBetweenChunks(t *testing.T) {
	t.Parallel()
	e := python.New(python.Options{})
	defer e.Close()
	b := executortest.Begin(t, e, lane("import os\ndef f(x):\n    return os.getpid()"))
	b.Give(executortest.Numbers(1, 0, 1))
	b.Await("the first chunk ends", func() bool { return len(b.Outputs) == 1 })
	pid, err := strconv.Atoi(b.Outputs[0])
	if err != nil {
		t.Fatal(err)
	}
	syscall.Kill(pid, syscall.SIGKILL)
	executortest.Eventually(t, "it is gone", func() bool { return syscall.Kill(pid, 0) != nil })
	b.Give(executortest.Numbers(2, 1, 1))
	if err := b.End(); err != nil {
		t.Fatal(err)
	}
	if len(b.Failed) > 0 || b.Outputs[1] == b.Outputs[0] {
		t.Errorf("%v %v", b.Outputs, b.Failed)
	}
}

// TestKilledFromOutside checks that tasks that a killed process had not begun are
// given back, or run in another process, within a second, even when a process that it
// started lives on.
func TestKilledFromOutside(t *testing.T) {
	t.Parallel()
	for _, threads := range []int{1, 3} {
		l := lane(`
import os, subprocess, time
def f(x):
    if x < 100:
        subprocess.Popen(["sleep", "1000"], start_new_session=True)
        print(os.getpid())
        time.sleep(1000)
    return os.getpid()
`)
		l.Threads = threads
		b := executortest.Begin(t, shared, l)
		b.Give(executortest.Numbers(1, 0, 10))
		b.Give(executortest.Numbers(2, 100, 5))
		b.Await("it runs", func() bool { return len(b.Logs) == threads })
		b.Lock()
		pid, err := strconv.Atoi(b.Logs[0].Line)
		b.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		syscall.Kill(pid, syscall.SIGKILL)
		b.Await("the rest is back, and the chunk that waited has run", func() bool { return len(b.Back) == 10-threads && len(b.Outputs) == 5 })
		if d := time.Since(began); d > time.Second {
			t.Errorf("%d threads: it took %v", threads, d)
		}
		if err := b.End(); err != nil {
			t.Fatal(err)
		}
		if threads > 1 {
			if len(b.Suspects) != threads || len(b.Failed) > 0 {
				t.Errorf("suspects %v, failed %v", b.Suspects, b.Failed)
			}
		} else if e := b.Failed[0]; len(b.Failed) != 1 || e.Kind != jobs.KindCrash || e.Type != "SIGKILL" {
			t.Errorf("failed %v", b.Failed)
		}
	}
}

// TestDeathBetweenTasks checks that when a process ends by itself between tasks, a
// task that had begun is the cause.
func TestDeathBetweenTasks(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		define  string
		threads int
	}{{"def", 1}, {"def", 2}, {"async def", 2}} {
		l := lane("import os\n" + test.define + " f(x):\n    if x == 5: os.closerange(3, 100)\n    return x")
		l.Threads = test.threads
		r := must(t, l, executortest.Numbers(1, 5, 1))
		if e := r.Failed[5]; e.Kind != jobs.KindCrash || !strings.Contains(e.Message, "the process died after the task") {
			t.Errorf("%+v: alone it is %+v, lost %v", test, r.Failed, r.Lost)
		}
		l.Job = "another"
		r = must(t, l, executortest.Numbers(1, 0, 20_000))
		if !r.Lost[5] && !r.Suspects[5] && r.Failed[5].Kind == "" || len(r.Outputs)+len(r.Lost)+len(r.Back)+len(r.Suspects)+len(r.Failed) != 20_000 {
			t.Errorf("%+v: lost %v, suspects %v, failed %v", test, r.Lost, r.Suspects, r.Failed)
		}
	}
}

// TestPrintedBeforeDeath checks that each line that a task printed is kept once when
// its process dies.
func TestPrintedBeforeDeath(t *testing.T) {
	t.Parallel()
	for _, threads := range []int{1, 2} {
		for _, die := range []string{"os._exit(3)", "os.kill(os.getpid(), 9)", "ctypes.string_at(0)"} {
			l := lane(`
import ctypes, os, sys, time
def f(x):
    if x == 5:
        for i in range(2000):
            print("line", i, "ä" * 20)
        time.sleep(0.12)
        print("sent or not")
        print("last", file=sys.stderr)
        print("without", "an end", end="")
        sys.stderr.write("flushed")
        sys.stderr.flush()
        ` + die + "\n    return x")
			l.Threads = threads
			e := python.New(python.Options{})
			defer e.Close()
			r, err := executortest.Run(t, e, l, executortest.Numbers(1, 5, 1))
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Failed) != 1 {
				t.Fatalf("%s: %v %v", die, r.Outputs, r.Failed)
			}
			count := map[string]int{}
			for _, line := range r.Logs {
				count[line.Stream+": "+line.Line]++
				if line.Task != 5 {
					t.Errorf("%s: of task %d: %s", die, line.Task, line.Line)
				}
			}
			want := map[string]int{"stdout: sent or not": 1, "stderr: last": 1, "stdout: without an end": 1, "stderr: flushed": 1}
			for i := range 2000 {
				want[fmt.Sprintf("stdout: line %d %s", i, strings.Repeat("ä", 20))] = 1
			}
			if diff := cmp.Diff(want, count); diff != "" {
				t.Errorf("%d threads, %s: (-want +got)\n%s", threads, die, diff)
			}
		}
	}
}
