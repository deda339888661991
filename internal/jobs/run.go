package jobs

// A Run is one run of a job: the first begins with the job's submission, each
// further one with a retry, and all end when the job ends. A run has the tasks
// that had no outcome when it began.
type Run struct {
	Run        int    `json:"run" doc:"1 is the first run, 2 the first retry, and so on."`
	State      State  `json:"state" enum:"open,queued,running,paused,succeeded,failed,cancelled"`
	Reason     string `json:"reason" doc:"Why the run failed; else empty."`
	QueuedAt   Time   `json:"queued_at" format:"date-time" doc:"When the job or the retry was submitted."`
	StartedAt  *Time  `json:"started_at" format:"date-time" nullable:"true"`
	FinishedAt *Time  `json:"finished_at" format:"date-time" nullable:"true"`

	ElapsedSeconds float64 `json:"elapsed_seconds" doc:"From its start to its end, or to now; 0 before its start."`
	TasksRun       int64   `json:"tasks_run" doc:"Tasks that succeeded or failed in it."`
	Counts         Counts  `json:"counts" doc:"States of the tasks of the run."`
	Rate           float64 `json:"rate" doc:"Tasks per second, as a job's."`
	CPUSeconds     float64 `json:"cpu_seconds" doc:"User and system time of its processes."`
}

// Earlier sums up a job's runs before the newest.
type Earlier struct {
	LastChunk int64 // chunks of the newest run have larger ids
	RetriedAt *Time // when the newest run was submitted; nil for the first

	Succeeded, Failed, Cancelled int64   // tasks that are not of the newest run
	CPUSeconds                   float64 // user and system time
}

// RunCounts returns the counts of the newest run alone.
func (j *Job) RunCounts() Counts {
	c, e := j.Counts, j.Earlier
	c.Total -= e.Succeeded + e.Failed + e.Cancelled
	c.Succeeded -= e.Succeeded
	c.Failed -= e.Failed
	c.Cancelled -= e.Cancelled
	return c
}
