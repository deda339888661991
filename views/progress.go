package views

import (
	"strconv"

	"github.com/allcores/allcores/internal/jobs"
)

// ReportsShown is how many tasks' reports of progress a job's page shows.
const ReportsShown = 10

// JobReports hold what running tasks of a job last reported of their progress.
type JobReports struct {
	Reports     []jobs.TaskProgress // by task, at most ReportsShown
	MoreReports int                 // tasks that the page leaves out
}

// fractionWidth returns the width of a bar of 1000 units.
func fractionWidth(fraction *float64) string {
	if fraction == nil {
		return "0"
	}
	return strconv.Itoa(int(1000 * *fraction))
}

func fractionText(fraction *float64) string {
	if fraction == nil {
		return ""
	}
	return strconv.Itoa(int(100**fraction)) + " %"
}

// reportText describes a report for those who do not see the bar.
func reportText(r jobs.TaskProgress) string {
	if r.Fraction == nil {
		return "progress unknown"
	}
	return fractionText(r.Fraction) + " done"
}
