package http

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/allcores/allcores/internal/jobs"
)

// atFile is the location of violations of an uploaded file.
const atFile = "inputs.file"

func inFile(format string, args ...any) jobs.Invalid {
	return jobs.Invalid{{Location: atFile, Message: fmt.Sprintf(format, args...)}}
}

// textLine converts a line of text to an input.
func textLine(line []byte) (compact []byte, message string) {
	return jobs.TextInput(bytes.TrimSuffix(bytes.TrimSuffix(line, []byte{'\n'}), []byte{'\r'}))
}

// readArray reads the elements of a JSON array.
func (u *upload) readArray() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if !skipMark(u.text) {
			yield(nil, inFile(wrongEncoding))
			return
		}
		bounded := &recordReader{Reader: u.text, left: maxLine}
		d := json.NewDecoder(bounded)
		element := jsonLine(u.program)
		fail := func(err error, format string, args ...any) {
			var syntax *json.SyntaxError
			if errors.As(err, &syntax) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = inFile("%s: %s", fmt.Sprintf(format, args...), strings.TrimPrefix(err.Error(), "json: "))
			} else if errors.Is(err, errLongRecord) {
				err = inFile("%s and is longer than %d bytes", fmt.Sprintf(format, args...), maxLine)
			}
			yield(nil, err)
		}
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if token != json.Delim('[') {
			yield(nil, inFile("is not a JSON array such as [1, 2, 3], nor NDJSON with one JSON value a line"))
			return
		}
		for i := 0; d.More(); i++ {
			bounded.left = maxLine
			var raw json.RawMessage
			if err := d.Decode(&raw); err != nil {
				fail(err, "element %d is not JSON", i)
				return
			}
			value, message := element(raw)
			var wrong error
			if message != "" {
				wrong = inFile("element %d %s", i, message)
			}
			if !yield(value, wrong) {
				return
			}
		}
		bounded.left = maxLine
		if _, err := d.Token(); err != nil {
			fail(err, "the array does not end")
			return
		}
		if token, err := d.Token(); !errors.Is(err, io.EOF) {
			if err == nil {
				err = inFile("goes on after the end of its array with %v", token)
			}
			fail(err, "goes on after the end of its array")
		}
	}
}

// readCSV reads one column, by its name or its number counted from 1. A file with
// one column needs neither. Each cell is a text.
func (u *upload) readCSV() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if !skipMark(u.text) {
			yield(nil, inFile(wrongEncoding))
			return
		}
		r := newCSVReader(u.text, u.format.separator)
		if u.format.preamble {
			_, _ = u.text.ReadSlice('\n') // it is within what was sniffed
			r.line++
		}
		header := u.form.CSVHeader != ""
		for {
			began := r.line
			var malformed *csvError
			switch err := r.read(); {
			case errors.Is(err, io.EOF):
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
			if u.column < 0 {
				if message := u.choose(columns(r), header); message != "" {
					yield(nil, inFile("%s", message))
					return
				}
				if header {
					continue
				}
			}
			var cell []byte
			line := r.lines[0]
			if u.column < r.fields() {
				cell, line = r.field(u.column), r.lines[u.column]
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

func columns(r *csvReader) []string {
	names := make([]string, r.fields())
	for i := range names {
		names[i] = string(r.field(i))
	}
	return names
}

// choose finds the column that is asked for in the first record. The message is
// empty if there is one.
func (u *upload) choose(record []string, header bool) (message string) {
	asked := strings.TrimSpace(u.form.CSVColumn)
	number, err := strconv.Atoi(asked)
	if header {
		u.columns = record
		for i, name := range record {
			if strings.TrimSpace(name) != asked || asked == "" {
				continue
			}
			if u.column >= 0 {
				u.column = -1
				return fmt.Sprintf("has several columns %q; choose one by its number", asked)
			}
			u.column = i
		}
		if u.column >= 0 {
			return ""
		}
	}
	switch {
	case asked == "" && len(record) == 1:
		number = 1
	case asked == "" && header:
		return fmt.Sprintf("has %d columns; choose one of %s", len(record), strings.Join(record, ", "))
	case asked == "":
		return fmt.Sprintf("has %d columns; choose one by its number", len(record))
	case err != nil && !header:
		return "has no column names in its first line, so the column must be a number from 1 on"
	case (number < 1 || number > len(record)) && header:
		return fmt.Sprintf("has no column %q; its columns are %s", asked, strings.Join(record, ", "))
	case number < 1 || number > len(record):
		return fmt.Sprintf("has no column %s; its first record has %d", asked, len(record))
	}
	u.column = number - 1
	return ""
}

// A recordReader bounds how much is read for one element.
type recordReader struct {
	*bufio.Reader
	left int // bytes
}

func (r *recordReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, errLongRecord
	}
	n, err := r.Reader.Read(p[:min(len(p), r.left)])
	r.left -= n
	return n, err
}
