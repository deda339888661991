package http

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/allcores/allcores/internal/http/live"
	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/views"
)

// gotoTask leads from the field for a task's index to the task. The job's page shows
// an error at the field if no task has the index.
func (s *Site) gotoTask(w http.ResponseWriter, r *http.Request) error {
	m := jobModel{site: s, r: r, id: chi.URLParam(r, "id")}
	typed := strings.TrimSpace(r.URL.Query().Get("index"))
	index, err := strconv.ParseInt(strings.NewReplacer(",", "", " ", "", "_", "").Replace(typed), 10, 64)
	wrong := err != nil
	job, err := s.store.Job(r.Context(), viewer(r), m.id)
	if err != nil {
		return err
	}
	if !wrong && index >= 0 && index < job.Counts.Total {
		http.Redirect(w, r, fmt.Sprintf("/jobs/%s/tasks/%d", job.ID, index), http.StatusSeeOther)
		return nil
	}
	p, err := m.fill(r.Context())
	if err != nil {
		return err
	}
	p.Goto = strings.ToValidUTF8(typed, "\uFFFD")
	p.GotoError = "There are no tasks yet."
	if total := job.Counts.Total; total > 0 {
		p.GotoError = views.NoSuchTask(p.Goto, total)
	}
	return s.render(w, r, http.StatusUnprocessableEntity, views.Job(p))
}

func (s *Site) taskModel(ctx context.Context, r *http.Request) (views.TaskPage, error) {
	p := views.TaskPage{Page: s.base(r)}
	job, task, err := s.task(ctx, chi.URLParam(r, "id"), chi.URLParam(r, "index"))
	if err != nil {
		return p, err
	}
	p.Job, p.Task = *job, *task
	p.Steer = steers(p.User, job)
	if task.State == jobs.TaskWaiting || task.State == jobs.TaskRunning {
		p.Live = fmt.Sprintf("/jobs/%s/tasks/%d/live", job.ID, task.Index)
	}
	if task.State == jobs.TaskRunning {
		list, err := s.reports(ctx, job)
		if err != nil {
			return p, err
		}
		if i := slices.IndexFunc(list, func(r jobs.TaskProgress) bool { return r.Task == task.Index }); i >= 0 {
			p.Report = &list[i]
		}
	}
	if job.Counts.Failed > 0 {
		next, err := s.store.NextFailed(ctx, job.ID, task.Index+1)
		if err != nil {
			return p, err
		}
		if next >= 0 {
			p.NextFailed = &next
		}
	}
	p.LogsCut, err = s.store.LogsCut(ctx, job.ID)
	return p, err
}

func (s *Site) taskPage(w http.ResponseWriter, r *http.Request) error {
	p, err := s.taskModel(r.Context(), r)
	if err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, views.Task(p))
}

// cancelTaskFromPage is cancelTask for the button of a task's page.
func (s *Site) cancelTaskFromPage(w http.ResponseWriter, r *http.Request) error {
	if err := require(r, jobs.Submitter); err != nil {
		return err
	}
	id, index := chi.URLParam(r, "id"), chi.URLParam(r, "index")
	if _, err := s.cancelTask(r.Context(), &TaskPath{JobPath: JobPath{id}, Index: index}); err != nil {
		return err
	}
	http.Redirect(w, r, "/jobs/"+id+"/tasks/"+index, http.StatusSeeOther)
	return nil
}

func (s *Site) taskLive(r *http.Request) (live.Watch, fillFunc) {
	return live.Watch{Job: chi.URLParam(r, "id"), Gap: live.EventGap, Tick: time.Second}, func(ctx context.Context) ([]views.Fragment, bool, error) {
		p, err := s.taskModel(ctx, r)
		return p.Fragments(), p.Live == "", err
	}
}
