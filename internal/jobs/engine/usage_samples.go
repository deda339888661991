package engine

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/insight"
)

// sample is what the cores did since the last call.
func (m *usageCounters) sample(cores []int) insight.NodeSample {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.cores
	m.cores = coreCounters{}
	mean := func(sum float64) float64 { return sum / max(c.looks, 1) }
	n := insight.NodeSample{
		User: mean(c.user), System: mean(c.system), Other: mean(c.other),
		Cores: make([]int16, len(cores)), Busy: make([]int16, len(cores)),
	}
	for i, core := range cores {
		n.Cores[i] = int16(core)
		if i < len(c.busy) {
			n.Busy[i] = int16(math.Round(mean(c.busy[i])))
		}
	}
	return n
}

// fresh is what was done since the last call of the function that it returns,
// which is for when it was written.
func (m *usageCounters) fresh() (samples []insight.QueueSample, wrote func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	told := make(map[*queueCounters]taskCounts)
	for name, q := range m.queues {
		if q.now == q.written {
			continue
		}
		samples = append(samples, insight.QueueSample{
			Queue:     name,
			Succeeded: q.now.succeeded - q.written.succeeded,
			Failed:    q.now.failed - q.written.failed,
			Waits:     q.now.waits.Since(&q.written.waits),
			Runs:      q.now.runs.Since(&q.written.runs),
		})
		told[q] = q.now
	}
	return samples, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		for q, counts := range told {
			q.written = counts
		}
	}
}

// lastSample is how long the last sample of a node that stops may take.
const lastSample = 2 * time.Second

// sampleUsage writes a sample of this node every few seconds, and a last one when
// ctx ends. What could not be written is part of the next.
func (e *Engine) sampleUsage(ctx context.Context) {
	tick := time.NewTicker(insight.SampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSample)
			defer cancel()
			if err := e.writeSample(last); err != nil {
				e.Logger.Debug("write the last sample", "error", err)
			}
			return
		case <-tick.C:
		}
		if err := e.writeSample(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, jobs.ErrUnavailable) {
			e.Logger.Error("write sample", "error", err)
		}
	}
}

func (e *Engine) writeSample(ctx context.Context) error {
	n := e.usage.sample(e.Cores)
	m := memory()
	n.Node, n.Load, n.Memory = e.node.ID, loadAverage(), m.Total-m.Available
	queues, wrote := e.usage.fresh()
	err := e.Store.AddSamples(ctx, n, queues)
	if err == nil {
		wrote()
	}
	return err
}

// Bounds of what is pruned at once, and how long at most.
const (
	pruneBatch = 5000
	pruneFor   = time.Second
)

// pruneSamples deletes samples that are kept no longer, for a moment: what is
// left is for the next round.
func (e *Engine) pruneSamples(ctx context.Context) error {
	for deadline := time.Now().Add(pruneFor); time.Now().Before(deadline); {
		n, err := e.Store.PruneSamples(ctx, pruneBatch)
		if err != nil || n < pruneBatch {
			return err
		}
	}
	return nil
}
