package engine

import (
	"sync"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/insight"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// A meter counts what this node does, for the history of queues and nodes.
type usageCounters struct {
	mu     sync.Mutex
	queues map[string]*queueCounters
	cores  coreCounters
	lost   int64 // other nodes that this one found dead
}

// A queueMeter is what this node has done for a queue since it started.
type queueCounters struct {
	now, written taskCounts

	submitted               int64               // jobs
	chunks                  insight.TimeClasses // from the start of the first task to the last outcome
	inLine, inTasks, worked time.Duration       // sums of what waits, runs and chunks count
}

// queueCounts only grow.
type taskCounts struct {
	succeeded, failed int64               // tasks with a final outcome
	waits             insight.TimeClasses // turns by their wait for a slot
	runs              insight.TimeClasses // runs of tasks, those that are tried again included
}

// A coreMeter adds up what the cores did since the last sample.
type coreCounters struct {
	looks               float64
	user, system, other float64 // percent of the time of all cores
	busy                []float64
}

// of is a queue's meter. mu must be held. There are as many as there were queues
// that this node served or took jobs for.
func (m *usageCounters) of(queue string) *queueCounters {
	q := m.queues[queue]
	if q == nil {
		if m.queues == nil {
			m.queues = make(map[string]*queueCounters)
		}
		q = new(queueCounters)
		m.queues[queue] = q
	}
	return q
}

// waited counts a turn that has got a slot.
func (m *usageCounters) waited(queue string, wait time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	q := m.of(queue)
	q.now.waits.AddDuration(wait)
	q.inLine += wait
}

// submitted counts a job.
func (m *usageCounters) submitted(queue string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of(queue).submitted++
}

// tookBack counts a dead node.
func (m *usageCounters) tookBack() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lost++
}

// ran counts a chunk that was recorded: what the executor reported, and what of
// it are final outcomes.
func (m *usageCounters) ran(queue string, r executor.Update, final []outcomes.Encoded) {
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
func (m *usageCounters) look(cores []jobs.Core) {
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

// Measures are what this node has measured since it started. They only grow,
// but for the slots.
type Usage struct {
	Queues map[string]QueueUsage // those that this node serves, or took jobs for
	Lost   int64                 // other nodes that this one found dead, and whose work it put back
}

// QueueMeasures are of one queue on one node.
type QueueUsage struct {
	Submitted int64        // jobs
	Slots     jobs.SlotUse // now
	Tasks     Times        // wall time of each run of a task, those that are tried again included
	Chunks    Times        // from the start of a chunk's first task to its last outcome
	Waits     Times        // of turns, from the moment they could have been fetched until they had a slot
}

// Times are durations, counted by their class, and their sum.
type Times struct {
	Classes insight.TimeClasses
	Sum     time.Duration
}

// Measures is what this node has measured so far, of the queues that there are.
func (e *Engine) Usage() Usage {
	slots := e.queues.slotUse()
	p := e.queues.plan.Load()
	m := &e.usage
	m.mu.Lock()
	defer m.mu.Unlock()
	measures := Usage{Queues: make(map[string]QueueUsage), Lost: m.lost}
	for name, use := range slots {
		measures.Queues[name] = QueueUsage{Slots: use}
	}
	for name, q := range m.queues {
		if p != nil {
			if _, known := p.queues[name]; !known {
				continue
			}
		}
		measures.Queues[name] = QueueUsage{
			Submitted: q.submitted, Slots: slots[name],
			Tasks: Times{q.now.runs, q.inTasks}, Chunks: Times{q.chunks, q.worked}, Waits: Times{q.now.waits, q.inLine},
		}
	}
	return measures
}
