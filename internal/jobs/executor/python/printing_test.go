package python_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs/executor/executortest"
)

func TestPrints(t *testing.T) {
	t.Parallel()
	l := lane(`
import os, subprocess, sys, time
print("loading")
def f(x):
    print("a", x, end="")
    sys.stderr.write("error %d\nsecond" % x)
    if x == 0:      # from here on it is exact
        os.write(2, b"first\n")
        time.sleep(0.05)
    print("b")
    if x == 1:
        os.write(1, b"raw %d\nhalf" % x)
    if x == 2:
        subprocess.run(["sh", "-c", "echo child %d; echo grand >&2; printf '\\377 odd'" % x])
        sys.stdout.buffer.write("bytes é\n".encode())
    print("end", x, file=sys.__stdout__)
    return x
`)
	r := must(t, l, executortest.Numbers(1, 0, 4))
	want := []string{
		"0 stdout loading",
		"0 stderr first", "0 stdout a 0b", "0 stderr error 0", "0 stderr second",
		"1 stdout a 1b", "1 stdout raw 1", "1 stdout half", "1 stdout end 1", "1 stderr error 1", "1 stderr second",
		"2 stdout child 2", "2 stderr grand", "2 stdout \uFFFD odd", "2 stdout bytes é",
		"3 stderr second", "3 stdout end 3",
	}
	got := map[string]int{}
	for _, line := range r.Text() {
		got[line]++
	}
	for _, line := range want {
		if got[line] != 1 {
			t.Errorf("%d lines %q in\n%s", got[line], line, strings.Join(r.Text(), "\n"))
		}
	}
}

// TestPrintsOfProgress checks that the last state of a line overwritten by carriage
// returns is kept.
func TestPrintsOfProgress(t *testing.T) {
	t.Parallel()
	r := must(t, lane("\ufeff"+`
import os, sys
def f(x):
    for i in range(10000):
        sys.stderr.write("\r%60d of 9999" % i)
        sys.stderr.flush()
        if i % 1000 == 0: os.write(1, b"%d|\r" % i)
        print(i, end="\r")
    print("windows", end="\r\n")
    sys.stderr.write("\nover\r\r\n")
    return x
`), executortest.Numbers(1, 0, 1))
	want := []string{"0 stderr " + fmt.Sprintf("%60d of 9999", 9999), "0 stderr over", "0 stdout 9000|", "0 stdout windows"}
	got := r.Text()
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestPrintsWithThreads(t *testing.T) {
	t.Parallel()
	l := lane(`
import time
def f(x):
    for i in range(20):
        print("task", x, "line", i)
        time.sleep(0.0005)
`)
	l.Threads = 4
	r := must(t, l, executortest.Numbers(1, 0, 12))
	next := map[int64]int{}
	for _, line := range r.Logs {
		if want := fmt.Sprintf("task %d line %d", line.Task, next[line.Task]); line.Line != want {
			t.Fatalf("task %d printed %q, want %q", line.Task, line.Line, want)
		}
		next[line.Task]++
	}
	for i := range int64(12) {
		if next[i] != 20 {
			t.Errorf("task %d: %d lines", i, next[i])
		}
	}
}

// TestPrintsAreLive checks that lines arrive while their task still runs.
func TestPrintsAreLive(t *testing.T) {
	t.Parallel()
	source, file := gate(t)
	b := executortest.Begin(t, shared, lane(source))
	b.Give(executortest.Numbers(1, 500, 1))
	b.Await("a line comes", func() bool { return len(b.Logs) > 0 && len(b.Ended) == 0 })
	open(t, file)
	if err := b.End(); err != nil {
		t.Fatal(err)
	}
}

func TestPrintsAreCapped(t *testing.T) {
	t.Parallel()
	l := lane(`
import os
def f(x):
    if x == 0:
        os.write(1, b"from here on it is exact\n")
        for i in range(100000):
            print("line", i)
    if x == 1:
        print("y" * 100000)
    if x == 2:
        for i in range(1000):
            os.write(1, b"z" * 1000 + b"\n")
    print("end of", x)
`)
	r := must(t, l, executortest.Numbers(1, 0, 4))
	size := map[int64]int{}
	cut := map[int64]bool{}
	for _, line := range r.Logs {
		size[line.Task] += len(line.Line) + 1
		if len(line.Line) > 66<<10 {
			t.Errorf("a line of %d bytes", len(line.Line))
		}
		cut[line.Task] = cut[line.Task] || strings.Contains(line.Line, "[cut")
	}
	for i := range int64(3) {
		if size[i] > 300<<10 || size[i] < 60<<10 || !cut[i] {
			t.Errorf("task %d: %d bytes, cut %v", i, size[i], cut[i])
		}
	}
	if size[3] != len("end of 3\n") {
		t.Errorf("task 3: %d bytes", size[3])
	}
}

// TestManyPrints checks that many small prints of many small tasks are cheap.
func TestManyPrints(t *testing.T) {
	t.Parallel()
	began := time.Now()
	r := must(t, lane("def f(x):\n    print(x)\n    return x"), executortest.Numbers(1, 0, 50_000))
	if len(r.Logs) != 50_000 {
		t.Fatalf("%d lines", len(r.Logs))
	}
	for i, line := range r.Logs {
		if line.Task != int64(i) || line.Line != fmt.Sprint(i) {
			t.Fatalf("line %d: task %d %q", i, line.Task, line.Line)
		}
	}
	t.Logf("%v", time.Since(began))
}

// TestPrintsBeforeOutcomes checks that an outcome which leaves a chunk that goes on
// comes with or after what its task printed, also without a line's end.
func TestPrintsBeforeOutcomes(t *testing.T) {
	t.Parallel()
	for _, threads := range []int{1, 2} {
		path := filepath.Join(t.TempDir(), "go")
		l := lane(fmt.Sprintf("import os, sys, time\ndef f(x):\n    if x < 2: sys.stdout.write('printed %%d' %% x)\n    while x == 2 and not os.path.exists(%q): time.sleep(0.001)\n    return x\n", path))
		l.Threads = threads
		b := executortest.Begin(t, shared, l)
		b.Give(executortest.Numbers(1, 0, 3))
		b.Await("outcomes come early", func() bool { return len(b.Outputs) == 2 })
		b.Lock()
		if got := b.Text(); len(got) != 2 {
			t.Errorf("%d threads: with the outcomes came %q", threads, got)
		}
		b.Unlock()
		open(t, path)
		if err := b.End(); err != nil {
			t.Fatal(err)
		}
	}
}
