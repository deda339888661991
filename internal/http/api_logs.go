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
	Task   int64  `query:"task" minimum:"-1" maximum:"1000000000" default:"-1" doc:"Only lines of this task."`
	Stream string `query:"stream" enum:"stdout,stderr" doc:"Only lines of this output stream."`
	Text   string `query:"q" maxLength:"1000" doc:"Only lines that contain this text. Case does not matter."`
	After  int64  `query:"after" minimum:"0" doc:"Only lines after this seq: that of the last line read, to continue after a break. Lines with one seq are sent together, so some may be repeated."`
	Follow bool   `query:"follow" doc:"Continue until the job has ended. After 15 seconds without output an empty line keeps the stream open."`
}

// Resolve checks the parameters beyond their types.
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

// logsStill is the time without a line after which a stream of logs sends an empty
// one.
const logsStill = 15 * time.Second

// logs streams the log lines of a job, and with follow further ones until the job
// ends. If lines were dropped because a job's logs are capped, the last line of the
// stream says so.
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

// A logsQuery writes a job's log lines after a seq.
type logsQuery struct {
	site    *Site
	job     string
	filter  store.LogFilter
	after   int64
	cut     bool
	encoder *json.Encoder

	amongResults bool // each line is the member log of an object, in a stream of outcomes
}

// forward writes the stored lines, and returns how many.
func (q *logsQuery) forward(ctx context.Context) (n int, err error) {
	for {
		page, err := q.site.store.Logs(ctx, q.job, q.filter, q.after)
		if err != nil {
			return n, err
		}
		for i, line := range page.Lines {
			// Reading can continue only after the last line of a page.
			seq := q.after
			if i == len(page.Lines)-1 {
				seq = page.Seq
			}
			if err := q.write(logLine{line, seq}); err != nil {
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

func (q *logsQuery) write(line logLine) error {
	if q.amongResults {
		return q.encoder.Encode(struct {
			Log logLine `json:"log"`
		}{line})
	}
	return q.encoder.Encode(line)
}

// follow writes lines as they come until the job has ended. It fails if the job is
// deleted.
func (q *logsQuery) follow(ctx context.Context, w *live.Writer, v store.Viewer) error {
	if err := w.Push(); err != nil { // the headers, so that the client knows that it is connected
		return err
	}
	ended := false
	last := time.Now()
	look := func() (int, error) {
		job, err := q.site.store.Job(ctx, v, q.job)
		if err != nil {
			return 0, err
		}
		n, err := q.forward(ctx) // after the job: what ended it came with its last lines
		if err != nil {
			return n, err
		}
		if job.State.Ended() {
			ended = true
			return n, live.ErrDone
		}
		if n == 0 && time.Since(last) < logsStill {
			return 0, nil
		}
		if last = time.Now(); n == 0 {
			if err := w.WriteByte('\n'); err != nil {
				return 0, err
			}
		}
		return n, w.Push()
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

// logsCut is the last line of a job that printed more than is kept.
type logsCut struct {
	Cut       bool  `json:"cut"`
	KeptBytes int64 `json:"kept_bytes"`
}
