package http

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"net/http"
	"strings"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/views"
)

// A newJobForm is the form of a new job as it was sent.
type newJobForm struct {
	sent   *postedForm
	upload *upload // the file with its inputs; nil without one
	page   views.NewJobPage
	spec   jobs.Spec
}

// action reports whether the form was sent by the button of that field.
func (f *newJobForm) action(field string) bool { return f.sent.values.Get(field) != "" }

// createJob checks the form, tries its first input, or submits it. A file is
// submitted while it is read.
func (s *Site) createJob(w http.ResponseWriter, r *http.Request) error {
	if err := require(r, jobs.Submitter); err != nil {
		return err
	}
	sent, err := openForm(r)
	if err != nil {
		return err
	}
	up, id, refused, err := s.uploadFile(r.Context(), sent)
	if err != nil {
		return err
	}
	if id != "" {
		http.Redirect(w, r, "/jobs/"+id, http.StatusSeeOther)
		return nil
	}
	f, found, err := s.readForm(r, sent, up)
	if err != nil {
		return err
	}
	switch {
	case len(found) > 0:
	case f.action(views.FieldCheck):
		return s.checkForm(w, r, f)
	case f.action(views.FieldTry):
		return s.tryForm(w, r, f)
	default:
		found = refused
	}
	return s.submitForm(w, r, f, found)
}

// readForm reads the rest of the form. found lists the violations of its fields.
func (s *Site) readForm(r *http.Request, sent *postedForm, up *upload) (f *newJobForm, found jobs.Invalid, err error) {
	if err := sent.rest(); err != nil {
		return nil, nil, err
	}
	f = &newJobForm{sent: sent, upload: up, page: views.NewJobPage{Page: s.base(r), Form: views.ParseNewJobForm(sent.values)}}
	if sent.file != nil {
		f.page.Form.FileName = sent.file.FileName()
	}
	inputs, wrong, err := s.formInputs(r, &f.page.Form, up)
	if err != nil {
		return nil, nil, err
	}
	if f.action(views.FieldCheck) && up == nil && f.page.Form.Inputs == views.InputsFile {
		inputs = &jobs.Inputs{Stored: newUpload(nil, f.page.Form).stored()} // the file is sent after the check
	}
	f.spec, found = f.page.Form.Spec(inputs)
	return f, append(withoutInputs(found, wrong), wrong...), nil
}

// checkForm answers 204 if the form could be submitted.
func (s *Site) checkForm(w http.ResponseWriter, r *http.Request, f *newJobForm) error {
	refused, err := s.engine.Check(r.Context(), &f.spec)
	if err != nil {
		return err
	}
	if len(refused) > 0 {
		return s.submitForm(w, r, f, refused)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// tryForm shows the form with the outcome of its first input.
func (s *Site) tryForm(w http.ResponseWriter, r *http.Request, f *newJobForm) (err error) {
	f.page.Try, err = s.try(r.Context(), callOf(r.Context()).user, f.spec, f.upload)
	var refused jobs.Invalid
	switch {
	case errors.As(err, &refused):
		return s.submitForm(w, r, f, refused)
	case err != nil:
		return err
	}
	return s.renderForm(w, r, http.StatusOK, f.page)
}

// submitForm submits the form and leads to the job's page, or shows the form again
// with all that is wrong: what was found already and what the engine finds.
func (s *Site) submitForm(w http.ResponseWriter, r *http.Request, f *newJobForm, found jobs.Invalid) error {
	user := callOf(r.Context()).user
	key, err := f.sent.key(user, nil)
	if err != nil {
		return err
	}
	job, err := s.submit(r.Context(), user, f.spec, key, inBody(found), 0)
	var invalid jobs.Invalid
	if errors.As(err, &invalid) {
		f.page.Form.Reject(invalid)
		return s.renderForm(w, r, http.StatusUnprocessableEntity, f.page)
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/jobs/"+job.ID, http.StatusSeeOther)
	return nil
}

// errNotYet ends the upload of inputs without a job: the form is wrong, or its
// inputs are only checked or tried.
var errNotYet = errors.New("the form is not to be submitted")

// uploadFile reads the form's file, if its inputs are in one, and submits the form
// with it while reading. id is empty if the form is only checked or tried, or is
// wrong; refused is what the engine found. Without a file up is nil.
func (s *Site) uploadFile(ctx context.Context, form *postedForm) (up *upload, id string, refused jobs.Invalid, err error) {
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
	user := callOf(ctx).user
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

// withoutInputs drops violations of the inputs from found if wrong says why the
// inputs could not be read.
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

// formInputs returns inputs that are not in the form's fields: those of an uploaded
// file or of another job. It returns nil if the fields have them.
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
	return nil, nil, nil // without a file the form asks for one
}

// sameInputs returns the inputs that job has now.
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
