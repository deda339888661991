package jobs

import (
	"fmt"
	"math"
	"regexp"
)

// A Queue is a named class of work with a limit per core.
type Queue struct {
	QueueLimits
	Name         string `json:"name"`
	Paused       bool   `json:"paused" doc:"None of its turns begins."`
	WaitingTurns int64  `json:"waiting_turns"`
	RunningTurns int64  `json:"running_turns"`
	// OldestWaiting is nil where no turn waits.
	OldestWaiting *Time `json:"oldest_waiting_at" format:"date-time" nullable:"true" doc:"Since when the longest waiting turn could run; null where none waits."`
	Jobs          struct {
		Running int64 `json:"running"`
		Queued  int64 `json:"queued"`
	} `json:"jobs"`
}

// QueueLimits are the settings of a queue.
type QueueLimits struct {
	PerCore      float64 `json:"per_core" doc:"Processes at once per core of a node; 0.5 is one per two cores."`
	Pinned       bool    `json:"pinned" doc:"Each process runs on its own core."`
	MaxProcesses *int    `json:"max_processes" doc:"Processes at once over all nodes; null for no limit."`
}

// QueueNameRule describes valid queue names.
const QueueNameRule = `must be of at most 63 lower-case letters, digits, and single - or _ between them, and begin with a letter; "idle" is taken`

// queueNames is narrower than ValidName, as River requires.
var queueNames = regexp.MustCompile(`^[a-z][a-z0-9]*([_-][a-z0-9]+)*$`)

// ValidQueueName reports whether a new queue may have the name.
func ValidQueueName(name string) bool {
	return len(name) <= 63 && name != "idle" && queueNames.MatchString(name)
}

// Bounds of a queue's limits.
const (
	MinPerCore      = 1.0 / 1024
	MaxPerCore      = 1024
	MaxMaxProcesses = 1_000_000
)

// Validate returns the violations of the limits.
func (l QueueLimits) Validate() Invalid {
	var found Invalid
	if !(l.PerCore >= MinPerCore && l.PerCore <= MaxPerCore) {
		found = append(found, Violation{Location: "per_core", Message: fmt.Sprintf("must be a number from %g to %d", MinPerCore, MaxPerCore), Value: l.PerCore})
	}
	if n := l.MaxProcesses; n != nil && (*n < 1 || *n > MaxMaxProcesses) {
		found = append(found, Violation{Location: "max_processes", Message: fmt.Sprintf("must be from 1 to %d, or null for no limit", MaxMaxProcesses), Value: *n})
	}
	return found
}

// Slots returns how many processes of the queue a node with that many cores may
// run at once, at least 1. It ignores MaxProcesses: see ShareProcesses.
func (l QueueLimits) Slots(cores int) int {
	return max(1, int(math.Floor(l.PerCore*float64(cores)+1e-9)))
}

// ShareProcesses returns how many processes each node may run at once: its slots,
// or, where those exceed atMost together, a proportional part of atMost by the
// method of largest remainders. Of equal remainders the earlier node wins.
func ShareProcesses(slots []int, atMost *int) []int {
	sum := 0
	for _, n := range slots {
		sum += n
	}
	shares := make([]int, len(slots))
	copy(shares, slots)
	if atMost == nil || sum <= *atMost {
		return shares
	}
	left := *atMost
	for i, n := range slots {
		shares[i] = n * *atMost / sum
		left -= shares[i]
	}
	for ; left > 0; left-- {
		best, most := -1, -1
		for i, n := range slots {
			if rest := n**atMost - shares[i]*sum; rest > most {
				best, most = i, rest
			}
		}
		shares[best]++
	}
	return shares
}
