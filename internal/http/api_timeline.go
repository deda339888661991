package http

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/timeline"
	"github.com/allcores/allcores/internal/store"
)

// TimelineWindow is the part of a timeline that is asked for.
type TimelineWindow struct {
	From  time.Time `query:"from" doc:"Start of the window. Default: the start of the job, or for all jobs as many seconds as asked for before the end of the window."`
	To    time.Time `query:"to" doc:"End of the window. Default: the end of the job, or now."`
	Width int       `query:"width" minimum:"1" maximum:"10000" default:"1000" doc:"The greatest number of rectangles side by side on a row: the width in pixels. The answer has fewer where all rows together would have more than 20,000."`
	Since time.Time `query:"since" doc:"Only rectangles that begin then or later, and leased ones: see next_since_ms. Ask for the same window as before, so that the resolution stays the same."`
}

func (w TimelineWindow) query() (timeline.Query, error) {
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

type timelineOutput struct{ Body *timeline.Timeline }

// TimelineQuery are the parameters of a job's timeline.
type TimelineQuery struct {
	JobPath
	RunNumber
	TimelineWindow
}

// jobRects answers the chunks of a job as rectangles.
func (s *Site) jobRects(ctx context.Context, in *TimelineQuery) (*timelineOutput, error) {
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
	return s.rects(ctx, q)
}

// allTimeline answers the chunks of all jobs that the caller may see as
// rectangles.
func (s *Site) allTimeline(ctx context.Context, in *struct {
	TimelineWindow
	Seconds int `query:"seconds" minimum:"1" maximum:"86400" default:"60" doc:"Length of the window if from is not given."`
}) (*timelineOutput, error) {
	q, err := in.query()
	if err != nil {
		return nil, err
	}
	q.Last = time.Duration(in.Seconds) * time.Second
	if q.From.IsZero() && q.To.IsZero() && q.Since.IsZero() {
		out, err := s.latestTimeline(ctx, store.As(callOf(ctx).user), q)
		if err != nil {
			return nil, err
		}
		return &timelineOutput{out}, nil
	}
	return s.rects(ctx, q)
}

func (s *Site) rects(ctx context.Context, q timeline.Query) (*timelineOutput, error) {
	out, err := s.store.Timeline(ctx, store.As(callOf(ctx).user), q)
	if err != nil {
		return nil, err
	}
	return &timelineOutput{out}, nil
}

// JobTimeline is a timeline and, where it is asked for, a page of its chunks.
type JobTimeline struct {
	timeline.Timeline
	Items []jobs.Bar `json:"items,omitzero" required:"false" doc:"Chunks in the order of their claims, not merged. Only if the request has limit or cursor, or none of from, to, width and since."`
	Next  *string    `json:"next_cursor" doc:"Pass it as cursor to get the following page of items; null on the last one and without items."`
}

type jobTimelineOutput struct{ Body JobTimeline }

type jobTimelineInput struct {
	TimelineQuery
	Limit int   `query:"limit" minimum:"1" maximum:"1000" default:"50" doc:"The greatest number of items."`
	After int64 `query:"cursor" minimum:"0" doc:"The next_cursor of the page of items before."`
}

// jobTimeline answers the chunks of a job as rectangles, and, for clients of the
// first version, one by one.
func (s *Site) jobTimeline(ctx context.Context, in *jobTimelineInput) (*jobTimelineOutput, error) {
	rects, err := s.jobRects(ctx, &in.TimelineQuery)
	if err != nil {
		return nil, err
	}
	out := &jobTimelineOutput{JobTimeline{Timeline: *rects.Body}}
	if !wantsChunks(callOf(ctx).r.URL.Query()) {
		return out, nil
	}
	bars, err := s.store.Bars(ctx, in.ID, in.After, in.Limit+1)
	if err != nil {
		return nil, err
	}
	if len(bars) > in.Limit {
		bars = bars[:in.Limit]
		next := fmt.Sprint(bars[in.Limit-1].Chunk)
		out.Body.Next = &next
	}
	out.Body.Items = append([]jobs.Bar{}, bars...)
	return out, nil
}

// wantsChunks reports whether a query asks for a job's chunks one by one.
func wantsChunks(query url.Values) bool {
	given := func(names ...string) bool {
		return slices.ContainsFunc(names, query.Has)
	}
	return given("limit", "cursor") || !given("from", "to", "width", "since")
}
