package jobs

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
}

// A Core is one processor of a node and what it does now.
type Core struct {
	Core        int        `json:"core" doc:"The operating system's number of it."`
	BusyPercent float64    `json:"busy_percent"`
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
