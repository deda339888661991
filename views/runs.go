package views

import (
	"strconv"

	"github.com/a-h/templ"

	"github.com/allcores/allcores/internal/jobs"
)

// runWord names a run: the first, or the number of the retry.
func runWord(run int) string {
	if run == 1 {
		return "First run"
	}
	return "Retry " + thousands(int64(run-1))
}

// runPhrase names a run within a sentence.
func runPhrase(run int) string {
	if run == 1 {
		return "the first run"
	}
	return "retry " + thousands(int64(run-1))
}

// runURL returns the address of a job's page with one of its runs.
func runURL(p JobPage, run int) templ.SafeURL {
	if run == p.Job.Run {
		return jobURL(p.Job.ID)
	}
	return jobURL(p.Job.ID) + templ.SafeURL("?run="+strconv.Itoa(run))
}

// shownRun returns the number of the run that the page shows.
func (p JobPage) shownRun() int {
	if p.Run != nil {
		return p.Run.Run
	}
	return p.Job.Run
}

// runText describes the outcome of a run.
func runText(r jobs.Run) string {
	text := plural(r.Counts.Total, "task", "tasks")
	if r.State == jobs.Failed && r.Counts.Failed > 0 {
		text = thousands(r.Counts.Failed) + " of " + text + " failed"
	}
	if r.State.Ended() && r.StartedAt != nil {
		text += ", " + span(toSpan(r.ElapsedSeconds))
	}
	return text
}
