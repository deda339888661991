package python_test

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/executortest"
	"github.com/allcores/allcores/internal/jobs/executor/python"
)

func TestMain(m *testing.M) {
	shared = python.New(python.Options{})
	code := m.Run()
	shared.Close()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// shared is the executor of tests that need none of their own.
var shared *python.Executor

// lane returns a lane of one thread that runs function f of the source.
func lane(source string) executor.Lane {
	return executor.Lane{
		Job: "job", Owner: "owner", Threads: 1,
		Program: jobs.Program{Python: &jobs.Python{Source: source, Function: "f", Call: jobs.CallValue}},
	}
}

// must runs chunks in one session that must not end in an error.
func must(t *testing.T, l executor.Lane, chunks ...executor.Chunk) *executortest.Record {
	t.Helper()
	r, err := executortest.Run(t, shared, l, chunks...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSquares(t *testing.T) {
	t.Parallel()
	r := must(t, lane("def f(x):\n    return x * x\n"), executortest.Numbers(1, 0, 1000), executortest.Numbers(2, 1000, 1), executortest.Numbers(3, 1001, 99))
	for i := range int64(1100) {
		if want := fmt.Sprint(i * i); r.Outputs[i] != want {
			t.Errorf("f(%d) = %s, want %s", i, r.Outputs[i], want)
		}
	}
}

// TestUsesOfAProcess checks that a process is used again a bounded number of times:
// it grows a little with each job.
func TestUsesOfAProcess(t *testing.T) {
	t.Parallel()
	e := python.New(python.Options{MaxUses: 3})
	defer e.Close()
	var pids []string
	for i := range 7 {
		l := lane("import os\ndef f(x): return os.getpid()")
		l.Job = fmt.Sprint(i)
		r, err := executortest.Run(t, e, l, executortest.Numbers(1, 0, 1))
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, r.Outputs[0])
	}
	if got := len(slices.Compact(slices.Clone(pids))); got != 3 || pids[0] != pids[2] || pids[3] != pids[5] {
		t.Errorf("%d processes: %v", got, pids)
	}
}
