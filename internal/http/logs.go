package web

import (
	"context"
	"encoding/json"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

type logsInput struct {
	JobPath
	Task  int64 `query:"task" minimum:"-1" maximum:"1000000000" default:"-1" doc:"Only what this task printed."`
	After int64 `query:"after" minimum:"0" doc:"seq of the last line that was read, to go on from there. Lines of one seq belong together: after a break in the midst of them they come again."`
}

// A logLine is a line of the stream of logs.
type logLine struct {
	jobs.LogLine
	Seq int64 `json:"seq"`
}

// logs streams what a job's tasks have printed so far. Where lines were dropped
// because a job's logs are capped, the last line of the stream says so.
func (s *Site) logs(ctx context.Context, in *logsInput) (streamFunc, error) {
	job, err := s.one(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	var task *int64
	if in.Task >= 0 {
		task = &in.Task
		if in.Task >= job.Counts.Total {
			return nil, jobs.Invalid{{Location: "query.task", Message: "the job has no such task", Value: in.Task}}
		}
	}
	return func(ctx context.Context, w *streamWriter) error {
		w.header.Set("Content-Type", ndjson)
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		for after := in.After; ; {
			page, err := s.store.Logs(ctx, job.ID, task, after)
			if err != nil {
				return err
			}
			for i, line := range page.Lines {
				// Only the last line of a page is a place to go on from.
				seq := after
				if i == len(page.Lines)-1 {
					seq = page.Seq
				}
				if err := encoder.Encode(logLine{line, seq}); err != nil {
					return err
				}
			}
			after = page.Seq
			if !page.More {
				if page.Cut {
					return encoder.Encode(logsCut{Cut: true, KeptBytes: store.MaxLogBytes})
				}
				return nil
			}
		}
	}, nil
}

// logsCut is the last line where a job printed more than is kept.
type logsCut struct {
	Cut       bool  `json:"cut"`
	KeptBytes int64 `json:"kept_bytes"`
}
