package python_test

import (
	"testing"

	"github.com/allcores/allcores/internal/jobs/executor/executortest"
)

// TestMaxTasks checks that a process is replaced once it has started as many tasks as
// it may, over its chunks and sessions, and not before.
func TestMaxTasks(t *testing.T) {
	t.Parallel()
	for _, threads := range []int{1, 2} {
		l := lane("import os\ndef f(x):\n    return os.getpid()\n")
		l.Job, l.Threads, l.MaxTasks = t.Name(), threads, 3
		first := must(t, l, executortest.Numbers(1, 0, 2), executortest.Numbers(2, 2, 2))
		// 0 to 2 in one process; 3 did not fit.
		second := must(t, l, executortest.Numbers(1, 3, 1), executortest.Numbers(2, 4, 1))
		third := must(t, l, executortest.Numbers(1, 5, 1), executortest.Numbers(2, 6, 9))
		if !first.Back[3] || len(first.Outputs) != 3 || len(second.Back) > 0 {
			t.Errorf("%d threads: ran %v, then %v", threads, first.Outputs, second.Outputs)
		}
		tasks := map[string]int{}
		for _, r := range []*executortest.Record{first, second, third} {
			for _, pid := range r.Outputs {
				tasks[pid]++
			}
		}
		for pid, n := range tasks {
			if n > 3 {
				t.Errorf("%d threads: process %s started %d tasks", threads, pid, n)
			}
		}
		for name, same := range map[string]bool{
			"the first process is used up":      first.Outputs[0] == first.Outputs[1] && first.Outputs[1] == first.Outputs[2],
			"the first process is replaced":     second.Outputs[3] != first.Outputs[0],
			"the second process is used up":     second.Outputs[3] == second.Outputs[4] && second.Outputs[4] == third.Outputs[5],
			"the second process is replaced":    third.Outputs[6] != third.Outputs[5] && third.Outputs[6] != "",
			"the third process takes its share": third.Outputs[6] == third.Outputs[8] && third.Back[9],
		} {
			if !same {
				t.Errorf("%d threads: not so: %s: %v %v %v", threads, name, first.Outputs, second.Outputs, third.Outputs)
			}
		}
		l.Job = "another " + t.Name()
		if other := must(t, l, executortest.Numbers(1, 0, 1)); tasks[other.Outputs[0]] > 0 {
			t.Errorf("%d threads: another job shares a process", threads)
		}
	}
}
