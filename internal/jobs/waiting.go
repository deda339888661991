package jobs

import (
	"fmt"
	"time"
)

// Quantum is how long a turn runs while others wait for its slot.
const Quantum = time.Second

// A WaitKind is what holds a job back.
type WaitKind string

// What may hold a job back, in the order in which [WaitFacts.Waiting] looks for
// it: first what the job itself is, then what somebody must undo for its queue
// and its nodes, then what passes by itself.
const (
	WaitEnding      WaitKind = "ending"       // it is being stopped: tasks in hand are being ended
	WaitJobPaused   WaitKind = "job_paused"   // a user paused it
	WaitInputs      WaitKind = "inputs"       // it is open, and all inputs so far are done
	WaitNoQueue     WaitKind = "no_queue"     // its queue was deleted while it was paused
	WaitQueuePaused WaitKind = "queue_paused" // an admin paused its queue
	WaitNoNode      WaitKind = "no_node"      // no living node serves its queue, or all that do drain
	WaitMemory      WaitKind = "memory"       // all nodes that serve its queue are short of memory
	WaitRetry       WaitKind = "retry"        // its tasks wait for their next attempt
	WaitSuspects    WaitKind = "suspects"     // its tasks were in hand when processes died, and run apart
	WaitTrouble     WaitKind = "trouble"      // its turns fail on their nodes' account
	WaitTurns       WaitKind = "turns"        // its turns are gone, or not there yet; seconds
	WaitLimit       WaitKind = "limit"        // its policy or its queue allows no more processes, though slots are free
	WaitBusy        WaitKind = "busy"         // others are before it, or share the slots with it
	WaitStarting    WaitKind = "starting"     // nothing holds it: a slot is free; milliseconds
)

// A Waiting says why a job waits, or why it has fewer processes than it may have.
type Waiting struct {
	Kind       WaitKind `json:"kind" enum:"ending,job_paused,inputs,no_queue,queue_paused,no_node,memory,retry,suspects,trouble,turns,limit,busy,starting"`
	Message    string   `json:"message" doc:"A sentence for people; reason has it too."`
	JobsBefore int64    `json:"jobs_before,omitempty" doc:"Other jobs that run in its queue or come before it in the line; of a job that has started: those with which it shares the slots."`
	Position   int64    `json:"position,omitempty" doc:"Its place in its queue's line, from 1; absent where it does not stand there."`
	AtLeast    bool     `json:"at_least,omitempty" doc:"The line is so long that jobs_before and position are only known to be at least that."`
	Until      *Time    `json:"until,omitempty" format:"date-time" doc:"When its next attempt is due."`
	StartsIn   *float64 `json:"starts_in_seconds,omitempty" doc:"About how long until its next turn; absent where nobody can know."`
}

// Unexplained reports whether one must look at its queue and its turns to know
// why it waits, if it does.
func (j *Job) Unexplained() bool {
	return j.Waiting == nil && !j.State.Ended() && j.Counts.Waiting > 0
}

// Explain notes in j why it waits; nil for no reason. While nothing of it can go
// on, its rate says nothing of when it will end.
func (j *Job) Explain(w *Waiting) {
	if w == nil {
		return
	}
	j.Waiting, j.Reason = w, w.Message
	if w.Stuck() || w.Kind == WaitRetry {
		j.ETASeconds = nil
	}
}

// Place is the job's place in line in words.
func (w *Waiting) Place() string {
	switch {
	case w.AtLeast:
		return "at least " + ordinal(w.Position)
	case w.Position == 1:
		return "next"
	}
	return ordinal(w.Position)
}

// Stuck reports whether somebody may have to do something before the job goes on.
func (w *Waiting) Stuck() bool {
	switch w.Kind {
	case WaitJobPaused, WaitInputs, WaitNoQueue, WaitQueuePaused, WaitNoNode, WaitMemory, WaitTrouble:
		return true
	default:
		return false
	}
}

// Short is what a list says of the job in a word or three.
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
