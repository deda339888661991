package engine_test

import (
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/jobs/executor"
	pyexec "github.com/allcores/allcores/internal/jobs/executor/python"
	"github.com/allcores/allcores/internal/jobs/insight"
	"github.com/allcores/allcores/internal/store"
)

// TestWaitForASlotIsReported lets two jobs share one slot.
func TestWaitForASlotIsReported(t *testing.T) {
	t.Parallel()
	py := pyexec.New(pyexec.Options{})
	t.Cleanup(func() { py.Close() })
	n := start(t, template.New(t), engine.Options{Cores: []int{0}, Executors: map[string]executor.Executor{"python": py}, Checks: engine.Checks{Python: py.Check}})
	source := "import time\ndef f(x):\n    time.sleep(0.02)\n"
	first := n.submit(t, python(source, "f", rangeOf(60)))
	await(t, "the first job runs", func() bool {
		j, err := n.store.Job(t.Context(), store.As(n.admin), first)
		return err == nil && j.Counts.Succeeded > 0
	})
	// The new job gets the slot for up to a second.
	second := n.submit(t, python(source, "f", rangeOf(30)))
	n.end(t, second, time.Minute)
	job := n.end(t, first, time.Minute)
	r, err := n.store.Report(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	want := insight.WaitingOnIO
	if r.Shares.Waiting+r.Shares.Idle >= 1.0/3 {
		want = insight.WaitingForSlots
	}
	if r.Lanes != 1 || r.Shares.Waiting < 0.2 || r.Shares.Waiting > 0.6 || r.Shares.Idle > 0.1 || r.Verdict == nil || r.Verdict.Kind != want {
		t.Errorf("%+v, %+v", r, r.Verdict)
	}
}
