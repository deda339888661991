package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/allcores/allcores/internal/jobs"
)

// MaxOutput is how many bytes of a command's standard output are kept. What is
// beyond is read and dropped, so that the command does not stall.
const MaxOutput = 1 << 20

// Bounds of what is kept of a command's standard error.
const (
	maxLine    = 64 << 10
	maxTaskLog = 256 << 10
)

// value is what a command printed as one line of JSON, for a program that
// wants text, lines or a JSON value. The error says why it cannot be.
func value(kind string, printed []byte, cut bool) ([]byte, *jobs.TaskError) {
	switch kind {
	case jobs.OutputJSON:
		if cut {
			return nil, &jobs.TaskError{
				Kind: jobs.KindException, Type: "output too large",
				Message: fmt.Sprintf("the output is larger than %d bytes, so that it cannot be read as JSON", MaxOutput),
			}
		}
		var b bytes.Buffer
		if err := json.Compact(&b, printed); err != nil {
			return nil, &jobs.TaskError{
				Kind: jobs.KindException, Type: "not JSON",
				Message: "the output is not one JSON value: " + strings.TrimPrefix(err.Error(), "json: "),
				Output:  text(printed),
			}
		}
		if !utf8.Valid(b.Bytes()) {
			return bytes.ToValidUTF8(b.Bytes(), []byte("\uFFFD")), nil
		}
		return b.Bytes(), nil
	case jobs.OutputLines:
		out := []byte{'['}
		for line := range jobs.SplitLines(text(printed)) {
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = appendString(out, line)
		}
		return append(out, ']'), nil
	}
	return appendString(nil, strings.TrimSuffix(text(printed), "\n")), nil
}

// text is bytes as UTF-8.
func text(b []byte) string { return strings.ToValidUTF8(string(b), "\uFFFD") }

// appendString appends s as a JSON string.
func appendString(dst []byte, s string) []byte {
	plain := true
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			plain = false
			break
		}
	}
	if plain {
		dst = append(dst, '"')
		dst = append(dst, s...)
		return append(dst, '"')
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		panic(fmt.Sprintf("a string is always JSON: %v", err))
	}
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

// A lineReader turns what comes from a pipe into lines.
type lineReader struct {
	line func(string)
	held []byte
	kept int // bytes of the task so far
	cut  bool
}

// add takes bytes as they come.
func (r *lineReader) add(b []byte) {
	if r.kept >= maxTaskLog {
		return
	}
	if over := r.kept + len(b) - maxTaskLog; over >= 0 {
		b = append(b[:len(b)-over:len(b)-over], fmt.Sprintf("\n[cut: a task keeps %d KiB of stderr]\n", maxTaskLog>>10)...)
		r.kept = maxTaskLog
	}
	r.kept += len(b)
	for len(b) > 0 {
		end := bytes.IndexByte(b, '\n')
		part := b
		if end >= 0 {
			part, b = b[:end], b[end+1:]
		} else {
			b = nil
		}
		if room := maxLine - len(r.held); len(part) > room {
			part, r.cut = part[:room], true
		}
		r.held = append(r.held, part...)
		if end >= 0 {
			r.emit()
		}
	}
}

// end passes on the last line when it had no end.
func (r *lineReader) end() {
	if len(r.held) > 0 {
		r.emit()
	}
}

func (r *lineReader) emit() {
	s := strings.TrimSuffix(text(r.held), "\r")
	if r.cut {
		s += " [cut]"
	}
	r.line(s)
	r.held, r.cut = r.held[:0], false
}
