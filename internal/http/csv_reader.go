package http

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// A csvReader reads records of RFC 4180, whose cells may have another separator
// than commas, and keeps what stands in quotes as it
// is. (encoding/csv makes a line feed of each CRLF, in quotes, too.) Records end
// in LF or CRLF. Empty lines are skipped.
type csvReader struct {
	file      *bufio.Reader
	separator byte

	line  int // of the next byte, from 1
	left  int // bytes that the record may still have
	text  []byte
	ends  []int // of the fields in text
	lines []int // on which the fields begin
}

var errLongRecord = errors.New("record too long")

// A csvError is a place where a file is not CSV.
type csvError struct {
	line    int
	message string
}

func (e *csvError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.message) }

func newCSVReader(file *bufio.Reader, separator byte) *csvReader {
	return &csvReader{file: file, separator: separator, line: 1}
}

// fields returns the number of fields of the record.
func (r *csvReader) fields() int { return len(r.ends) }

// field returns a field of the record. It is valid until the next read.
func (r *csvReader) field(i int) []byte {
	from := 0
	if i > 0 {
		from = r.ends[i-1]
	}
	return r.text[from:r.ends[i]]
}

// read reads the next record. The error is io.EOF after the last one, a
// *csvError, errLongRecord for one of more than maxLine bytes, which a quote
// that is never closed would make of all the rest, or the file's.
func (r *csvReader) read() error {
	for {
		r.text, r.ends, r.lines, r.left = r.text[:0], r.ends[:0], r.lines[:0], maxLine
		begin, err := r.file.Peek(1)
		if err != nil {
			return err
		}
		quoted := begin[0] == '"'
		for more := true; more; {
			r.lines = append(r.lines, r.line)
			if more, err = r.readField(); err != nil {
				return err
			}
			r.ends = append(r.ends, len(r.text))
		}
		if len(r.ends) > 1 || len(r.text) > 0 || quoted {
			return nil
		}
	}
}

// next returns the next byte; ok is false at the end of the file.
func (r *csvReader) next() (c byte, ok bool, err error) {
	if r.left--; r.left < 0 {
		return 0, false, errLongRecord
	}
	c, err = r.file.ReadByte()
	if errors.Is(err, io.EOF) {
		return 0, false, nil
	}
	if c == '\n' {
		r.line++
	}
	return c, err == nil, err
}

// readField reads a field and its separator. It reports whether another field
// follows in the record.
func (r *csvReader) readField() (more bool, err error) {
	from := len(r.text)
	for {
		line := r.line
		c, ok, err := r.next()
		switch {
		case err != nil:
			return false, err
		case !ok:
			return false, nil
		case c == r.separator:
			return true, nil
		case c == '\n':
			r.text = r.text[:from+len(bytes.TrimSuffix(r.text[from:], []byte{'\r'}))]
			return false, nil
		case c == '"' && len(r.text) == from:
			return r.readQuoted(line)
		case c == '"':
			return false, &csvError{line, `a quote stands within a cell that does not begin with one`}
		}
		r.text = append(r.text, c)
	}
}

// readQuoted reads the rest of a field that began with a quote on a line.
func (r *csvReader) readQuoted(line int) (more bool, err error) {
	for {
		c, ok, err := r.next()
		switch {
		case err != nil:
			return false, err
		case !ok:
			return false, &csvError{line, "a quote is not closed"}
		case c != '"':
			r.text = append(r.text, c)
			continue
		}
		closed := r.line
		c, ok, err = r.next()
		if err == nil && ok && c == '\r' {
			if c, ok, err = r.next(); err == nil && c != '\n' {
				return false, &csvError{closed, "something follows a cell's closing quote"}
			}
		}
		switch {
		case err != nil:
			return false, err
		case !ok || c == '\n':
			return false, nil
		case c == r.separator:
			return true, nil
		case c != '"':
			return false, &csvError{closed, "something follows a cell's closing quote"}
		}
		r.text = append(r.text, '"')
	}
}
