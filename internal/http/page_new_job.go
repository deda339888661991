package http

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/views"
)

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

// errNotYet ends the streaming of inputs of which no job is to be made: the form
// is wrong, or they are only tried.
var errNotYet = errors.New("the form is not to be submitted")

// createJob submits the form, or tries its first input.
func (s *Site) createJob(w http.ResponseWriter, r *http.Request) error {
	if err := require(r, jobs.Submitter); err != nil {
		return err
	}
	form, err := openForm(r)
	if err != nil {
		return err
	}
	user := callOf(r.Context()).user
	up, id, refused, err := s.takeFile(r.Context(), user, form)
	if err != nil {
		return err
	}
	if id != "" {
		http.Redirect(w, r, "/jobs/"+id, http.StatusSeeOther)
		return nil
	}
	if err := form.rest(); err != nil {
		return err
	}
	p := views.NewJobPage{Page: s.base(r), Form: views.ParseNewJobForm(form.values)}
	if form.file != nil {
		p.Form.FileName = form.file.FileName()
	}
	checking, trying := form.values.Get(views.FieldCheck) != "", form.values.Get(views.FieldTry) != ""
	inputs, wrong, err := s.formInputs(r, &p.Form, up)
	if err != nil {
		return err
	}
	if checking && up == nil && p.Form.Inputs == views.InputsFile {
		inputs = &jobs.Inputs{Stored: newUpload(nil, p.Form).stored()}
	}
	spec, found := p.Form.Spec(inputs)
	found = append(withoutInputs(found, wrong), wrong...)
	switch {
	case len(found) > 0:
	case checking:
		if refused, err = s.engine.Check(r.Context(), &spec); err != nil {
			return err
		}
		if len(refused) == 0 {
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
		found = refused
	case trying:
		p.Try, err = s.try(r.Context(), user, spec, up)
		if err == nil {
			return s.renderForm(w, r, http.StatusOK, p)
		}
		if !errors.As(err, &found) {
			return err
		}
	default:
		found = refused
	}
	key, err := form.key(user, nil)
	if err != nil {
		return err
	}
	job, err := s.submit(r.Context(), user, spec, key, inBody(found), 0)
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

// takeFile reads the form's file, if its inputs are there, and submits the form
// with it unless it is only tried or wrong: then id is empty, and refused is what
// the engine found wrong. Without a file up is nil.
func (s *Site) takeFile(ctx context.Context, user *jobs.User, form *postedForm) (up *upload, id string, refused jobs.Invalid, err error) {
	early := views.ParseNewJobForm(form.values)
	if form.file == nil || early.Inputs != views.InputsFile {
		return nil, "", nil, nil
	}
	up = newUpload(form.file, early)
	if form.values.Get(views.FieldPart) != "" {
		up.part = true
		return up, "", nil, up.look()
	}
	var content hash.Hash
	if form.values.Get(views.FieldKey) != "" {
		content = sha256.New()
		up.file = io.TeeReader(up.file, content)
	}
	id, err = s.engine.Submit(ctx, engine.SubmitRequest{User: user, Values: up.values(), Describe: func(int64) (jobs.Spec, *store.Key, error) {
		if err := form.rest(); err != nil {
			return jobs.Spec{}, nil, err
		}
		full := views.ParseNewJobForm(form.values)
		spec, found := full.Spec(&jobs.Inputs{Stored: up.stored()})
		if len(found) > 0 || form.values.Get(views.FieldTry) != "" || form.values.Get(views.FieldCheck) != "" {
			return spec, nil, errNotYet
		}
		if !up.oneLine { // lines that were edited would become others
			spec.Inputs.Stored.Kind = "items"
		}
		key, err := form.key(user, content)
		return spec, key, err
	}})
	if errors.As(err, &refused) || errors.Is(err, errNotYet) {
		err = nil
	}
	return up, id, refused, err
}

// previewFile answers how the beginning of a chosen file is read.
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

// withoutInputs leaves out what follows only from inputs that could not be
// read: that they are missing.
func withoutInputs(found, wrong jobs.Invalid) jobs.Invalid {
	if len(wrong) == 0 {
		return found
	}
	var out jobs.Invalid
	for _, v := range found {
		if !strings.HasPrefix(v.Location, "inputs") {
			out.Add(v)
		}
	}
	return out
}

// formInputs are the inputs that do not stand in the form's fields: those of an
// uploaded file or of another job. nil means that the fields have them.
func (s *Site) formInputs(r *http.Request, f *views.NewJobForm, up *upload) (*jobs.Inputs, jobs.Invalid, error) {
	switch {
	case up != nil:
		return &jobs.Inputs{Stored: up.stored()}, up.wrong, nil
	case f.Inputs == views.InputsFile && f.FileName != "":
		return nil, inFile("came before the form's other fields; it must come after those about programs and inputs"), nil
	case f.Inputs == views.InputsSame:
		job, err := s.store.Job(r.Context(), viewer(r), f.From)
		if errors.Is(err, jobs.ErrNotFound) {
			return nil, jobs.Invalid{{Location: "inputs", Message: "the job whose inputs were to be used is not there any more"}}, nil
		}
		if err != nil {
			return nil, nil, err
		}
		f.FromName, f.FromCount = job.Name, job.Counts.Total
		if job.Counts.Total == 0 {
			return nil, jobs.Invalid{{Location: "inputs", Message: "that job had no inputs, so there is nothing to run"}}, nil
		}
		return sameInputs(job), nil, nil
	}
	return nil, nil, nil // without a file the form says that one must be chosen
}

// sameInputs are the inputs that job has now.
func sameInputs(job *jobs.Job) *jobs.Inputs {
	if job.Inputs.Range != nil {
		return &jobs.Inputs{Range: job.Inputs.Range}
	}
	kind := job.Inputs.Kind
	if kind == "open" {
		kind = "items"
	}
	return &jobs.Inputs{Stored: &jobs.Stored{Kind: kind, Count: job.Counts.Total, From: job.ID}}
}

// try runs the program on the first input as a job of one task, waits for it,
// and removes it again.
func (s *Site) try(ctx context.Context, user *jobs.User, spec jobs.Spec, up *upload) (*views.TryResult, error) {
	v := store.As(user)
	first, err := s.firstInput(ctx, v, spec.Inputs, up)
	if err != nil {
		return nil, err
	}
	if first == nil {
		return nil, jobs.Invalid{{Location: "inputs", Message: "there is no first input to try"}}
	}
	spec.Name = ("Try: " + spec.WithDefaults().Name)
	spec.Name = string([]rune(spec.Name)[:min(200, len([]rune(spec.Name)))])
	spec.Inputs = jobs.Inputs{Items: []json.RawMessage{first}}
	one := 1
	spec.Policy.Processes, spec.Policy.ChunkSize = &one, nil
	id, err := s.engine.Submit(ctx, engine.SubmitRequest{User: user, Spec: spec})
	if err != nil {
		return nil, err
	}
	defer s.forget(context.WithoutCancel(ctx), v, id)
	began := time.Now()
	job, err := s.engine.Await(ctx, engine.AwaitRequest{Job: id, Viewer: v, AtMost: tryFor})
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
		if _, err = s.engine.Cancel(ctx, v, id, nil); err == nil {
			err = s.store.DeleteJob(ctx, v, id)
		}
	}
	if err != nil {
		s.log.Warn("remove a tried job", "job", id, "error", err)
	}
}

// firstInput is the first input as JSON, or nil where there is none.
func (s *Site) firstInput(ctx context.Context, v store.Viewer, in jobs.Inputs, up *upload) (json.RawMessage, error) {
	switch {
	case up != nil:
		if len(up.first) == 0 {
			return nil, nil
		}
		return up.first[0], nil
	case in.Count() == 0:
		return nil, nil
	case in.Range != nil:
		return json.RawMessage(fmt.Append(nil, in.Range.At(0))), nil
	case in.Stored != nil:
		job, err := s.store.Job(ctx, v, in.Stored.From)
		if err != nil {
			return nil, err
		}
		task, err := s.store.Task(ctx, job, 0)
		if err != nil {
			return nil, err
		}
		return task.Input, nil
	}
	for value := range in.Values() {
		return value, nil
	}
	return nil, nil
}

const (
	formMemory   = 16 << 20         // of a form that is kept in memory, the rest in files
	editable     = 64 << 10         // bytes of inputs that are put into the form to edit
	tryFor       = 30 * time.Second // how long the first input is tried
	cleanUpAfter = 10 * time.Second // how long cleaning up after that may take
)
