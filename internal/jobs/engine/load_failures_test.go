package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/command"
	pyexec "github.com/allcores/allcores/internal/jobs/executor/python"
	"github.com/allcores/allcores/internal/store"
)

// A records keeps the messages logged at a level or above.
type records struct {
	level slog.Level
	mu    sync.Mutex
	lines []string
}

func (r *records) Enabled(_ context.Context, l slog.Level) bool { return l >= r.level }
func (r *records) WithAttrs([]slog.Attr) slog.Handler           { return r }
func (r *records) WithGroup(string) slog.Handler                { return r }
func (r *records) Handle(_ context.Context, rec slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, rec.Message)
	return nil
}

// TestFailedLoadIsAnAttempt checks that a failed load is an attempt: the lane retries
// as the policy says, other lanes run its tasks, and the job ends when no lane could
// load the program. The node logs no error.
func TestFailedLoadIsAnAttempt(t *testing.T) {
	t.Parallel()
	logged := &records{level: slog.LevelWarn}
	logger := slog.New(logged)
	py := pyexec.New(pyexec.Options{Logger: logger})
	t.Cleanup(py.Close)
	n := start(t, template.New(t), engine.Options{
		Logger:    logger,
		Executors: map[string]executor.Executor{"python": py, "command": &command.Executor{}},
		Checks:    engine.Checks{Python: py.Check},
	})
	// Counts the loads, and fails with the first ones.
	const counted = `
import os, time, fcntl, signal
def load():
    with open(%[1]q, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("x")
        file.flush()
        return os.path.getsize(%[1]q)
n = load()
if n <= %[2]d:
    %[3]s
def f(x):
    time.sleep(0.01)
    return x
`
	for i, test := range []struct {
		fail      int // loads that fail
		how       string
		attempts  int
		processes int
		threads   int
		succeeded int64
		loads     [2]int // least and most: a lane tries on while another one has attempts left
		reason    string
	}{
		{1, `raise ConnectionError("away")`, 3, 2, 1, 20, [2]int{2, 4}, ""},
		{2, `raise ConnectionError("away")`, 3, 1, 1, 20, [2]int{3, 3}, ""},
		{2, `os._exit(9)`, 3, 1, 2, 20, [2]int{3, 3}, ""},
		{1, `os.kill(os.getpid(), signal.SIGSEGV)`, 2, 1, 1, 20, [2]int{2, 2}, ""},
		{99, `raise ConnectionError("away")`, 3, 1, 1, 0, [2]int{3, 3}, "ConnectionError: away"},
		{99, `raise ConnectionError("away")`, 1, 1, 1, 0, [2]int{1, 1}, "ConnectionError: away"},
		{99, `raise ConnectionError("away")`, 1, 2, 1, 0, [2]int{1, 2}, "ConnectionError: away"},
		{99, `os._exit(9)`, 2, 2, 2, 0, [2]int{2, 6}, "exit code 9"},
		{99, `import no_such_module_here`, 2, 2, 1, 0, [2]int{2, 6}, "no_such_module_here"},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "loads")
			spec := python(fmt.Sprintf(counted, file, test.fail, test.how), "f", rangeOf(20))
			spec.Policy.MaxAttempts, spec.Policy.Processes, spec.Policy.Threads = &test.attempts, &test.processes, &test.threads
			spec.Policy.RetryBackoff = pointer(jobs.Duration("50ms"))
			spec.Policy.ChunkSize = pointer(1)
			id := n.submit(t, spec)
			j := n.end(t, id, 30*time.Second)
			info, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			if loads := int(info.Size()); loads < test.loads[0] || loads > test.loads[1] {
				t.Errorf("%d loads, want %v", loads, test.loads)
			}
			if j.Counts.Succeeded != test.succeeded || !strings.Contains(j.Reason, test.reason) {
				t.Errorf("%+v: %s", j.Counts, j.Reason)
			}
			if test.reason != "" && (j.State != jobs.Failed || j.Counts.Failed != 1 || j.Counts.Cancelled != 19) {
				t.Errorf("%v: %+v", j.State, j.Counts)
			}
			page, err := n.store.Logs(t.Context(), id, store.LogFilter{}, 0)
			if err != nil || !slices.ContainsFunc(page.Lines, func(l jobs.LogLine) bool { return strings.Contains(l.Line, "could not be loaded") }) {
				t.Errorf("logs %v, %v", page.Lines, err)
			}
		})
	}
	logged.mu.Lock()
	defer logged.mu.Unlock()
	if len(logged.lines) > 0 {
		t.Errorf("the node logged %q", logged.lines)
	}
}

// TestOneNodeCannotLoad checks that a lane on a node that cannot load the program
// leaves the tasks to the others.
func TestOneNodeCannotLoad(t *testing.T) {
	t.Parallel()
	url := template.New(t)
	start := func(e executor.Executor) *node {
		return start(t, url, engine.Options{
			Logger:    slog.New(slog.NewTextHandler(t.Output(), nil)),
			Executors: map[string]executor.Executor{"python": e},
		})
	}
	py := pyexec.New(pyexec.Options{})
	t.Cleanup(py.Close)
	n := start(lacking{})
	start(py)
	spec := python("import time\ndef f(x):\n    time.sleep(0.02)\n    return x\n", "f", rangeOf(200))
	spec.Policy.Processes = pointer(4)
	// Turns begin on the node that gets the submission. With one attempt the job would
	// end there at once unless another lane is at work.
	spec.Policy.MaxAttempts = pointer(2)
	j := n.end(t, n.submit(t, spec), 30*time.Second)
	if j.State != jobs.Succeeded || j.Counts.Succeeded != 200 {
		t.Errorf("%v: %+v %s", j.State, j.Counts, j.Reason)
	}
}

// lacking is an executor on a node that lacks what every program needs.
type lacking struct{}

func (lacking) Run(ctx context.Context, l executor.Lane, in <-chan executor.Chunk, report func(executor.Update)) error {
	c, ok := <-in
	if !ok {
		return errors.New("no chunk")
	}
	report(executor.Update{Chunk: c.ID, Ended: true, Back: []executor.Span{{First: c.First, Count: c.Count}}})
	return &executor.LoadError{TaskError: jobs.TaskError{Kind: jobs.KindException, Type: "ModuleNotFoundError", Message: "no numpy here"}}
}

// TestForgingTaskFailsAlone checks that a task that writes messages in the runner's
// name is found among its neighbours and fails alone.
func TestForgingTaskFailsAlone(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	const total, bad = 300, 170
	for _, define := range []string{"def", "async def"} {
		for _, forged := range []string{
			`b"\xff" * 5`,
			`struct.pack("<IBqqdddddq", 64, ord("E"), 1 << 40, 0, 0, 0, 0, 0, 0, 0)`,
		} {
			id := n.submit(t, python(fmt.Sprintf(`
import os, struct
%s f(x):
    if x == %d: os.write(4, %s)
    return x * x
`, define, bad, forged), "f", rangeOf(total)))
			j := n.end(t, id, 60*time.Second)
			task, err := n.store.Task(t.Context(), j, bad)
			if err != nil || task.Error == nil || task.Error.Kind != jobs.KindCrash || !strings.Contains(task.Error.Message, "the process broke the protocol: ") {
				t.Errorf("%s %s: %+v, %v", define, forged, task, err)
			}
			if j.State != jobs.Failed || j.Counts.Failed != 1 || j.Counts.Succeeded != total-1 {
				t.Errorf("%s %s: %+v", define, forged, j.Counts)
			}
		}
	}
}
