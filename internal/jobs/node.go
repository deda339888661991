package jobs

import "iter"

// A Node is a server that executes tasks.
type Node struct {
	ID          string `json:"id" format:"uuid"`
	Host        string `json:"host"`
	Version     string `json:"version"`
	Role        string `json:"role" enum:"all,web,worker"`
	PID         int    `json:"pid"`
	Alive       bool   `json:"alive"`
	State       string `json:"state" enum:"alive,silent,dead,stopped" doc:"silent: its heartbeat is overdue; dead: its tasks were taken back; stopped: it shut down."`
	StartedAt   Time   `json:"started_at" format:"date-time"`
	HeartbeatAt Time   `json:"heartbeat_at" format:"date-time"`
	Cores       []Core `json:"cores" nullable:"false"`
	Memory      Memory `json:"memory"`

	Draining  bool               `json:"draining" doc:"It takes no turns; running tasks finish."`
	Serves    []string           `json:"serves" doc:"Queues that it serves; null for all."`
	Slots     map[string]SlotUse `json:"slots" nullable:"false" doc:"By queue."`
	Load      float64            `json:"load" doc:"Load average over one minute; 0 where the system has none."`
	LowMemory bool               `json:"low_memory" doc:"Free memory is below the floor: no turn begins."`
	Pins      bool               `json:"pins" doc:"It can pin processes to cores."`
	Trouble   string             `json:"trouble" doc:"The last error of turns there; empty for none."`
	Unpinned  []CoreTurn         `json:"unpinned" nullable:"false" doc:"Turns without a core of their own."`
	TakenBack TakenBack          `json:"taken_back"`

	// Progress is what tasks of all jobs there last reported. Answers about the node
	// leave it out: it is for who may see the job.
	Progress []TaskProgress `json:"-"`
}

// RunningTurns returns the turns that a living node runs, each once.
func (n *Node) RunningTurns() iter.Seq[CoreTurn] {
	return func(yield func(CoreTurn) bool) {
		if !n.Alive {
			return
		}
		type lane struct {
			job    string
			number int
		}
		seen := make(map[lane]bool) // a turn may have several cores
		for _, core := range n.Cores {
			for _, turn := range core.Turns {
				key := lane{turn.Job, turn.Lane}
				if seen[key] {
					continue
				}
				seen[key] = true
				if !yield(turn) {
					return
				}
			}
		}
		for _, turn := range n.Unpinned {
			if !yield(turn) {
				return
			}
		}
	}
}

// SlotUse counts a queue's slots on a node.
type SlotUse struct {
	Used    int `json:"used"`
	Total   int `json:"total" doc:"0 where no turn of the queue may begin now."`
	Waiting int `json:"waiting" doc:"Turns there that wait for a slot; they count as running in the queue."`
}

// TakenBack is the work that the other nodes took back from a dead node.
type TakenBack struct {
	Chunks int64 `json:"chunks"`
	Tasks  int64 `json:"tasks"`
}

// A Core is a core of a node and its use.
type Core struct {
	Core        int        `json:"core" doc:"Its number in the operating system."`
	BusyPercent float64    `json:"busy_percent"`
	User        float64    `json:"user_percent" doc:"Time in user mode."`
	System      float64    `json:"system_percent" doc:"Time in the kernel."`
	Other       float64    `json:"other_percent" doc:"Other busy time: interrupts, low priority, stolen by the host."`
	Turns       []CoreTurn `json:"turns" nullable:"false"`
}

// A CoreTurn is a turn that a core runs now.
type CoreTurn struct {
	Job   string `json:"job" format:"uuid"`
	Lane  int    `json:"lane"`
	First int64  `json:"first" doc:"Index of the first task of its chunk."`
	Count int    `json:"count" doc:"Tasks of its chunk."`
}

// Memory is a node's memory in bytes.
type Memory struct {
	Total     int64 `json:"total_bytes"`
	Available int64 `json:"available_bytes"`
}
