package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime/multipart"
	"net/http"
	"strings"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/views"
)

const (
	formMemory   = 16 << 20         // of a form that is kept in memory, the rest in files
	editable     = 64 << 10         // bytes of inputs that are put into the form to edit
	maxSame      = 64 << 20         // bytes of inputs that are taken from another job
	tryFor       = 30 * time.Second // how long the first input is tried
	cleanUpAfter = 10 * time.Second // how long cleaning up after that may take
)

// parseForm reads a form of either encoding.
func parseForm(r *http.Request) error {
	err := r.ParseMultipartForm(formMemory)
	if errors.Is(err, http.ErrNotMultipart) {
		err = nil // ParseMultipartForm has read a plain form by then
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errTooLarge) || errors.Is(err, errSlowBody) || errors.Is(err, errBrokenBody):
		return err
	case errors.Is(err, multipart.ErrMessageTooLarge):
		return errTooLarge
	}
	return tell(fmt.Errorf("%w: %w", errBrokenBody, err), errBrokenBody, "The form could not be read.")
}

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

// createJob submits the form, or tries its first input.
func (s *Site) createJob(w http.ResponseWriter, r *http.Request) error {
	if err := require(r, jobs.Submitter); err != nil {
		return err
	}
	if err := parseForm(r); err != nil {
		return err
	}
	if r.MultipartForm != nil {
		defer r.MultipartForm.RemoveAll()
	}
	p := views.NewJobPage{Page: s.base(r), Form: views.ParseNewJobForm(r.PostForm)}
	inputs, wrong, err := s.formInputs(r, &p.Form)
	if err != nil {
		return err
	}
	spec, found := p.Form.Spec(inputs)
	found = append(withoutInputs(found, wrong), wrong...)
	if r.PostForm.Get(views.FieldTry) != "" && len(found) == 0 {
		p.Try, err = s.try(r.Context(), callOf(r.Context()).user, spec)
		var invalid jobs.Invalid
		if errors.As(err, &invalid) {
			found, err = invalid, nil
		}
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return s.renderForm(w, r, http.StatusOK, p)
		}
	}
	job, _, err := s.submit(r.Context(), callOf(r.Context()).user, spec, nil, inBody(found), 0)
	var invalid jobs.Invalid
	if errors.As(err, &invalid) {
		p.Form.Reject(invalid)
		return s.renderForm(w, r, http.StatusUnprocessableEntity, p)
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/jobs/"+job.ID, http.StatusSeeOther)
	return nil
}

// withoutInputs leaves out what follows only from inputs that could not be
// read: that they are missing.
func withoutInputs(found, wrong jobs.Invalid) jobs.Invalid {
	if len(wrong) == 0 {
		return found
	}
	var out jobs.Invalid
	for _, v := range found {
		if !strings.HasPrefix(v.Location, "inputs") {
			out = append(out, v)
		}
	}
	return out
}

// formInputs are the inputs that do not stand in the form's fields: those of an
// uploaded file or of another job. nil means that the fields have them.
func (s *Site) formInputs(r *http.Request, f *views.NewJobForm) (*jobs.Inputs, jobs.Invalid, error) {
	switch f.Inputs {
	case views.InputsFile:
		file, header, err := r.FormFile(views.FieldFile)
		if err != nil {
			return nil, nil, nil // the form says that a file must be chosen
		}
		defer file.Close()
		f.FileName = header.Filename
		inputs, wrong := readUpload(file, f)
		return inputs, wrong, nil
	case views.InputsSame:
		job, err := s.store.Job(r.Context(), viewer(r), f.From)
		if errors.Is(err, jobs.ErrNotFound) {
			return nil, jobs.Invalid{{Location: "inputs", Message: "the job whose inputs were to be used is not there any more"}}, nil
		}
		if err != nil {
			return nil, nil, err
		}
		f.FromName, f.FromCount = job.Name, job.Counts.Total
		inputs, err := s.store.Inputs(r.Context(), job, maxSame)
		if errors.Is(err, jobs.ErrConflict) {
			return nil, jobs.Invalid{{Location: "inputs", Message: "the inputs of that job are too large to be used again"}}, nil
		}
		return &inputs, nil, err
	}
	return nil, nil, nil
}

// try runs the program on the first input as a job of one task, waits for it,
// and removes it again.
func (s *Site) try(ctx context.Context, user *jobs.User, spec jobs.Spec) (*views.TryResult, error) {
	first := firstInput(spec.Inputs)
	if first == nil {
		return nil, jobs.Invalid{{Location: "inputs", Message: "there is no first input to try"}}
	}
	spec.Name = ("Try: " + spec.WithDefaults().Name)
	spec.Name = string([]rune(spec.Name)[:min(200, len([]rune(spec.Name)))])
	spec.Inputs = jobs.Inputs{Items: []json.RawMessage{first}}
	one := 1
	spec.Policy.Processes, spec.Policy.ChunkSize = &one, nil
	id, _, err := s.engine.Submit(ctx, user, spec, nil)
	if err != nil {
		return nil, err
	}
	v := store.As(user)
	defer s.forget(context.WithoutCancel(ctx), v, id)
	began := time.Now()
	job, err := s.engine.Await(ctx, v, id, tryFor)
	if err != nil {
		return nil, err
	}
	task, err := s.store.Task(ctx, job, 0)
	if err != nil {
		return nil, err
	}
	result := &views.TryResult{Input: string(task.Input), Output: string(task.Output), Error: task.Error, Logs: task.Logs, Took: time.Since(began)}
	if task.DurationMS != nil {
		result.Took = time.Duration(*task.DurationMS * float64(time.Millisecond))
	}
	if task.Error == nil && task.State != jobs.TaskSucceeded {
		result.Error = &jobs.TaskError{Kind: jobs.KindTimeout, Message: fmt.Sprintf("It had not ended after %v and was stopped. A job may run as long as it needs.", tryFor)}
		if job.State.Ended() {
			result.Error = &jobs.TaskError{Kind: jobs.KindCrash, Message: job.Reason}
		}
	}
	return result, nil
}

// forget removes a job that was only a try.
func (s *Site) forget(ctx context.Context, v store.Viewer, id string) {
	ctx, cancel := context.WithTimeout(ctx, cleanUpAfter)
	defer cancel()
	err := s.store.DeleteJob(ctx, v, id)
	if errors.Is(err, jobs.ErrConflict) {
		if _, err = s.engine.Cancel(ctx, v, id); err == nil {
			err = s.store.DeleteJob(ctx, v, id)
		}
	}
	if err != nil {
		s.log.Warn("remove a tried job", "job", id, "error", err)
	}
}

// firstInput is the first input as JSON, or nil where there is none.
func firstInput(in jobs.Inputs) json.RawMessage {
	if in.Range != nil {
		if in.Range.Len() == 0 {
			return nil
		}
		return json.RawMessage(fmt.Append(nil, in.Range.At(0)))
	}
	for value := range in.Values() {
		return value
	}
	return nil
}

func readError(text []byte) *jobs.TaskError {
	var e jobs.TaskError
	if err := json.Unmarshal(text, &e); err != nil {
		return &jobs.TaskError{Message: string(text)}
	}
	return &e
}
