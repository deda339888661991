package jobs

// A Run is one run of a job: the first begins with the job's submission, each
// further one with a retry, and all end when the job ends. A run has the tasks
// that had no outcome when it began.
type Run struct {
	Run        int    `json:"run" doc:"1 is the first run, 2 the first retry, and so on."`
	State      State  `json:"state" enum:"open,queued,running,paused,succeeded,failed,cancelled"`
	Reason     string `json:"reason" doc:"Why it failed; else empty."`
	QueuedAt   Time   `json:"queued_at" format:"date-time" doc:"When the job was submitted, or its retry asked for."`
	StartedAt  *Time  `json:"started_at" format:"date-time" nullable:"true"`
	FinishedAt *Time  `json:"finished_at" format:"date-time" nullable:"true"`

	ElapsedSeconds float64 `json:"elapsed_seconds" doc:"From its start to its end, or to now; 0 before it has started."`
	TasksRun       int64   `json:"tasks_run" doc:"Tasks that ended by themselves in it."`
	Counts         Counts  `json:"counts" doc:"Of the tasks that it has or had to run."`
	Rate           float64 `json:"rate" doc:"Tasks a second, as a job's."`
	CPUSeconds     float64 `json:"cpu_seconds" doc:"User and system time of its processes."`
}

// Earlier is what a job's runs before the newest one left to it.
type Earlier struct {
	LastChunk int64 // chunks of the newest run have greater ids
	RetriedAt *Time // when the newest run was asked for; nil where it is the first

	Succeeded, Failed, Cancelled int64   // tasks that the newest run does not have
	CPUSeconds                   float64 // user and system time
}

// RunCounts are the counts of the job's newest run alone.
func (j *Job) RunCounts() Counts {
	c, e := j.Counts, j.Earlier
	c.Total -= e.Succeeded + e.Failed + e.Cancelled
	c.Succeeded -= e.Succeeded
	c.Failed -= e.Failed
	c.Cancelled -= e.Cancelled
	return c
}
