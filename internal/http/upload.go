package web

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/views"
)

const (
	maxFieldBytes = 32 << 20 // of a form's fields together, without its file
	fieldOverhead = 256      // bytes that a field counts for beside its content
	maxListed     = 20       // lines of a file that are listed as wrong
)

// A postedForm is a form that may have a file in it. The file is read while it
// arrives, so it may be of any length; the fields are held.
type postedForm struct {
	values url.Values
	file   *multipart.Part // where reading has stopped, or went on from; nil without a file

	parts *multipart.Reader // nil when everything was read
	room  int               // bytes that further fields may have
}

// openForm reads a form up to its file, or as a whole where it has none.
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

// rest reads what comes after the file, and what is left of the file itself.
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
		if err == io.EOF {
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

// An upload is inputs in a form's file.
type upload struct {
	file    io.Reader
	form    views.NewJobForm // as far as it came before the file
	program jobs.Program

	count   int64
	first   json.RawMessage // input of all; nil until one was read
	wrong   jobs.Invalid    // with the file
	oneLine bool            // no input that was read has a line break
}

func newUpload(file io.Reader, f views.NewJobForm) *upload {
	u := &upload{file: file, form: f, oneLine: true}
	spec, _ := f.Spec(&jobs.Inputs{Stored: u.stored()}) // what is wrong with it is told later
	u.program = spec.Program
	return u
}

// stored is the inputs as the database has them, when all were read.
func (u *upload) stored() *jobs.Stored {
	kind := "lines"
	if u.form.FileFormat == views.FormatNDJSON {
		kind = "items"
	}
	return &jobs.Stored{Kind: kind, Count: u.count}
}

// values yields the inputs as they arrive, in compact JSON. It stops yielding
// at the first line that is wrong, reads on to list others, and ends with
// jobs.Invalid.
func (u *upload) values() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for value, err := range u.read() {
			var invalid jobs.Invalid
			switch {
			case errors.As(err, &invalid):
				u.wrong = append(u.wrong, invalid...)
			case err != nil:
				yield(nil, err)
				return
			case u.count == jobs.MaxTasks:
				u.wrong = append(u.wrong, inFile("has more than %d inputs", int64(jobs.MaxTasks))...)
			case u.wrong == nil:
				if u.first == nil {
					u.first = bytes.Clone(value)
				}
				u.count++
				if !yield(value, nil) {
					return
				}
			}
			if len(u.wrong) == maxListed || u.count == jobs.MaxTasks && u.wrong != nil {
				break
			}
		}
		if u.wrong != nil {
			yield(nil, u.wrong)
		}
	}
}

// read yields inputs and what is wrong with those that cannot be taken.
func (u *upload) read() iter.Seq2[[]byte, error] {
	reader := bufio.NewReaderSize(u.file, 64<<10)
	switch u.form.FileFormat {
	case views.FormatNDJSON:
		return inputLines(reader, atFile, jsonLine(u.program))
	case views.FormatCSV:
		return u.readCSV(reader)
	}
	return inputLines(reader, atFile, textLine)
}

// atFile is where violations of an uploaded file stand.
const atFile = "inputs.file"

func inFile(format string, args ...any) jobs.Invalid {
	return jobs.Invalid{{Location: atFile, Message: fmt.Sprintf(format, args...)}}
}

// textLine makes an input of a line of text.
func textLine(line []byte) (compact []byte, message string) {
	return jobs.TextInput(bytes.TrimSuffix(bytes.TrimSuffix(line, []byte{'\n'}), []byte{'\r'}))
}

// readCSV takes one column, by its name or its number counted from 1. Each cell
// is a text.
func (u *upload) readCSV(file *bufio.Reader) iter.Seq2[[]byte, error] {
	column, header := strings.TrimSpace(u.form.CSVColumn), u.form.CSVHeader != ""
	return func(yield func([]byte, error) bool) {
		if !skipMark(file) {
			yield(nil, inFile(wrongEncoding))
			return
		}
		index := -1
		if n, err := strconv.Atoi(column); err == nil && n >= 1 {
			index = n - 1
		} else if !header {
			yield(nil, inFile("the column must be a number from 1 on, as the first line names none"))
			return
		}
		r := newCSVReader(file)
		for ; ; header = false {
			began := r.line
			var malformed *csvError
			switch err := r.read(); {
			case err == io.EOF:
				return
			case errors.As(err, &malformed):
				yield(nil, inFile("is not CSV: %s", malformed))
				return
			case errors.Is(err, errLongRecord):
				yield(nil, inFile("after line %d comes a record that is longer than %d bytes; is a quote not closed?", began-1, maxLine))
				return
			case err != nil:
				yield(nil, err)
				return
			}
			if header {
				if index = columnOf(r, column, index); index < 0 {
					yield(nil, inFile("has no column %q; its columns are %s", column, strings.Join(columns(r), ", ")))
					return
				}
				continue
			}
			var cell []byte
			line := r.lines[0]
			if index < r.fields() {
				cell, line = r.field(index), r.lines[index]
			}
			u.oneLine = u.oneLine && !bytes.ContainsAny(cell, "\r\n")
			value, err := []byte(nil), error(nil)
			if utf8.Valid(cell) {
				value = jobs.AppendString(nil, string(cell))
			} else {
				err = inFile("line %d must be UTF-8", line)
			}
			if !yield(value, err) {
				return
			}
		}
	}
}

// columnOf is the index of the column of a name in the record that names them,
// else number where there are so many columns, else -1.
func columnOf(r *csvReader, name string, number int) int {
	if i := slices.Index(columns(r), name); i >= 0 {
		return i
	}
	if number < r.fields() {
		return number
	}
	return -1
}

func columns(r *csvReader) []string {
	names := make([]string, r.fields())
	for i := range names {
		names[i] = string(r.field(i))
	}
	return names
}
