package python_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/executortest"
)

// waits is a source whose tasks from first on make a file and wait until another exists.
func waits(path string, first int) string {
	return fmt.Sprintf(`
import os, time
def f(x):
    if x >= %d:
        with open(%q, "w"): pass
    while x >= %[1]d and not os.path.exists(%[3]q): time.sleep(0.001)
    return x
`, first, path+".on", path)
}

// awaitWaiting waits until a task of such a source waits.
func awaitWaiting(t *testing.T, path string) {
	t.Helper()
	executortest.Eventually(t, "a task waits", func() bool {
		_, err := os.Stat(path + ".on")
		return err == nil
	})
}

// TestRecall checks that a recall gives back the tasks from an index on that have not
// started, and that all others run.
func TestRecall(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		threads int
		blocks  int   // tasks from this one on wait
		chunk   int64 // recalled,
		first   int64 // from this index on
		back    int64 // tasks that come back,
		at      int64 // at least from this index on
	}{
		{"behind the running task", 1, 3, 1, 0, 6, 4},
		{"later tasks of the running chunk", 1, 3, 1, 8, 2, 8},
		{"a task that has ended", 1, 3, 1, 1, 6, 4},
		{"the waiting chunk", 1, 3, 2, 10, 10, 10},
		{"a part of the waiting chunk", 1, 3, 2, 15, 5, 15},
		{"of several threads", 2, 3, 1, 0, 6, 4},
		{"within a batch of short tasks", 1, 30003, 2, 30000, 6996, 30004},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			recall := make(chan executor.Recall)
			path := filepath.Join(t.TempDir(), "go")
			l := lane(waits(path, test.blocks))
			l.Threads, l.Recall = test.threads, recall
			b := executortest.Begin(t, shared, l)
			count := int64(10)
			if test.blocks > 1000 { // batches have grown by then
				b.Give(executortest.Numbers(1, 0, 30000))
				b.Give(executortest.Numbers(2, 30000, 7000))
				count = 37000
			} else {
				b.Give(executortest.Numbers(1, 0, 10))
				b.Give(executortest.Numbers(2, 10, 10))
				count = 20
			}
			awaitWaiting(t, path)
			recall <- executor.Recall{Chunk: test.chunk, First: test.first}
			b.Await("the recall is answered", func() bool { return len(b.Recalled) == 1 })
			open(t, path)
			if err := b.End(); err != nil {
				t.Fatal(err)
			}
			u := b.Recalled[0]
			if len(u.Back) == 0 {
				t.Fatal("nothing came back")
			}
			if len(u.Back) != 1 || u.Back[0].First < test.at || int64(u.Back[0].Count) < test.back-1 || u.Chunk != test.chunk {
				t.Errorf("%+v came back, want about %d tasks from %d on", u.Back, test.back, test.at)
			}
			if ran := int64(len(b.Outputs)); ran+int64(len(b.Back)) != count || len(b.Back) < u.Back[0].Count {
				t.Errorf("%d ran and %d came back of %d", ran, len(b.Back), count)
			}
		})
	}
}

// TestRecallAgain checks that a recall of a task that has started is answered with
// nothing, and that one of a chunk that came back does no harm.
func TestRecallAgain(t *testing.T) {
	t.Parallel()
	recall := make(chan executor.Recall)
	path := filepath.Join(t.TempDir(), "go")
	l := lane(waits(path, 0))
	l.Recall = recall
	b := executortest.Begin(t, shared, l)
	b.Give(executortest.Numbers(1, 0, 1))
	b.Give(executortest.Numbers(2, 1, 5))
	awaitWaiting(t, path)
	for i, r := range []executor.Recall{{Chunk: 1, First: 0}, {Chunk: 2, First: 3}, {Chunk: 2, First: 1}} {
		recall <- r
		b.Await("the recall is answered", func() bool { return len(b.Recalled) == i+1 })
	}
	recall <- executor.Recall{Chunk: 2, First: 1} // it has ended
	b.Give(executortest.Numbers(3, 6, 1))
	open(t, path)
	if err := b.End(); err != nil {
		t.Fatal(err)
	}
	if len(b.Recalled[0].Back) != 0 || b.Recalled[1].Back[0] != (executor.Span{First: 3, Count: 3}) || b.Recalled[2].Back[0] != (executor.Span{First: 1, Count: 2}) {
		t.Errorf("%+v", b.Recalled)
	}
	if len(b.Outputs) != 2 || b.Outputs[0] != "0" || b.Outputs[6] != "6" {
		t.Errorf("ran %v", b.Outputs)
	}
}
