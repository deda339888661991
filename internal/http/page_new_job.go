package http

import (
	"errors"
	"net/http"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/views"
)

// editable is how many bytes of inputs the form takes for editing.
const editable = 64 << 10

// newJobPage shows the form, empty or prefilled from an example or a job.
func (s *Site) newJobPage(w http.ResponseWriter, r *http.Request) error {
	if err := require(r, jobs.Submitter); err != nil {
		return err
	}
	p := views.NewJobPage{Page: s.base(r), Form: views.NewForm()}
	q := r.URL.Query()
	if name := q.Get("example"); name != "" {
		form, ok := views.Example(name)
		if !ok {
			return jobs.ErrNotFound
		}
		p.Form, p.Example = form, name
	}
	if from := q.Get("from"); from != "" {
		job, err := s.store.Job(r.Context(), viewer(r), from)
		if err != nil {
			return err
		}
		inputs, err := s.store.Inputs(r.Context(), job, editable)
		switch {
		case errors.Is(err, jobs.ErrConflict): // too many to edit
			p.Form = views.FormOfJob(job, nil)
		case err != nil:
			return err
		default:
			p.Form = views.FormOfJob(job, &inputs)
		}
	}
	return s.renderForm(w, r, http.StatusOK, p)
}

func (s *Site) renderForm(w http.ResponseWriter, r *http.Request, status int, p views.NewJobPage) error {
	var err error
	if p.Queues, err = s.store.Queues(r.Context()); err != nil {
		return err
	}
	return s.render(w, r, status, views.NewJob(p))
}

// previewFile shows how the beginning of a chosen file is read.
func (s *Site) previewFile(w http.ResponseWriter, r *http.Request) error {
	if err := require(r, jobs.Submitter); err != nil {
		return err
	}
	form, err := openForm(r)
	if err != nil {
		return err
	}
	if form.file == nil {
		return jobs.Invalid{{Location: "body." + views.FieldFile, Message: "is required"}}
	}
	up := newUpload(form.file, views.ParseNewJobForm(form.values))
	up.part = form.values.Get(views.FieldPart) != ""
	if err := up.look(); err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, views.FileInputs(up.preview()))
}
