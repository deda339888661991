package engine

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/insight"
)

// sample returns what the cores did since the last call.
func (u *usageCounters) sample(cores []int) insight.NodeSample {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := u.cores
	u.cores = coreCounters{}
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

// fresh returns what was done since the last call of wrote, which notes that the
// samples were written.
func (u *usageCounters) fresh() (samples []insight.QueueSample, wrote func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	sampled := make(map[*queueCounters]taskCounts)
	for name, q := range u.queues {
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
		sampled[q] = q.now
	}
	return samples, func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		for q, counts := range sampled {
			q.written = counts
		}
	}
}

// lastSample bounds the write of the last sample of a node that stops.
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

// Bounds of one prune.
const (
	pruneBatch = 5000 // rows in one transaction
	pruneFor   = time.Second
)

// pruneSamples deletes samples past their retention for pruneFor; the next round
// deletes the rest.
func (e *Engine) pruneSamples(ctx context.Context) error {
	for deadline := time.Now().Add(pruneFor); time.Now().Before(deadline); {
		n, err := e.Store.PruneSamples(ctx, pruneBatch)
		if err != nil || n < pruneBatch {
			return err
		}
	}
	return nil
}
