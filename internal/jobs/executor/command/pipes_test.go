package command_test

import (
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor/executortest"
)

// TestOutputIsTaken checks that a command that reads its own output from the pipe
// cannot block its runner.
func TestOutputIsTaken(t *testing.T) {
	t.Parallel()
	l := lane("sh", "-c", `exec 3>&1
for i in 1 2 3; do cat /proc/self/fd/3 >/dev/null & done
for i in 1 2 3 4 5 6 7 8 9; do echo $i; done
sleep 100`)
	l.Threads, l.Timeout = 8, 500*time.Millisecond
	began := time.Now()
	r := must(t, l, executortest.Numbers(1, 0, 24))
	for i := range int64(24) {
		if r.Failed[i].Kind != jobs.KindTimeout {
			t.Errorf("task %d: %v", i, r.Failed[i])
		}
	}
	if d := time.Since(began); d > 20*time.Second {
		t.Errorf("it took %v", d)
	}
}
