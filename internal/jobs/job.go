package jobs

import (
	"time"
)

// A State is the state of a job.
type State string

// The states of a job. The last three are final.
const (
	Open      State = "open"      // still taking inputs; its tasks already run
	Queued    State = "queued"    // no task has started
	Running   State = "running"   // at least one task has started
	Paused    State = "paused"    // no new chunk is claimed
	Succeeded State = "succeeded" // every task succeeded
	Failed    State = "failed"    // a task failed for good, or max_failures stopped it
	Cancelled State = "cancelled" // ended by a user, or none of its tasks failed but some were cancelled
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

// Counts is the number of a job's tasks in each state. They add up to Total.
type Counts struct {
	Total     int64 `json:"total"`
	Waiting   int64 `json:"waiting"`
	Running   int64 `json:"running" doc:"Claimed tasks: in chunks that are leased to a lane. See executing."`
	Succeeded int64 `json:"succeeded"`
	Failed    int64 `json:"failed"`
	Cancelled int64 `json:"cancelled"`
}

// Done returns the number of tasks that have ended.
func (c Counts) Done() int64 { return c.Succeeded + c.Failed + c.Cancelled }

// A Job is a submission and its progress.
type Job struct {
	ID       string   `json:"id" format:"uuid"`
	Name     string   `json:"name"`
	State    State    `json:"state" enum:"open,queued,running,paused,succeeded,failed,cancelled"`
	Queue    string   `json:"queue"`
	Priority int      `json:"priority"`
	Tags     []string `json:"tags" nullable:"false"`
	Owner    string   `json:"owner" doc:"Name of the user who submitted it."`
	Counts   Counts   `json:"counts"`

	Executing    int64 `json:"executing" doc:"Tasks that execute now, at most processes × threads. The other tasks of counts.running wait in the processes that claimed them."`
	ProcessesNow int   `json:"processes_now" doc:"Processes with claimed tasks of the job."`

	Program Program     `json:"program"`
	Inputs  InputsShape `json:"inputs"`
	Policy  Policy      `json:"policy" doc:"As submitted; null stands for the default."`

	EffectivePolicy Policy `json:"effective_policy" doc:"The policy with its defaults. processes, where not given, follows the slots of the queue."`

	Run        int     `json:"run" doc:"Number of the newest run: 1, and one more with each retry. Times and rate are of this run."`
	Earlier    Earlier `json:"-"`
	CreatedAt  Time    `json:"created_at" format:"date-time"`
	StartedAt  *Time   `json:"started_at" format:"date-time" nullable:"true"`
	FinishedAt *Time   `json:"finished_at" format:"date-time" nullable:"true"`

	Rate       float64  `json:"rate" doc:"Tasks per second: over the last seconds while the job runs, over its whole run after that. 0 while it is paused or has no claimed task."`
	ETASeconds *float64 `json:"eta_seconds" doc:"Estimated seconds to the end; null where unknown."`
	CPUSeconds float64  `json:"cpu_seconds" doc:"User and system time of its processes, over all its runs."`
	Reason     string   `json:"reason" doc:"Why it failed or waits; else empty."`
	Waiting    *Waiting `json:"waiting,omitempty" doc:"Why the job waits, or has fewer processes than it may have; absent where it does not, or in lists that do not look."`
}

// GivenName returns the submitted name. It is empty where the name is the
// program's default.
func (j *Job) GivenName() string {
	if j.Name == j.Program.defaultName() {
		return ""
	}
	return j.Name
}

// Elapsed returns the time from the start of the newest run to its end, or to now
// while it runs. It returns 0 before the start.
func (j *Job) Elapsed(now time.Time) time.Duration {
	if j.StartedAt == nil {
		return 0
	}
	if j.FinishedAt != nil {
		now = j.FinishedAt.Time
	}
	return max(now.Sub(j.StartedAt.Time), 0)
}

// Time marshals as RFC 3339 in UTC with milliseconds.
type Time struct{ time.Time }

const timeLayout = `"2006-01-02T15:04:05.000Z"`

// MarshalJSON writes the instant as RFC 3339 in UTC with milliseconds.
func (t Time) MarshalJSON() ([]byte, error) {
	return t.UTC().AppendFormat(nil, timeLayout), nil
}
