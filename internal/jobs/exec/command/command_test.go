package command_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/exec"
	"github.com/allcores/allcores/internal/jobs/exec/command"
	"github.com/allcores/allcores/internal/jobs/exec/exectest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func lane(argv ...string) exec.Lane {
	return exec.Lane{
		Job: "job", Owner: "owner", Threads: 1,
		Program: jobs.Program{Command: &jobs.Command{Argv: argv, Output: jobs.OutputText, OKExitCodes: []int{0}}},
	}
}

func must(t *testing.T, l exec.Lane, chunks ...exec.Chunk) *exectest.Record {
	t.Helper()
	r, err := exectest.Run(t, command.New(), l, chunks...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEcho(t *testing.T) {
	t.Parallel()
	r := must(t, lane("echo", "n={}", "i={#}"), exectest.Numbers(1, 5, 3), exectest.Values(2, 8, `"a b"`, `{"x":1}`))
	want := map[int64]string{5: `"n=5 i=5"`, 6: `"n=6 i=6"`, 7: `"n=7 i=7"`, 8: `"n=a b i=8"`, 9: `"n={\"x\":1} i=9"`}
	for i, w := range want {
		if r.Outputs[i] != w {
			t.Errorf("task %d: %s, want %s", i, r.Outputs[i], w)
		}
	}
}
