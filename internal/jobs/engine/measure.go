package engine

import (
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/insight"
)

// Measures are what this node has measured since it started. They only grow,
// but for the slots.
type Measures struct {
	Queues map[string]QueueMeasures // those that this node serves, or took jobs for
	Lost   int64                    // other nodes that this one found dead, and whose work it put back
}

// QueueMeasures are of one queue on one node.
type QueueMeasures struct {
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
func (e *Engine) Measures() Measures {
	slots := e.queues.slotUse()
	p := e.plan.Load()
	m := &e.meter
	m.mu.Lock()
	defer m.mu.Unlock()
	measures := Measures{Queues: make(map[string]QueueMeasures), Lost: m.lost}
	for name, use := range slots {
		measures.Queues[name] = QueueMeasures{Slots: use}
	}
	for name, q := range m.queues {
		if p != nil {
			if _, known := p.queues[name]; !known {
				continue
			}
		}
		measures.Queues[name] = QueueMeasures{
			Submitted: q.submitted, Slots: slots[name],
			Tasks: Times{q.now.runs, q.inTasks}, Chunks: Times{q.chunks, q.worked}, Waits: Times{q.now.waits, q.inLine},
		}
	}
	return measures
}
