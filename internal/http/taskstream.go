package http

import (
	"context"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/views"
)

// StreamWindow is which part of a task stream is asked for.
type StreamWindow struct {
	From  time.Time `query:"from" doc:"Beginning of the window; without it when the job started, or for all jobs seconds before its end."`
	To    time.Time `query:"to" doc:"End of the window; without it when the job ended, or now."`
	Width int       `query:"width" minimum:"1" maximum:"10000" default:"1000" doc:"How many rectangles may stand side by side on a row, as many as there are pixels. Fewer are given where all of them would be more than 20,000."`
	Since time.Time `query:"since" doc:"Only what begins then or later, and what is in hand: see next_since_ms. The window, and with it the resolution, should be as before."`
}

func (w StreamWindow) query() (store.StreamQuery, error) {
	q := store.StreamQuery{From: w.From, To: w.To, Width: w.Width, Since: w.Since}
	var found jobs.Invalid
	for _, t := range []struct {
		name string
		time time.Time
	}{{"from", w.From}, {"to", w.To}, {"since", w.Since}} {
		if year := t.time.Year(); !t.time.IsZero() && (year < 1970 || year > 9999) {
			found = append(found, jobs.Violation{Location: "query." + t.name, Message: "must be from the years 1970 to 9999", Value: t.time.Format(time.RFC3339)})
		}
	}
	if len(found) == 0 && !w.From.IsZero() && !w.To.IsZero() && !w.From.Before(w.To) {
		found = append(found, jobs.Violation{Location: "query.to", Message: "must be after from", Value: w.To.Format(time.RFC3339Nano)})
	}
	if len(found) > 0 {
		return q, found
	}
	return q, nil
}

type streamOutput struct{ Body *jobs.TaskStream }

// jobStream answers the chunks of a job as rectangles.
func (s *Site) jobStream(ctx context.Context, in *struct {
	JobPath
	RunNumber
	StreamWindow
}) (*streamOutput, error) {
	q, err := in.query()
	if err != nil {
		return nil, err
	}
	job, err := s.one(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if q.Job, err = s.during(ctx, job, in.of(job)); err != nil {
		return nil, err
	}
	return s.taskStream(ctx, q)
}

// allStream is jobStream for all jobs that the caller may see.
func (s *Site) allStream(ctx context.Context, in *struct {
	StreamWindow
	Seconds int `query:"seconds" minimum:"1" maximum:"86400" default:"60" doc:"Length of the window where there is no from."`
}) (*streamOutput, error) {
	q, err := in.query()
	if err != nil {
		return nil, err
	}
	q.Last = time.Duration(in.Seconds) * time.Second
	if q.From.IsZero() && q.To.IsZero() && q.Since.IsZero() {
		out, err := s.latestStream(ctx, store.As(callOf(ctx).user), q)
		if err != nil {
			return nil, err
		}
		return &streamOutput{out}, nil
	}
	return s.taskStream(ctx, q)
}

func (s *Site) taskStream(ctx context.Context, q store.StreamQuery) (*streamOutput, error) {
	out, err := s.store.TaskStream(ctx, store.As(callOf(ctx).user), q)
	if err != nil {
		return nil, err
	}
	return &streamOutput{out}, nil
}

// A streamTable fills the task stream of a page, that of one job or, without
// one, that of the last streamSeconds of all. Adding up a long job takes time,
// so it is done anew only when all of that is at most a twentieth of the time
// that has passed, and once more when the job has ended.
type streamTable struct {
	view views.StreamView
	next time.Time
	last bool // nothing can change any more
}

const (
	streamSeconds    = 60
	streamTableEvery = 2 * time.Second
	streamTableShare = 20
)

func (t *streamTable) fill(ctx context.Context, s *Site, v store.Viewer, job *jobs.Job) (views.StreamView, error) {
	ended := job != nil && job.State.Ended()
	began := time.Now()
	if t.last || !ended && began.Before(t.next) {
		return t.view, nil
	}
	totals, oneIn, err := s.store.StreamTotals(ctx, v, store.StreamQuery{Job: job, Last: streamSeconds * time.Second})
	if err != nil {
		return views.StreamView{}, err
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

func streamView(totals []store.StreamTotal, oneIn float64) views.StreamView {
	view := views.StreamView{OneIn: oneIn, RowsLeftOut: max(len(totals)-views.StreamRowsShown, 0)}
	for _, t := range totals[:len(totals)-view.RowsLeftOut] {
		if t.Core != nil || t.Slot != nil && *t.Slot != store.AnySlot {
			t.Share = min(t.Share, 1) // clocks of several machines may say more
		}
		view.Rows = append(view.Rows, views.StreamRow{
			Label: t.Label, Share: t.Share, Chunks: t.Chunks, Tasks: t.Tasks, Failed: t.Failed, Lost: t.Lost,
			Job: t.Longest.Job, First: t.Longest.First, Count: t.Longest.Count, Took: t.Longest.Took,
		})
	}
	return view
}
