package engine

import (
	"sync"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/insight"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// usageCounters count what this node does, for the history of queues and nodes.
type usageCounters struct {
	mu     sync.Mutex
	queues map[string]*queueCounters
	cores  coreCounters
	lost   int64 // other nodes that this one found dead
}

// queueCounters count what this node has done for a queue since it started.
type queueCounters struct {
	now, written taskCounts

	submitted               int64               // jobs
	chunks                  insight.TimeClasses // from the start of the first task to the last outcome
	inLine, inTasks, worked time.Duration       // sums of what waits, runs and chunks count
}

// taskCounts only grow.
type taskCounts struct {
	succeeded, failed int64               // tasks with a final outcome
	waits             insight.TimeClasses // turns by their wait for a slot
	runs              insight.TimeClasses // runs of tasks, those that are tried again included
}

// coreCounters add up what the cores did since the last sample.
type coreCounters struct {
	looks               float64 // beats
	user, system, other float64 // percent of the time of all cores
	busy                []float64
}

// of returns a queue's counters; mu must be held. There are as many as queues that
// this node served or took jobs for.
func (u *usageCounters) of(queue string) *queueCounters {
	q := u.queues[queue]
	if q == nil {
		if u.queues == nil {
			u.queues = make(map[string]*queueCounters)
		}
		q = new(queueCounters)
		u.queues[queue] = q
	}
	return q
}

// waited counts a turn that has a slot, and its wait.
func (u *usageCounters) waited(queue string, wait time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	q := u.of(queue)
	q.now.waits.AddDuration(wait)
	q.inLine += wait
}

// submitted counts a job.
func (u *usageCounters) submitted(queue string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.of(queue).submitted++
}

// tookBack counts a dead node.
func (u *usageCounters) tookBack() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.lost++
}

// ran counts a recorded chunk, or a part of it: the executor's update, and which of its
// outcomes are final.
func (u *usageCounters) ran(queue string, update executor.Update, final []outcomes.Encoded) {
	u.mu.Lock()
	defer u.mu.Unlock()
	q := u.of(queue)
	now := &q.now
	if !update.Usage.StartedAt.IsZero() { // part of it ran
		for _, run := range update.Outcomes {
			now.runs.AddCodes(run.Durations)
		}
	}
	if update.Ended && !update.Usage.StartedAt.IsZero() {
		took := update.Usage.FinishedAt.Sub(update.Usage.StartedAt)
		q.chunks.AddDuration(took)
		q.worked += took
		q.inTasks += update.Usage.InTasks
	}
	for _, run := range final {
		now.succeeded += int64(run.Count - len(run.Failed))
		now.failed += int64(len(run.Failed))
	}
}

// look adds what the cores did between two beats.
func (u *usageCounters) look(cores []jobs.Core) {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := &u.cores
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

// Usage holds this node's counts and measurements since it started. All but the slots
// only grow.
type Usage struct {
	Queues map[string]QueueUsage // those that this node serves, or took jobs for
	Lost   int64                 // other nodes that this one found dead and took the work back from
}

// QueueUsage is the usage of one queue on one node.
type QueueUsage struct {
	Submitted int64        // jobs
	Slots     jobs.SlotUse // now
	Tasks     Times        // wall time of each run of a task, those that are tried again included
	Chunks    Times        // from the start of a chunk's first task to its last outcome
	Waits     Times        // of turns, from the moment they could have been fetched until they had a slot
}

// Times count durations by their class, and add them up.
type Times struct {
	Classes insight.TimeClasses
	Sum     time.Duration
}

// Usage returns the usage of this node so far, of the queues that exist.
func (e *Engine) Usage() Usage {
	slots := e.queues.slotUse()
	p := e.queues.plan.Load()
	u := &e.usage
	u.mu.Lock()
	defer u.mu.Unlock()
	usage := Usage{Queues: make(map[string]QueueUsage), Lost: u.lost}
	for name, use := range slots {
		usage.Queues[name] = QueueUsage{Slots: use}
	}
	for name, q := range u.queues {
		if p != nil {
			if _, known := p.queues[name]; !known {
				continue
			}
		}
		usage.Queues[name] = QueueUsage{
			Submitted: q.submitted, Slots: slots[name],
			Tasks: Times{q.now.runs, q.inTasks}, Chunks: Times{q.chunks, q.worked}, Waits: Times{q.now.waits, q.inLine},
		}
	}
	return usage
}
