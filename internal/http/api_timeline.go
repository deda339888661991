package http

import (
	"context"
	"fmt"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/timeline"
	"github.com/allcores/allcores/internal/store"
)

// StreamWindow is which part of a task stream is asked for.
type StreamWindow struct {
	From  time.Time `query:"from" doc:"Beginning of the window; without it when the job started, or for all jobs seconds before its end."`
	To    time.Time `query:"to" doc:"End of the window; without it when the job ended, or now."`
	Width int       `query:"width" minimum:"1" maximum:"10000" default:"1000" doc:"How many rectangles may stand side by side on a row, as many as there are pixels. Fewer are given where all of them would be more than 20,000."`
	Since time.Time `query:"since" doc:"Only what begins then or later, and what is in hand: see next_since_ms. The window, and with it the resolution, should be as before."`
}

func (w StreamWindow) query() (timeline.Query, error) {
	q := timeline.Query{From: w.From, To: w.To, Width: w.Width, Since: w.Since}
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

type streamOutput struct{ Body *timeline.Timeline }

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

func (s *Site) taskStream(ctx context.Context, q timeline.Query) (*streamOutput, error) {
	out, err := s.store.Timeline(ctx, store.As(callOf(ctx).user), q)
	if err != nil {
		return nil, err
	}
	return &streamOutput{out}, nil
}

type timelineInput struct {
	JobPath
	Limit int   `query:"limit" minimum:"1" maximum:"1000" default:"50"`
	After int64 `query:"cursor" minimum:"0" doc:"The next_cursor of the page before."`
}

// timeline lists the chunks of a job in the order of their claims.
func (s *Site) timeline(ctx context.Context, in *timelineInput) (*listOutput[jobs.Bar], error) {
	job, err := s.one(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	bars, err := s.store.Bars(ctx, job.ID, in.After, in.Limit+1)
	if err != nil {
		return nil, err
	}
	next := ""
	if len(bars) > in.Limit {
		bars = bars[:in.Limit]
		next = fmt.Sprint(bars[in.Limit-1].Chunk)
	}
	return listOf(bars, next), nil
}
