package http

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/go-chi/chi/v5"

	"github.com/allcores/allcores/internal/http/live"
	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/views"
)

// addQueue adds the queue of the form.
func (s *Site) addQueue(w http.ResponseWriter, r *http.Request) error {
	form, limits, found, err := readQueueForm(r, "")
	if err != nil {
		return err
	}
	queues, err := s.store.Queues(r.Context())
	if err != nil {
		return err
	}
	switch {
	case !jobs.ValidQueueName(form.Name):
		found = append(found, jobs.Violation{Location: views.FieldName, Message: jobs.QueueNameRule})
	case slices.ContainsFunc(queues, func(q jobs.Queue) bool { return q.Name == form.Name }):
		found = append(found, jobs.Violation{Location: views.FieldName, Message: "is the name of an existing queue"})
	}
	return s.setQueue(w, r, form, limits, found)
}

// changeQueue gives a queue the limits of the form.
func (s *Site) changeQueue(w http.ResponseWriter, r *http.Request) error {
	name := chi.URLParam(r, "name")
	form, limits, found, err := readQueueForm(r, name)
	if err != nil {
		return err
	}
	if _, err := s.queueAs(r.Context(), name, http.StatusOK); err != nil {
		return err
	}
	return s.setQueue(w, r, form, limits, found)
}

func readQueueForm(r *http.Request, queue string) (form views.QueueForm, limits jobs.QueueLimits, found jobs.Invalid, err error) {
	if err := require(r, jobs.Admin); err != nil {
		return form, limits, nil, err
	}
	if err := parseForm(r); err != nil {
		return form, limits, nil, err
	}
	form = views.ParseQueueForm(r.PostForm, queue)
	limits, found = form.Limits()
	return form, limits, found, nil
}

func (s *Site) setQueue(w http.ResponseWriter, r *http.Request, form views.QueueForm, limits jobs.QueueLimits, found jobs.Invalid) error {
	if len(found) > 0 {
		p, err := s.queuesModel(r.Context(), r)
		if err != nil {
			return err
		}
		form.Reject(found)
		p.Refused = &form
		return s.render(w, r, http.StatusUnprocessableEntity, views.Queues(p))
	}
	if _, err := s.store.SetQueue(r.Context(), form.Name, limits); err != nil {
		return err
	}
	s.cluster.changed()
	http.Redirect(w, r, "/queues#queue-"+form.Name, http.StatusSeeOther)
	return nil
}

// onQueue makes a form's handler of a call that changes a queue.
func (s *Site) onQueue(call func(context.Context, *QueuePath) (*queueOutput, error)) handlerFunc {
	return fromForm(jobs.Admin, "name", "/queues#queue-", func(ctx context.Context, name string) error {
		_, err := call(ctx, &QueuePath{name})
		return err
	})
}

// removeQueue deletes a queue, or shows on its page why it cannot.
func (s *Site) removeQueue(w http.ResponseWriter, r *http.Request) error {
	if err := require(r, jobs.Admin); err != nil {
		return err
	}
	name := chi.URLParam(r, "name")
	_, err := s.deleteQueue(r.Context(), &QueuePath{name})
	if errors.Is(err, jobs.ErrConflict) {
		p, err := s.queuesModel(r.Context(), r)
		if err != nil {
			return err
		}
		p.Kept = name
		return s.render(w, r, http.StatusConflict, views.Queues(p))
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/queues", http.StatusSeeOther)
	return nil
}

func (s *Site) queuesModel(ctx context.Context, r *http.Request) (views.QueuesPage, error) {
	p := views.QueuesPage{Page: s.base(r)}
	p.Live = "/queues/live"
	now, err := s.cluster.now(ctx)
	if err != nil {
		return p, err
	}
	p.Queues, p.Nodes, p.History = now.queues, now.nodes, now.queueHistory
	return p, nil
}

func (s *Site) queuesPage(w http.ResponseWriter, r *http.Request) error {
	p, err := s.queuesModel(r.Context(), r)
	if err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, views.Queues(p))
}

func (s *Site) queuesLive(r *http.Request) (live.Watch, fillFunc) {
	return clusterLooks, func(ctx context.Context) ([]views.Fragment, bool, error) {
		p, err := s.queuesModel(ctx, r)
		return p.Fragments(), false, err
	}
}
