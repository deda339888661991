package http

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/allcores/allcores/internal/http/live"
	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/views"
)

// readLogsFilter reads the filter of a page of logs. wrong is the message on the
// page for a task that does not exist.
func readLogsFilter(r *http.Request, job *jobs.Job) (f views.LogsFilter, chosen store.LogFilter, wrong string) {
	q := r.URL.Query()
	text := func(name string) string {
		return strings.ReplaceAll(strings.ToValidUTF8(q.Get(name), ""), "\x00", "")
	}
	f = views.LogsFilter{Task: strings.TrimSpace(text("task")), Text: text("q"), Before: q.Get("before"), After: q.Get("after")}
	if stream := q.Get("stream"); stream == "stdout" || stream == "stderr" {
		f.Stream = stream
	}
	chosen = store.LogFilter{Stream: f.Stream, Text: f.Text}
	if f.Task != "" {
		task, err := typedIndex("task", f.Task)
		if err != nil || task >= job.Counts.Total {
			return f, chosen, fmt.Sprintf("must be from 0 to %d", max(job.Counts.Total-1, 0))
		}
		chosen.Task = &task
	}
	return f, chosen, ""
}

func (s *Site) logsModel(ctx context.Context, r *http.Request) (views.LogsPage, error) {
	p := views.LogsPage{Page: s.base(r)}
	job, err := s.store.Job(ctx, viewer(r), chi.URLParam(r, "id"))
	if err != nil {
		return p, err
	}
	var chosen store.LogFilter
	p.Job = *job
	p.Filter, chosen, p.Wrong = readLogsFilter(r, job)
	if p.Wrong != "" {
		return p, nil
	}
	at, ahead := store.LogsEnd, false
	for name, place := range map[string]string{"before": p.Filter.Before, "after": p.Filter.After} {
		if place == "" {
			continue
		}
		if at, err = store.ParseLogPlace(place); err != nil {
			return p, jobs.Invalid{{Location: "query." + name, Message: "is not a place of these logs", Value: place}}
		}
		ahead = name == "after"
	}
	// A full page after a place does not change any more.
	if !job.State.Ended() && p.Filter.Before == "" {
		p.Live = p.Filter.LiveURL(job.ID)
	}
	w, err := s.store.LogWindow(ctx, job.ID, chosen, at, ahead, views.LogLinesShown)
	if err != nil {
		return p, err
	}
	p.Lines = w.Lines
	if w.Older && len(w.Lines) > 0 {
		p.Older = w.First.String()
	}
	if w.Newer && len(w.Lines) > 0 {
		p.Newer = w.Last.String()
	}
	p.Cut, err = s.store.LogsCut(ctx, job.ID)
	return p, err
}

func (s *Site) logsPage(w http.ResponseWriter, r *http.Request) error {
	p, err := s.logsModel(r.Context(), r)
	if err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, views.Logs(p))
}

func (s *Site) logsLive(r *http.Request) (live.Watch, fillFunc) {
	return live.Watch{Job: chi.URLParam(r, "id"), Gap: live.EventGap, Tick: time.Second}, func(ctx context.Context) ([]views.Fragment, bool, error) {
		p, err := s.logsModel(ctx, r)
		return p.Fragments(), p.Live == "", err
	}
}
