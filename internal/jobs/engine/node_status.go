package engine

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// health holds this node's measurements of its machine, and its last trouble.
type health struct {
	cores     coreTimes
	lowMemory atomic.Bool // less than MemoryFloor is free
	trouble   atomic.Pointer[trouble]
}

// A trouble is why a turn failed on this node's account.
type trouble struct {
	text string
	at   time.Time
}

// troubleFor is how long a trouble is reported after it was last seen.
const troubleFor = 30 * time.Second

// status describes this node for a heartbeat.
func (e *Engine) status() store.NodeStatus {
	s := store.NodeStatus{
		Cores: e.health.cores.busy(), Memory: memory(), Load: loadAverage(),
		Slots: e.queues.slotUse(), Pins: runtime.GOOS == "linux", Progress: e.progress.newest(),
	}
	e.checkMemory(s.Memory)
	s.LowMemory = e.health.lowMemory.Load()
	e.usage.look(s.Cores)
	if t := e.health.trouble.Load(); t != nil && time.Since(t.at) < troubleFor {
		s.Trouble = t.text
	}
	at := make(map[int]*jobs.Core, len(s.Cores))
	for i := range s.Cores {
		at[s.Cores[i].Core] = &s.Cores[i]
	}
	for _, l := range e.active.all() {
		turn := l.coreTurn()
		for _, core := range l.cores {
			if c := at[core]; c != nil {
				c.Turns = append(c.Turns, turn)
			}
		}
		if len(l.cores) == 0 {
			s.Unpinned = append(s.Unpinned, turn)
		}
	}
	return s
}

// checkMemory closes the queues here while less memory is free than the floor. They
// open again when a tenth more than the floor is free, so that they do not flutter.
func (e *Engine) checkMemory(m jobs.Memory) {
	if e.MemoryFloor <= 0 || m.Total <= 0 {
		return
	}
	free, floor := float64(m.Available), e.MemoryFloor*float64(m.Total)
	low := free < floor || e.health.lowMemory.Load() && free < 1.1*floor
	if e.health.lowMemory.Swap(low) != low {
		if low {
			e.Logger.Warn("memory runs out; no turn begins here until more is free", "free_bytes", m.Available, "floor_bytes", int64(floor))
		} else {
			e.Logger.Info("memory is free again; turns begin")
		}
		e.Store.Feed.Wake(store.QueueNews)
	}
}
