package jobs

import (
	"time"
)

// A State is where a job is in its life.
type State string

// The states of a job. The last three are final.
const (
	Open      State = "open"      // still taking inputs; its tasks already run
	Queued    State = "queued"    // no task has started
	Running   State = "running"   // at least one task has started
	Paused    State = "paused"    // no new chunk is claimed
	Succeeded State = "succeeded" // every task succeeded
	Failed    State = "failed"    // a task failed for good, or max_failures stopped it
	Cancelled State = "cancelled" // ended by a user
)

// States lists every state in the order in which pages show them.
var States = []State{Running, Queued, Open, Paused, Failed, Succeeded, Cancelled}

// Ended reports whether s is final.
func (s State) Ended() bool { return s == Succeeded || s == Failed || s == Cancelled }

// Valid reports whether s is one of the states.
func (s State) Valid() bool {
	switch s {
	case Open, Queued, Running, Paused, Succeeded, Failed, Cancelled:
		return true
	}
	return false
}

// Counts says how many of a job's tasks are in each state. They always add up
// to Total.
type Counts struct {
	Total     int64 `json:"total"`
	Waiting   int64 `json:"waiting"`
	Running   int64 `json:"running" doc:"Tasks in chunks that are leased to a lane now: claimed. See executing."`
	Succeeded int64 `json:"succeeded"`
	Failed    int64 `json:"failed"`
	Cancelled int64 `json:"cancelled"`
}

// Done is the number of tasks that have ended.
func (c Counts) Done() int64 { return c.Succeeded + c.Failed + c.Cancelled }

// A Job is what a user submitted and how far it has come.
type Job struct {
	ID       string   `json:"id" format:"uuid"`
	Name     string   `json:"name"`
	State    State    `json:"state" enum:"open,queued,running,paused,succeeded,failed,cancelled"`
	Queue    string   `json:"queue"`
	Priority int      `json:"priority"`
	Tags     []string `json:"tags" nullable:"false"`
	Owner    string   `json:"owner" doc:"Name of the user who submitted it."`
	Counts   Counts   `json:"counts"`

	Executing    int64 `json:"executing" doc:"Tasks that execute now, at most processes × threads. The others of counts.running wait in the processes that claimed them."`
	ProcessesNow int   `json:"processes_now" doc:"Processes that have tasks of the job now."`

	Program Program     `json:"program"`
	Inputs  InputsShape `json:"inputs"`
	Policy  Policy      `json:"policy" doc:"As it was submitted; null stands for the default."`

	EffectivePolicy Policy `json:"effective_policy" doc:"The policy with every default filled in that has a value. While processes is not given it follows the slots of the queue."`

	Run        int     `json:"run" doc:"1, and one more with each retry. Times and rate are those of this run."`
	Earlier    Earlier `json:"-"`
	CreatedAt  Time    `json:"created_at" format:"date-time"`
	StartedAt  *Time   `json:"started_at" format:"date-time" nullable:"true"`
	FinishedAt *Time   `json:"finished_at" format:"date-time" nullable:"true"`

	Rate       float64  `json:"rate" doc:"Tasks a second: over the last seconds while it runs, over its whole run when it has ended. 0 while it is paused, or none of its tasks is claimed."`
	ETASeconds *float64 `json:"eta_seconds" doc:"Estimated seconds to the end; null when it is not known."`
	CPUSeconds float64  `json:"cpu_seconds" doc:"User and system time of its processes so far, in all its runs."`
	Reason     string   `json:"reason" doc:"Why it failed or waits; else empty."`
	Waiting    *Waiting `json:"waiting,omitempty" doc:"What holds it back, where it waits or has fewer processes than it may have and that was looked for."`
}

// GivenName is the job's name as it was submitted: empty where it is the one that
// the program gives it.
func (j *Job) GivenName() string {
	if j.Name == j.Program.defaultName() {
		return ""
	}
	return j.Name
}

// Elapsed is the time from the start of the job's newest run to its end, or to
// now while it runs; 0 before it has started.
func (j *Job) Elapsed(now time.Time) time.Duration {
	if j.StartedAt == nil {
		return 0
	}
	if j.FinishedAt != nil {
		now = j.FinishedAt.Time
	}
	return max(now.Sub(j.StartedAt.Time), 0)
}

// Time is an instant that is written as RFC 3339 in UTC with milliseconds.
type Time struct{ time.Time }

const timeLayout = `"2006-01-02T15:04:05.000Z"`

// MarshalJSON writes the instant as RFC 3339 in UTC with milliseconds.
func (t Time) MarshalJSON() ([]byte, error) {
	return t.UTC().AppendFormat(nil, timeLayout), nil
}
