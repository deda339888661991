package engine_test

import (
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/jobs/exec"
	pyexec "github.com/allcores/allcores/internal/jobs/exec/python"
)

// startReal brings up a node with the executors that users get.
func startReal(t testing.TB, url string) *node {
	t.Helper()
	py := pyexec.New(pyexec.Options{Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	t.Cleanup(func() { py.Close() })
	return start(t, url, engine.Options{
		Executors:   map[string]exec.Executor{"python": py},
		CheckPython: py.Check,
	})
}

func TestPythonSquares(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	for range 3 {
	began := time.Now()
	id := n.submit(t, python("def f(x): return x*x", "f", rangeOf(1_000_000)))
	j := n.end(t, id, 30*time.Second)
	t.Logf("%v, job says %v, cpu %v", time.Since(began), j.Elapsed(time.Now()), j.CPUSeconds)
	if j.State != jobs.Succeeded || j.Counts.Succeeded != 1_000_000 {
		t.Fatalf("%+v", j)
	}
	}
	rows, _ := n.store.Pool.Query(t.Context(), "select c.job_id::text, c.id, lane, first, count, extract(epoch from leased_at-j.created_at)*1000, extract(epoch from c.started_at-j.created_at)*1000, extract(epoch from c.finished_at-j.created_at)*1000, tasks_us, moving_us, c.user_us, c.system_us from chunks c join jobs j on j.id=c.job_id order by c.id")
	for rows.Next() { v, _ := rows.Values(); t.Log(v...) }
	for range 5 {
		began := time.Now()
		id := n.submit(t, python("def f(x): return x*x", "f", rangeOf(1)))
		n.end(t, id, 30*time.Second)
		t.Logf("one task: %v", time.Since(began))
	}
}
