package engine_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// TestEarlyOutcomes checks that the outcomes of short tasks are there while a long task
// of their chunk runs, for functions and commands, one by one and at once; that a failed
// one is tried again meanwhile; and that the figures are right at the end.
func TestEarlyOutcomes(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	source := `
import os, time
def f(path):
    if path.endswith("once"):
        if not os.path.exists(path):
            open(path, "w").close()
            raise ValueError(path)
        return "twice"
    while path and not os.path.exists(path):
        time.sleep(0.002)
    return path
`
	script := `case "$1" in
*once) [ -e "$1" ] || { touch "$1"; exit 3; } ;;
"") ;;
*) until [ -e "$1" ]; do sleep 0.01; done ;;
esac`
	for name, test := range map[string]struct {
		program jobs.Program
		threads int
	}{
		"one function":  {jobs.Program{Python: &jobs.Python{Source: source, Function: "f"}}, 1},
		"two functions": {jobs.Program{Python: &jobs.Python{Source: source, Function: "f"}}, 2},
		"one command":   {jobs.Program{Command: &jobs.Command{Argv: []string{"sh", "-c", script, "sh", "{}"}}}, 1},
		"two commands":  {jobs.Program{Command: &jobs.Command{Argv: []string{"sh", "-c", script, "sh", "{}"}}}, 2},
	} {
		t.Run(name, func(t *testing.T) { // one after the other, as each needs both slots
			dir := t.TempDir()
			open := filepath.Join(dir, "open")
			inputs := []string{`""`, fmt.Sprintf("%q", filepath.Join(dir, "once")), `""`, fmt.Sprintf("%q", open), `""`}
			early := 2 // beside the task that fails first
			if test.threads > 1 {
				early, inputs[0], inputs[3] = 3, inputs[3], inputs[0]
			}
			in := jobs.Inputs{}
			for _, text := range inputs {
				in.Items = append(in.Items, []byte(text))
			}
			backoff := jobs.Duration("1ms")
			id := n.submit(t, jobs.Spec{Program: test.program, Inputs: in, Policy: jobs.Policy{
				Processes: pointer(2), Threads: &test.threads, ChunkSize: pointer(5), MaxAttempts: pointer(2), RetryBackoff: &backoff,
			}})
			counts := func() jobs.Counts {
				j, err := n.store.Job(t.Context(), store.As(n.admin), id)
				if err != nil {
					t.Fatal(err)
				}
				return j.Counts
			}
			await(t, "the short tasks have outcomes", func() bool { return counts().Succeeded > int64(early) })
			if c := counts(); c.Running != int64(4-early) || c.Waiting != 0 {
				t.Errorf("while the long task runs: %+v", c)
			}
			if err := os.WriteFile(open, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			j := n.end(t, id, 20*time.Second)
			if j.State != jobs.Succeeded || j.Counts.Succeeded != 5 {
				t.Errorf("%+v", j)
			}
			task, err := n.store.Task(t.Context(), j, 1)
			if err != nil || task.Attempts != 2 || len(task.Earlier) != 1 || task.State != jobs.TaskSucceeded {
				t.Errorf("the task that failed once: %+v, %v", task, err)
			}
			bars, err := n.store.Bars(t.Context(), id, 0, 10)
			tasks := 0
			for _, bar := range bars {
				tasks += bar.Count
			}
			if err != nil || tasks != 5 {
				t.Errorf("%d tasks in the timeline, %v", tasks, err)
			}
		})
	}
}
