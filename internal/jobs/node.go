package jobs

import "iter"

// A Node is one running server with workers.
type Node struct {
	ID          string `json:"id" format:"uuid"`
	Host        string `json:"host"`
	Version     string `json:"version"`
	Role        string `json:"role" enum:"all,web,worker"`
	PID         int    `json:"pid"`
	Alive       bool   `json:"alive"`
	State       string `json:"state" enum:"alive,silent,dead,stopped" doc:"silent: its heartbeat is overdue; dead: its tasks were taken back; stopped: in order."`
	StartedAt   Time   `json:"started_at" format:"date-time"`
	HeartbeatAt Time   `json:"heartbeat_at" format:"date-time"`
	Cores       []Core `json:"cores" nullable:"false"`
	Memory      Memory `json:"memory"`

	Draining  bool               `json:"draining" doc:"It takes no turns; tasks in hand finish."`
	Serves    []string           `json:"serves" doc:"The queues that it was told to serve; null for all."`
	Slots     map[string]SlotUse `json:"slots" nullable:"false" doc:"By queue."`
	Load      float64            `json:"load" doc:"Processes that run or want to, over the last minute; 0 where the system does not tell."`
	LowMemory bool               `json:"low_memory" doc:"Less memory is free than its floor: no turn begins."`
	Pins      bool               `json:"pins" doc:"Processes can be pinned to cores there."`
	Trouble   string             `json:"trouble" doc:"Why turns fail there, as last seen; empty where they do not."`
	Unpinned  []CoreTurn         `json:"unpinned" nullable:"false" doc:"Turns in hand that have no core of their own."`
	TakenBack TakenBack          `json:"taken_back"`
}

// InHand are the turns that a living node has in hand, each once.
func (n *Node) InHand() iter.Seq[CoreTurn] {
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

// SlotUse is how many of a queue's slots are in use on a node.
type SlotUse struct {
	Used    int `json:"used"`
	Total   int `json:"total" doc:"0 where nothing of the queue may begin now."`
	Waiting int `json:"waiting" doc:"Turns there that wait for a slot; they count as running in the queue."`
}

// TakenBack is the work that was taken from a node when it was declared dead.
type TakenBack struct {
	Chunks int64 `json:"chunks"`
	Tasks  int64 `json:"tasks"`
}

// A Core is one processor of a node and what it does now.
type Core struct {
	Core        int        `json:"core" doc:"The operating system's number of it."`
	BusyPercent float64    `json:"busy_percent"`
	User        float64    `json:"user_percent" doc:"Of its time, in user mode."`
	System      float64    `json:"system_percent" doc:"In the kernel."`
	Other       float64    `json:"other_percent" doc:"Otherwise busy: interrupts, low priority, taken by the host."`
	Turns       []CoreTurn `json:"turns" nullable:"false"`
}

// A CoreTurn is a turn that a core runs now.
type CoreTurn struct {
	Job   string `json:"job" format:"uuid"`
	Lane  int    `json:"lane"`
	First int64  `json:"first" doc:"Index of the first task of the chunk in hand."`
	Count int    `json:"count" doc:"Tasks of the chunk in hand."`
}

// Memory is a node's memory in bytes.
type Memory struct {
	Total     int64 `json:"total_bytes"`
	Available int64 `json:"available_bytes"`
}
