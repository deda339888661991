package views

import (
	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/insight"
)

// MaxCells is the largest number of cells in the strip of all tasks.
const MaxCells = 400

// RunsShown is the largest number of runs that a job's page offers.
const RunsShown = 10

// A JobPage holds the page of one job at /jobs/{id}. [Job] renders it.
type JobPage struct {
	Page
	Job      jobs.Job
	Steer    bool   // the user may control the job, as its owner or an admin
	Cells    []Cell // [CellSize] tasks each, in order, over all tasks
	Timeline TimelineView
	JobRuns
	JobFailures
	JobOutput
	JobGoto
	JobPlaces
	JobReports
	JobShared
}

// JobRuns hold a job's runs and the run that its page shows.
type JobRuns struct {
	Runs   []jobs.Run      // the newest, at most RunsShown, oldest first
	Run    *jobs.Run       // the run to show; nil for the newest
	Report *insight.Report // of the shown run; nil while it is unknown
}

// JobFailures hold a job's failures in groups.
type JobFailures struct {
	Failures     []jobs.FailureGroup // most frequent first
	MoreFailures bool                // more groups exist
}

// JobOutput holds the beginning of a job's results and the end of its logs.
type JobOutput struct {
	Results   []jobs.TaskRow // the first ResultsShown ended tasks, ascending
	Logs      []jobs.LogLine // the last LogLinesShown lines, oldest first
	LogsOlder bool           // more lines exist before them
	LogsCut   bool           // the cap on the job's logs dropped lines
}

// JobGoto holds a refused value of the field that opens a task.
type JobGoto struct {
	Goto      string // as typed
	GotoError string // the reason
}

// JobPlaces holds the cores on which a job runs now.
type JobPlaces struct {
	Cores int         // of all live nodes
	Nodes []jobs.Node // give the cores that the job uses now
	Ink   string      // class of its colour while it runs, see [JobInk]
}

// A Cell counts the tasks of a span in the strip of all tasks. The span's other
// tasks wait.
type Cell struct {
	Succeeded, Failed, Running, Cancelled int64
	FirstFailed                           int64 // index of the first failed task, if any
}

// CellSize returns the number of tasks per cell in a job of total tasks: 1
// while MaxCells suffice.
func CellSize(total int64) int64 { return max(1, (total+MaxCells-1)/MaxCells) }

// timeline returns the job's timeline. It has a row for each of the job's
// processes as long as more may start.
func (p JobPage) timeline() TimelineView {
	v := p.Timeline
	if n := p.Job.EffectivePolicy.Processes; n != nil && !p.Job.State.Ended() {
		v.Lanes = int(min(int64(*n), p.Job.Counts.Total))
	}
	return v
}

// Fragments returns the changing parts of the page.
func (p JobPage) Fragments() []Fragment {
	return []Fragment{
		{ID: "job-title", Component: jobTitle(p)},
		{ID: "job-waiting", Component: jobWaiting(p)},
		{ID: "job-progress", Component: jobProgress(p)},
		{ID: "job-runs", Component: jobRuns(p)},
		{ID: "job-figures", Component: jobFigures(p)},
		{ID: "job-reason", Component: jobReason(p)},
		{ID: "job-places", Component: jobPlaces(p)},
		{ID: "job-failures", Component: jobFailures(p)},
		{ID: "job-strip", Component: jobStrip(p)},
		{ID: "job-report", Component: jobReport(p)},
		{ID: "job-reports", Component: jobReports(p)},
		{ID: "job-shared", Component: jobShared(p)},
		{ID: "timeline", Component: Timeline(p.timeline())},
		{ID: "job-results", Component: jobResults(p)},
		{ID: "job-logs", Component: jobLogs(p)},
	}
}
