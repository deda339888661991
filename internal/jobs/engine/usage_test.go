package engine_test

import (
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/insight"
	"github.com/allcores/allcores/internal/store"
)

// TestUsageSamples runs a job whose tasks take 2 ms; each tenth fails at its first
// attempt, and each hundredth at both.
func TestUsageSamples(t *testing.T) {
	t.Parallel()
	url := template.New(t)
	n := startReal(t, url)
	reader, err := store.Open(t.Context(), store.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reader.Close)
	dir := t.TempDir()
	spec := python(`
import os, time
def f(x):
    time.sleep(0.002)
    if x % 100 == 0: raise ValueError("never")
    if x % 10 == 0:
        try: os.close(os.open(os.path.join(`+"'"+dir+"'"+`, str(x)), os.O_CREAT | os.O_EXCL))
        except FileExistsError: return x
        raise ValueError("once")
`, "f", rangeOf(300))
	spec.Queue = "io"
	spec.Policy.MaxAttempts = pointer(2)
	spec.Policy.RetryBackoff = pointer(jobs.Duration("1ms"))
	n.end(t, n.submit(t, spec), 20*time.Second)
	n.stop(t) // which writes the last sample

	samples, err := reader.Samples(t.Context(), store.SampleQuery{Cores: true})
	if err != nil {
		t.Fatal(err)
	}
	var s insight.QueueSeries
	for _, sample := range samples.Queues {
		if sample.Queue != "io" || sample.Node != n.NodeID() {
			t.Errorf("%+v", sample)
		}
		s.Add(sample)
	}
	h := s.History(samples.Now)
	if h.Succeeded != 297 || h.Failed != 3 {
		t.Errorf("%d succeeded, %d failed", h.Succeeded, h.Failed)
	}
	runs, waits := int32(0), int32(0)
	for _, sample := range samples.Queues {
		for _, count := range sample.Runs.Counts {
			runs += count
		}
		for _, count := range sample.Waits.Counts {
			waits += count
		}
	}
	if runs != 330 {
		t.Errorf("%d runs of tasks, want 330", runs)
	}
	if h.Run == nil || h.Run.P50 < 1.9 || h.Run.P50 > 20 || h.Run.P99 < h.Run.P50 {
		t.Errorf("run times %+v", h.Run)
	}
	if waits < 1 || h.Wait == nil {
		t.Errorf("%d turns waited: %+v", waits, h.Wait)
	}
	if len(samples.Nodes) == 0 {
		t.Fatal("no sample of the node")
	}
	last := samples.Nodes[0]
	if last.Node != n.NodeID() || len(last.Cores) != 2 || len(last.Busy) != 2 || last.Memory <= 0 || last.User < 0 || last.User > 100 {
		t.Errorf("%+v", last)
	}
}
