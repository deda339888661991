package jobs

import "math"

// A Queue is a named class of work with a limit per core.
type Queue struct {
	Name         string  `json:"name"`
	PerCore      float64 `json:"per_core" doc:"Slots a core of each node; 0.5 is one slot for two cores."`
	Pinned       bool    `json:"pinned" doc:"Each process runs on its own core."`
	Paused       bool    `json:"paused"`
	WaitingTurns int64   `json:"waiting_turns"`
	RunningTurns int64   `json:"running_turns"`
	Jobs         struct {
		Running int64 `json:"running"`
		Queued  int64 `json:"queued"`
	} `json:"jobs"`
}

// Slots is how many processes of the queue a node with that many cores may run
// at once: at least 1.
func (q Queue) Slots(cores int) int {
	return max(1, int(math.Floor(q.PerCore*float64(cores)+1e-9)))
}
