package http

import (
	"context"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/timeline"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/views"
)

// A timelineTable fills the timeline of a page: of one job, or, without one, of the
// last timelineSeconds of all jobs. Adding up a long job takes time, so it is
// repeated only when that costs at most a twentieth of the time that has passed,
// and once more when the job has ended.
type timelineTable struct {
	view views.TimelineView
	next time.Time
	last bool // nothing will change any more
}

const (
	timelineSeconds = 60
	tableEvery      = 2 * time.Second
	tableShare      = 20
)

func (t *timelineTable) fill(ctx context.Context, s *Site, v store.Viewer, job *jobs.Job) (views.TimelineView, error) {
	ended := job != nil && job.State.Ended()
	began := time.Now()
	if t.last || !ended && began.Before(t.next) {
		return t.view, nil
	}
	totals, oneIn, err := s.store.TimelineTotals(ctx, v, timeline.Query{Job: job, Last: timelineSeconds * time.Second})
	if err != nil {
		return views.TimelineView{}, err
	}
	t.view = timelineView(totals, oneIn)
	t.view.Live, t.view.Seconds = !ended, timelineSeconds
	if job != nil {
		t.view.Job = job.ID
	}
	t.next = time.Now().Add(max(tableEvery, tableShare*time.Since(began)))
	t.last = ended
	return t.view, nil
}

func timelineView(totals []timeline.Total, oneIn float64) views.TimelineView {
	view := views.TimelineView{OneIn: oneIn, RowsLeftOut: max(len(totals)-views.TimelineRowsShown, 0)}
	for _, t := range totals[:len(totals)-view.RowsLeftOut] {
		if t.Core != nil || t.Slot != nil && *t.Slot != timeline.AnySlot {
			t.Share = min(t.Share, 1) // clocks of machines differ
		}
		view.Rows = append(view.Rows, views.TimelineRow{
			Label: t.Label, Share: t.Share, Chunks: t.Chunks, Tasks: t.Tasks, Failed: t.Failed, Lost: t.Lost,
			Job: t.Longest.Job, First: t.Longest.First, Count: t.Longest.Count, Took: t.Longest.Took,
		})
	}
	return view
}
