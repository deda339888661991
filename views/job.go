package views

import (
	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/insight"
)

// MaxCells is the largest number of cells in the strip of all tasks.
const MaxCells = 400

// RunsShown is the largest number of runs that a job's page offers.
const RunsShown = 10

// A JobPage is the page of one job at /jobs/{id}, rendered by [Job].
type JobPage struct {
	Page
	Job      jobs.Job
	Steer    bool   // the user may control the job: it is theirs, or they are an admin
	Cells    []Cell // [CellSize] tasks each, in order, over all tasks
	Timeline TimelineView
	JobRuns
	JobFailures
	JobOutput
	JobGoto
	JobPlaces
}

// JobRuns are a job's runs and the one that its page shows.
type JobRuns struct {
	Runs   []jobs.Run      // the newest RunsShown at most, in their order
	Run    *jobs.Run       // that is shown instead of the newest; nil for the newest
	Report *insight.Report // of the run that is shown; nil while nothing is known
}

// JobFailures are the failures of a job in groups.
type JobFailures struct {
	Failures     []jobs.FailureGroup // most frequent first
	MoreFailures bool                // more groups exist
}

// JobOutput is the beginning of a job's results and the end of its logs.
type JobOutput struct {
	Results   []jobs.TaskRow // the first ResultsShown that have ended, ascending
	Logs      []jobs.LogLine // the last LogLinesShown, oldest first
	LogsOlder bool           // more lines exist before them
	LogsCut   bool           // lines were dropped because the job's logs are capped
}

// JobGoto has the refused value of the field that opens a task.
type JobGoto struct {
	Goto      string // as typed
	GotoError string // why
}

// JobPlaces is where a job runs now.
type JobPlaces struct {
	Cores int         // of all live nodes
	Nodes []jobs.Node // for the cores that it uses now
	Ink   string      // its colour's class while it runs, see [JobInk]
}

// A Cell counts the tasks of a span in the strip of all tasks. The other tasks
// of the span wait.
type Cell struct {
	Succeeded, Failed, Running, Cancelled int64
	FirstFailed                           int64 // index of the first failed task, when there is one
}

// CellSize is how many tasks one cell stands for in a job of total tasks: 1
// while they fit.
func CellSize(total int64) int64 { return max(1, (total+MaxCells-1)/MaxCells) }

// timeline is the job's timeline with a row for each of its processes as long
// as more may start.
func (p JobPage) timeline() TimelineView {
	v := p.Timeline
	if n := p.Job.EffectivePolicy.Processes; n != nil && !p.Job.State.Ended() {
		v.Lanes = int(min(int64(*n), p.Job.Counts.Total))
	}
	return v
}

// Fragments are the parts of the page that change.
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
		{ID: "timeline", Component: Timeline(p.timeline())},
		{ID: "job-results", Component: jobResults(p)},
		{ID: "job-logs", Component: jobLogs(p)},
	}
}
