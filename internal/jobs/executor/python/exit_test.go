package python_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor/executortest"
	"github.com/allcores/allcores/internal/jobs/executor/python"
)

// TestExitIsJudgedByAllThatWasWritten checks that the output of a dead process is
// read before its exit is judged, however late that is: its load had succeeded, the
// tasks that had ended keep their outcomes, and only the running task fails.
func TestExitIsJudgedByAllThatWasWritten(t *testing.T) {
	t.Parallel()
	for _, threads := range []int{1, 2} {
		for _, define := range []string{"def", "async def"} {
			e := python.New(python.Options{})
			file := filepath.Join(t.TempDir(), "pid")
			var frames atomic.Int64
			e.OnRead(func() {
				if frames.Add(1) != 2 { // all but the acknowledgement of the load
					return
				}
				executortest.Eventually(t, "the process is dead", func() bool {
					pid, err := os.ReadFile(file)
					if err != nil || len(pid) == 0 {
						return false
					}
					_, err = os.Stat(fmt.Sprintf("/proc/%s/status", pid))
					return err != nil
				})
			})
			l := lane(fmt.Sprintf(`
import os, sys
%s f(x):
    if x < 7:
        return x
    os.write(1, b"past sys.stdout\n")
    with open(%q, "w") as file:
        file.write(str(os.getpid()))
    os._exit(3)
`, define, file))
			l.Threads = threads
			l.Program.Python.Env = map[string]string{"PYTHONHASHSEED": "0"} // no spare interpreter counts
			chunks := []int{7, 1}
			if threads > 1 {
				chunks = []int{0, 8} // only one runs, so that the blame is exact
			}
			b := executortest.Begin(t, e, l)
			if chunks[0] > 0 {
				b.Give(executortest.Numbers(1, 0, chunks[0]))
			}
			b.Give(executortest.Numbers(2, int64(chunks[0]), chunks[1]))
			if err := b.End(); err != nil {
				t.Fatalf("%s, %d threads: %v", define, threads, err)
			}
			if e := b.Failed[7]; e.Kind != jobs.KindCrash || e.Type != "exit 3" || len(b.Failed) != 1 {
				if !b.Suspects[7] || threads == 1 {
					t.Errorf("%s, %d threads: failed %v, suspects %v, lost %v, back %v", define, threads, b.Failed, b.Suspects, b.Lost, b.Back)
				}
			}
			if threads == 1 && (len(b.Outputs) != 7 || !strings.Contains(strings.Join(b.Text(), "\n"), "7 stdout past sys.stdout")) {
				t.Errorf("%s: outputs %v, printed %q", define, b.Outputs, b.Text())
			}
			e.Close()
		}
	}
}
