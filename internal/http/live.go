package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/views"
)

// live streams a page's fragments as package views describes: all at first,
// then those that differ. fill reads what is true now; last says that nothing
// will change after it.
func (s *Site) live(w http.ResponseWriter, r *http.Request, wt watch, fill func(context.Context) (fragments []views.Fragment, last bool, err error)) error {
	// What cannot be shown at all is answered by a status, not by a stream.
	fragments, last, err := fill(r.Context())
	if err != nil {
		return err
	}
	s.serveStream(w, r, func(ctx context.Context, w *streamWriter) error {
		e := newEventStream(w, "")
		if err := e.begin(); err != nil {
			return err
		}
		var patcher views.Patcher
		first := true
		look := func() error {
			if !first {
				var err error
				if fragments, last, err = fill(ctx); err != nil {
					if errors.Is(err, jobs.ErrNotFound) { // it was deleted
						return firstError(e.send("end", nil, false), errDone)
					}
					return err
				}
			}
			first = false
			patch, err := patcher.Patch(ctx, fragments)
			if err != nil {
				return err
			}
			if len(patch) > 0 {
				if err := e.send("patch", patch, false); err != nil {
					return err
				}
			}
			if last {
				return firstError(e.send("end", nil, false), errDone)
			}
			return nil
		}
		return s.follow(ctx, wt, look, e.idle)
	})
	return nil
}

func (s *Site) jobsLive(w http.ResponseWriter, r *http.Request) error {
	return s.live(w, r, watch{gap: eventGap, tick: 2 * time.Second}, func(ctx context.Context) ([]views.Fragment, bool, error) {
		p, err := s.jobsModel(r, func(v store.Viewer, f store.Filter) (jobList, error) { return s.sharedJobs(ctx, v, f) })
		return p.Fragments(), false, err
	})
}

// sharedJobs reads the list of jobs once for all open pages that show the same.
func (s *Site) sharedJobs(ctx context.Context, v store.Viewer, f store.Filter) (jobList, error) {
	whose := v.UserID
	if v.All {
		whose = ""
	}
	key := fmt.Sprintf("%q %+q", whose, []any{f.States, f.Queue, f.Tag, f.Text, f.Before})
	return s.lists.get(ctx, key, eventGap, func(ctx context.Context) (jobList, error) { return s.readJobs(ctx, v, f) })
}

func (s *Site) jobLive(w http.ResponseWriter, r *http.Request) error {
	m := jobModel{site: s, r: r, id: chi.URLParam(r, "id")}
	return s.live(w, r, watch{job: m.id, gap: eventGap, tick: time.Second}, func(ctx context.Context) ([]views.Fragment, bool, error) {
		p, err := m.fill(ctx)
		return p.Fragments(), p.Job.State.Ended(), err
	})
}

func (s *Site) taskLive(w http.ResponseWriter, r *http.Request) error {
	return s.live(w, r, watch{job: chi.URLParam(r, "id"), gap: eventGap, tick: time.Second}, func(ctx context.Context) ([]views.Fragment, bool, error) {
		p, err := s.taskModel(ctx, r)
		return p.Fragments(), p.Live == "", err
	})
}

// fleetLooks are as often as there is something new of queues and nodes; ages
// go on meanwhile by themselves.
var fleetLooks = watch{fleet: true, gap: eventGap, tick: fleetMissed}

func (s *Site) queuesLive(w http.ResponseWriter, r *http.Request) error {
	return s.live(w, r, fleetLooks, func(ctx context.Context) ([]views.Fragment, bool, error) {
		p, err := s.queuesModel(ctx, r)
		return p.Fragments(), false, err
	})
}

func (s *Site) nodesLive(w http.ResponseWriter, r *http.Request) error {
	return s.live(w, r, fleetLooks, func(ctx context.Context) ([]views.Fragment, bool, error) {
		p, err := s.nodesModel(ctx, r)
		return p.Fragments(), false, err
	})
}
