package http

import (
	"bufio"
	"bytes"
	"crypto/sha256"

	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/views"
)

const (
	maxFieldBytes = 32 << 20 // of a form's fields together, without its file
	fieldOverhead = 256      // bytes that a field counts for beside its content
	maxListed     = 20       // lines of a file that are listed as wrong
)

// A postedForm is a form that may have a file in it. The file is read while it
// arrives, so it may be of any length; the fields are kept in memory.
type postedForm struct {
	values url.Values
	file   *multipart.Part // where reading stopped; nil without a file

	parts *multipart.Reader // nil after the last part
	room  int               // bytes that further fields may have
}

// openForm reads a form up to its file, or all of it if it has none.
func openForm(r *http.Request) (*postedForm, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "multipart/form-data" {
		if err := parseForm(r); err != nil {
			return nil, err
		}
		return &postedForm{values: r.PostForm}, nil
	}
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, formError(err)
	}
	f := &postedForm{values: url.Values{}, parts: parts, room: maxFieldBytes}
	return f, f.advance()
}

// key returns the idempotency key of the form, with the hash of its file: sending
// the form again returns the same job. It is nil for a form without a key, as
// browsers without scripts send it. A key with other content is another key, so a
// changed form is never taken for the one before.
func (f *postedForm) key(user *jobs.User, file hash.Hash) (*store.Key, error) {
	given := f.values.Get(views.FieldKey)
	if given == "" {
		return nil, nil
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%q\n%s\n", given, f.values.Encode())
	if file != nil {
		sum.Write(file.Sum(nil))
	}
	request := sum.Sum(nil)
	return newKey("form-"+hex.EncodeToString(request), user, request)
}

// rest reads the rest of the file and the fields after it.
func (f *postedForm) rest() error {
	if f.parts == nil {
		return nil
	}
	return f.advance()
}

// advance reads fields up to the file, or to the end once it was there.
func (f *postedForm) advance() error {
	for {
		part, err := f.parts.NextPart()
		if errors.Is(err, io.EOF) {
			f.parts = nil
			return nil
		}
		if err != nil {
			return formError(err)
		}
		name := part.FormName()
		if part.FileName() != "" {
			if name == views.FieldFile && f.file == nil {
				f.file = part
				return nil
			}
			continue
		}
		text, err := io.ReadAll(io.LimitReader(part, int64(f.room)+1))
		if err != nil {
			return formError(err)
		}
		if f.room -= len(text) + len(name) + fieldOverhead; f.room < 0 {
			return tooLarge("/jobs/new", maxFieldBytes)
		}
		f.values.Add(name, string(text))
	}
}

// previewed is how many inputs of a file its preview reads.
const previewed = 3

// An upload reads inputs from a form's file.
type upload struct {
	file    io.Reader
	name    string           // of the file
	form    views.NewJobForm // as far as it came before the file
	program jobs.Program
	part    bool // the file is only the beginning of one: no more than previewed inputs are read

	uploadText
	uploadInputs
}

// An uploadText is how the file is read.
type uploadText struct {
	text     *bufio.Reader // of the file; nil before it is read
	encoding string        // that text was read from, if it was not UTF-8
	format   fileFormat    // set with text
	columns  []string      // of a CSV file, or nil where it names none
	column   int           // of a CSV file that has the inputs, from 0; -1 before it is known
}

// uploadInputs are the inputs read from the file so far.
type uploadInputs struct {
	count   int64
	first   []json.RawMessage // inputs, at most previewed
	wrong   jobs.Invalid      // with the file
	oneLine bool              // no input that was read has a line break
	blank   bool              // every input that was read is an empty text
}

// newUpload returns the upload of file. A nil file is sent later.
func newUpload(file *multipart.Part, f views.NewJobForm) *upload {
	u := &upload{
		form:         f,
		uploadText:   uploadText{format: fileFormat{kind: f.FileFormat}, column: -1},
		uploadInputs: uploadInputs{oneLine: true, blank: true},
	}
	if file != nil {
		u.file, u.name = file, file.FileName()
	}
	spec, _ := f.Spec(&jobs.Inputs{Stored: u.stored()}) // what is wrong with it is reported later
	u.program = spec.Program
	return u
}

// stored returns the inputs as the database has them after all were read.
func (u *upload) stored() *jobs.Stored {
	kind := "items"
	if u.format.kind == views.FormatLines || u.format.kind == views.FormatCSV {
		kind = "lines"
	}
	return &jobs.Stored{Kind: kind, Count: u.count}
}

// values yields the inputs as they arrive, in compact JSON. It stops yielding at the
// first line that is wrong, reads on to list others, and ends with jobs.Invalid. A
// whole file without inputs is wrong, too.
func (u *upload) values() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for value, err := range u.read() {
			var invalid jobs.Invalid
			switch {
			case errors.As(err, &invalid):
				if u.cut() {
					return
				}
				u.wrong = append(u.wrong, invalid...)
			case err != nil:
				yield(nil, err)
				return
			case u.count == jobs.MaxTasks:
				u.wrong = append(u.wrong, inFile("has more than %d inputs", int64(jobs.MaxTasks))...)
			case u.wrong == nil:
				if len(u.first) < previewed {
					u.first = append(u.first, bytes.Clone(value))
				}
				u.count++
				u.blank = u.blank && string(value) == `""`
				if !yield(value, nil) || u.part && u.count == previewed {
					return
				}
			}
			if len(u.wrong) == maxListed || u.count == jobs.MaxTasks && u.wrong != nil {
				break
			}
		}
		if u.wrong == nil && u.blank && !u.part {
			u.wrong = inFile("%s", u.emptiness())
		}
		if u.wrong != nil {
			yield(nil, u.wrong)
		}
	}
}

