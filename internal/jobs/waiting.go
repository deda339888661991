package jobs

import (
	"fmt"
	"time"
)

// Quantum is the time that a turn runs while others wait for its slot.
const Quantum = time.Second

// A WaitKind is the kind of reason why a job waits.
type WaitKind string

// The kinds, in the order in which package insight checks them: first states of the
// job itself, then states of its queue and nodes that somebody must undo, then
// states that pass.
const (
	WaitEnding      WaitKind = "ending"       // it is stopping: running tasks are being ended
	WaitJobPaused   WaitKind = "job_paused"   // a user paused it
	WaitInputs      WaitKind = "inputs"       // it is open, and all inputs so far are done
	WaitNoQueue     WaitKind = "no_queue"     // its queue was deleted while it was paused
	WaitQueuePaused WaitKind = "queue_paused" // an admin paused its queue
	WaitNoNode      WaitKind = "no_node"      // no living node serves its queue, or all that do drain
	WaitMemory      WaitKind = "memory"       // all nodes that serve its queue are short of memory
	WaitRetry       WaitKind = "retry"        // its tasks wait for their next attempt
	WaitSuspects    WaitKind = "suspects"     // its tasks ran when processes died, and now run alone
	WaitTrouble     WaitKind = "trouble"      // its turns fail because of their nodes
	WaitTurns       WaitKind = "turns"        // its turns are missing; lasts seconds
	WaitLimit       WaitKind = "limit"        // its policy or its queue allows no more processes, though slots are free
	WaitBusy        WaitKind = "busy"         // other jobs precede it or share its slots
	WaitStarting    WaitKind = "starting"     // a slot is free; lasts milliseconds
)

// A Waiting is why a job waits, or has fewer processes than it may have.
type Waiting struct {
	Kind       WaitKind `json:"kind" enum:"ending,job_paused,inputs,no_queue,queue_paused,no_node,memory,retry,suspects,trouble,turns,limit,busy,starting"`
	Message    string   `json:"message" doc:"A sentence for people, also in reason."`
	JobsBefore int64    `json:"jobs_before,omitempty" doc:"Other jobs that run in its queue or precede it in the line; for a job that has started: those that share its slots."`
	Position   int64    `json:"position,omitempty" doc:"Its place in its queue's line, from 1; absent where it has none."`
	AtLeast    bool     `json:"at_least,omitempty" doc:"The line is longer than what was read: jobs_before and position are lower bounds."`
	Until      *Time    `json:"until,omitempty" format:"date-time" doc:"When its next attempt is due."`
	StartsIn   *float64 `json:"starts_in_seconds,omitempty" doc:"Estimated time until its next turn; absent where unknown."`
}

// Unexplained reports whether only the job's queue and turns can show why it
// waits.
func (j *Job) Unexplained() bool {
	return j.Waiting == nil && !j.State.Ended() && j.Counts.Waiting > 0
}

// Explain sets why j waits; nil for no reason. It clears the estimated end of a
// job that cannot go on.
func (j *Job) Explain(w *Waiting) {
	if w == nil {
		return
	}
	j.Waiting, j.Reason = w, w.Message
	if w.Stuck() || w.Kind == WaitRetry {
		j.ETASeconds = nil
	}
}

// ExplainSeal adds to the reason of a job that was sealed because no inputs came.
func (j *Job) ExplainSeal() {
	switch {
	case !j.Inputs.IdleSealed || j.Inputs.IdleSeal == nil || j.Waiting != nil:
	case j.Reason == "":
		j.Reason = "sealed after " + string(*j.Inputs.IdleSeal) + " without input"
	default:
		j.Reason += "; sealed after " + string(*j.Inputs.IdleSeal) + " without input"
	}
}

// Place returns the job's place in line in words.
func (w *Waiting) Place() string {
	switch {
	case w.AtLeast:
		return "at least " + ordinal(w.Position)
	case w.Position == 1:
		return "next"
	}
	return ordinal(w.Position)
}

// Stuck reports whether the job may need somebody to act before it goes on.
func (w *Waiting) Stuck() bool {
	switch w.Kind {
	case WaitJobPaused, WaitInputs, WaitNoQueue, WaitQueuePaused, WaitNoNode, WaitMemory, WaitTrouble:
		return true
	default:
		return false
	}
}

// Short returns the reason in up to three words, for lists.
func (w *Waiting) Short() string {
	switch w.Kind {
	case WaitEnding:
		return "stopping"
	case WaitJobPaused:
		return "" // its state says so
	case WaitInputs:
		return "needs inputs"
	case WaitNoQueue:
		return "no queue"
	case WaitQueuePaused:
		return "queue paused"
	case WaitNoNode:
		return "no node"
	case WaitMemory:
		return "low memory"
	case WaitRetry:
		return "retries later"
	case WaitSuspects:
		return "runs apart"
	case WaitTrouble:
		return "trouble"
	case WaitTurns, WaitStarting:
		return "starting"
	case WaitLimit, WaitBusy:
	}
	switch {
	case w.Position > 0:
		return w.Place() + " in line"
	case w.JobsBefore > 0:
		return "shares slots"
	}
	return "at its limit"
}

// ordinal is 1st, 2nd, 3rd, 4th, 11th, 21st, …
func ordinal(n int64) string {
	suffix := "th"
	if tens := n % 100; tens < 11 || tens > 13 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return fmt.Sprint(n, suffix)
}
