package engine

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/insight"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// A meter counts what this node does, for the history of queues and nodes.
type meter struct {
	mu     sync.Mutex
	queues map[string]*queueMeter
	cores  coreMeter
	lost   int64 // other nodes that this one found dead
}

// A queueMeter is what this node has done for a queue since it started.
type queueMeter struct {
	now, written queueCounts

	submitted               int64               // jobs
	chunks                  insight.TimeClasses // from the start of the first task to the last outcome
	inLine, inTasks, worked time.Duration       // sums of what waits, runs and chunks count
}

// queueCounts only grow.
type queueCounts struct {
	succeeded, failed int64               // tasks with a final outcome
	waits             insight.TimeClasses // turns by their wait for a slot
	runs              insight.TimeClasses // runs of tasks, those that are tried again included
}

// A coreMeter adds up what the cores did since the last sample.
type coreMeter struct {
	looks               float64
	user, system, other float64 // percent of the time of all cores
	busy                []float64
}

// of is a queue's meter. mu must be held. There are as many as there were queues
// that this node served or took jobs for.
func (m *meter) of(queue string) *queueMeter {
	q := m.queues[queue]
	if q == nil {
		if m.queues == nil {
			m.queues = make(map[string]*queueMeter)
		}
		q = new(queueMeter)
		m.queues[queue] = q
	}
	return q
}

// waited counts a turn that has got a slot.
func (m *meter) waited(queue string, wait time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	q := m.of(queue)
	q.now.waits.AddDuration(wait)
	q.inLine += wait
}

// submitted counts a job.
func (m *meter) submitted(queue string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of(queue).submitted++
}

// tookBack counts a dead node.
func (m *meter) tookBack() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lost++
}

// ran counts a chunk that was recorded: what the executor reported, and what of
// it are final outcomes.
func (m *meter) ran(queue string, r executor.Update, final []outcomes.Encoded) {
	m.mu.Lock()
	defer m.mu.Unlock()
	q := m.of(queue)
	now := &q.now
	if !r.Usage.StartedAt.IsZero() { // something of it was run
		for _, run := range r.Outcomes {
			now.runs.AddCodes(run.Durations)
		}
		took := r.Usage.FinishedAt.Sub(r.Usage.StartedAt)
		q.chunks.AddDuration(took)
		q.worked += took
		q.inTasks += r.Usage.InTasks
	}
	for _, run := range final {
		now.succeeded += int64(run.Count - len(run.Failed))
		now.failed += int64(len(run.Failed))
	}
}

// look counts what the cores did between two beats.
func (m *meter) look(cores []jobs.Core) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &m.cores
	if c.busy == nil {
		c.busy = make([]float64, len(cores))
	}
	c.looks++
	for i, core := range cores {
		c.busy[i] += core.BusyPercent
		c.user += core.User / float64(len(cores))
		c.system += core.System / float64(len(cores))
		c.other += core.Other / float64(len(cores))
	}
}

// sample is what the cores did since the last call.
func (m *meter) sample(cores []int) insight.NodeSample {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.cores
	m.cores = coreMeter{}
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
func (m *meter) fresh() (samples []insight.QueueSample, wrote func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	told := make(map[*queueMeter]queueCounts)
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

// meterOn writes a sample of this node every few seconds, and a last one when
// ctx ends. What could not be written is part of the next.
func (e *Engine) meterOn(ctx context.Context) {
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
	n := e.meter.sample(e.Cores)
	m := memory()
	n.Node, n.Load, n.Memory = e.node.ID, loadAverage(), m.Total-m.Available
	queues, wrote := e.meter.fresh()
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
