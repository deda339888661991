package http

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/allcores/allcores/internal/http/live"
	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

type logsInput struct {
	JobPath
	Task   int64  `query:"task" minimum:"-1" maximum:"1000000000" default:"-1" doc:"Only what this task printed."`
	Stream string `query:"stream" enum:"stdout,stderr" doc:"Only what was written to this stream."`
	Text   string `query:"q" maxLength:"1000" doc:"Only lines that contain this, whatever the case."`
	After  int64  `query:"after" minimum:"0" doc:"seq of the last line that was read, to go on from there. Lines of one seq belong together: after a break in the midst of them they come again."`
	Follow bool   `query:"follow" doc:"Stay until the job has ended. Where nothing is printed for 15 seconds an empty line shows that the stream is open."`
}

// Resolve finds what is wrong with the parameters beyond their types.
func (in *logsInput) Resolve(huma.Context) []error {
	if !storable(in.Text) {
		return unresolved(jobs.Invalid{{Location: "query.q", Message: "must be UTF-8 without NUL characters"}})
	}
	return nil
}

// A logLine is a line of the stream of logs.
type logLine struct {
	jobs.LogLine
	Seq int64 `json:"seq"`
}

// logsStill is after how long without a line a stream of logs shows that it is
// open.
const logsStill = 15 * time.Second

// logs streams what a job's tasks have printed so far, and with follow what they
// print until the job ends. Where lines were dropped because a job's logs are
// capped, the last line of the stream says so.
func (s *Site) logs(ctx context.Context, in *logsInput) (live.WriteFunc, error) {
	job, err := s.one(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	q := logsQuery{site: s, job: job.ID, after: in.After, filter: store.LogFilter{Stream: in.Stream, Text: in.Text}}
	if in.Task >= 0 {
		q.filter.Task = &in.Task
		if in.Task >= job.Counts.Total && (job.State.Ended() || !in.Follow) {
			return nil, jobs.Invalid{{Location: "query.task", Message: "the job has no such task", Value: in.Task}}
		}
	}
	viewer := store.As(callOf(ctx).user)
	return func(ctx context.Context, w *live.Writer) error {
		w.Header.Set("Content-Type", ndjson)
		q.encoder = json.NewEncoder(w)
		q.encoder.SetEscapeHTML(false)
		if !in.Follow {
			if _, err := q.forward(ctx); err != nil {
				return err
			}
			return q.end()
		}
		return q.follow(ctx, w, viewer)
	}, nil
}

// A logsQuery writes lines of a job's logs from a place on.
type logsQuery struct {
	site    *Site
	job     string
	filter  store.LogFilter
	after   int64
	cut     bool
	encoder *json.Encoder
}

// forward writes the lines that there are, and returns how many.
func (q *logsQuery) forward(ctx context.Context) (n int, err error) {
	for {
		page, err := q.site.store.Logs(ctx, q.job, q.filter, q.after)
		if err != nil {
			return n, err
		}
		for i, line := range page.Lines {
			// Only the last line of a page is a place to go on from.
			seq := q.after
			if i == len(page.Lines)-1 {
				seq = page.Seq
			}
			if err := q.encoder.Encode(logLine{line, seq}); err != nil {
				return n, err
			}
		}
		n += len(page.Lines)
		q.after, q.cut = page.Seq, page.Cut
		if !page.More {
			return n, nil
		}
	}
}

// follow writes lines as they come until the job has ended. It fails where the
// job is deleted.
func (q *logsQuery) follow(ctx context.Context, w *live.Writer, v store.Viewer) error {
	if err := w.Push(); err != nil { // the headers, so that the client knows it is heard
		return err
	}
	ended := false
	last := time.Now()
	look := func() error {
		job, err := q.site.store.Job(ctx, v, q.job)
		if err != nil {
			return err
		}
		n, err := q.forward(ctx) // after the job: what ended it came with its last lines
		if err != nil {
			return err
		}
		if job.State.Ended() {
			ended = true
			return live.ErrDone
		}
		if n == 0 && time.Since(last) < logsStill {
			return nil
		}
		if last = time.Now(); n == 0 {
			if err := w.WriteByte('\n'); err != nil {
				return err
			}
		}
		return w.Push()
	}
	if err := q.site.streams.Follow(ctx, live.Watch{Job: q.job, Gap: 50 * time.Millisecond, Tick: time.Second}, look); err != nil {
		return err
	}
	if !ended {
		return errors.New("cut before the job has ended")
	}
	return q.end()
}

func (q *logsQuery) end() error {
	if !q.cut {
		return nil
	}
	return q.encoder.Encode(logsCut{Cut: true, KeptBytes: store.MaxLogBytes})
}

// logsCut is the last line where a job printed more than is kept.
type logsCut struct {
	Cut       bool  `json:"cut"`
	KeptBytes int64 `json:"kept_bytes"`
}
