package http

import (
	"context"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/timeline"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/views"
)

// A timelineTable fills the task stream of a page, that of one job or, without
// one, that of the last streamSeconds of all. Adding up a long job takes time,
// so it is done anew only when all of that is at most a twentieth of the time
// that has passed, and once more when the job has ended.
type timelineTable struct {
	view views.TimelineView
	next time.Time
	last bool // nothing can change any more
}

const (
	streamSeconds    = 60
	streamTableEvery = 2 * time.Second
	streamTableShare = 20
)

func (t *timelineTable) fill(ctx context.Context, s *Site, v store.Viewer, job *jobs.Job) (views.TimelineView, error) {
	ended := job != nil && job.State.Ended()
	began := time.Now()
	if t.last || !ended && began.Before(t.next) {
		return t.view, nil
	}
	totals, oneIn, err := s.store.TimelineTotals(ctx, v, timeline.Query{Job: job, Last: streamSeconds * time.Second})
	if err != nil {
		return views.TimelineView{}, err
	}
	t.view = streamView(totals, oneIn)
	t.view.Live, t.view.Seconds = !ended, streamSeconds
	if job != nil {
		t.view.Job = job.ID
	}
	t.next = time.Now().Add(max(streamTableEvery, streamTableShare*time.Since(began)))
	t.last = ended
	return t.view, nil
}

func streamView(totals []timeline.Total, oneIn float64) views.TimelineView {
	view := views.TimelineView{OneIn: oneIn, RowsLeftOut: max(len(totals)-views.TimelineRowsShown, 0)}
	for _, t := range totals[:len(totals)-view.RowsLeftOut] {
		if t.Core != nil || t.Slot != nil && *t.Slot != timeline.AnySlot {
			t.Share = min(t.Share, 1) // clocks of several machines may say more
		}
		view.Rows = append(view.Rows, views.TimelineRow{
			Label: t.Label, Share: t.Share, Chunks: t.Chunks, Tasks: t.Tasks, Failed: t.Failed, Lost: t.Lost,
			Job: t.Longest.Job, First: t.Longest.First, Count: t.Longest.Count, Took: t.Longest.Took,
		})
	}
	return view
}