// look reads the inputs without submitting any, and sets wrong. The error is why
// they could not be read.
func (u *upload) look() error {
	for _, err := range u.values() {
		var invalid jobs.Invalid
		if err != nil && !errors.As(err, &invalid) {
			return err
		}
	}
	return nil
}

// preview returns what the form shows of the file after look.
func (u *upload) preview() views.FilePreview {
	p := views.FilePreview{Format: u.format.kind, Columns: u.columns, Column: u.column, Count: u.count}
	if u.part {
		p.Count = -1
	}
	if u.format.kind == views.FormatCSV {
		p.Dialect = "separated by " + separatorWord(u.format.separator)
	}
	if u.encoding != "" {
		p.Dialect = strings.TrimPrefix(p.Dialect+", in "+u.encoding, ", ")
	}
	for _, input := range u.first {
		p.Inputs = append(p.Inputs, string(input))
	}
	for _, v := range u.wrong {
		p.Wrong = append(p.Wrong, v.Message)
	}
	return p
}

// cut reports whether only the beginning of a file was sent and it was read to its
// end: what is wrong there may be right in the whole file.
func (u *upload) cut() bool {
	if !u.part || u.text == nil {
		return false
	}
	_, err := u.text.Peek(1)
	return errors.Is(err, io.EOF)
}

// emptiness describes how a file has no inputs.
func (u *upload) emptiness() string {
	switch {
	case u.count > 0 && u.format.kind == views.FormatCSV:
		return "has only empty cells in this column"
	case u.count > 0:
		return "has only blank lines"
	case u.format.kind == views.FormatJSON:
		return "has an empty array: there is nothing to run"
	case u.columns != nil:
		return "has a line of column names but no records"
	}
	return "is empty: there is nothing to run"
}

// read yields inputs, and violations of those that are wrong.
func (u *upload) read() iter.Seq2[[]byte, error] {
	var err error
	if u.text, u.encoding, err = fileText(u.file); err != nil {
		return func(yield func([]byte, error) bool) { yield(nil, err) }
	}
	head, _ := u.text.Peek(sniffed) // reading returns the error again
	u.format = inferFormat(u.form.FileFormat, u.name, head)
	switch u.format.kind {
	case views.FormatNDJSON:
		return inputLines(u.text, atFile, jsonLine(u.program))
	case views.FormatJSON:
		return u.readArray()
	case views.FormatCSV:
		return u.readCSV()
	}
	return inputLines(u.text, atFile, textLine)
}
