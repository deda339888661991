package http

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/allcores/allcores/internal/jobs"
)

// A format is a way to write outcomes.
type format struct {
	mime                string
	begin, between, end string
	places              bool // the position gives the index, so every task needs a line
	// line appends an outcome; value is the output, or the error of a failure,
	// as JSON.
	line func(dst []byte, index int64, state jobs.TaskState, value []byte) []byte
}

var formats = map[string]format{
	"ndjson":  {mime: ndjson, line: ndjsonLine},
	"outputs": {mime: "application/json", begin: "[", between: ",", end: "]\n", places: true, line: outputLine},
	"csv":     {mime: "text/csv; charset=utf-8; header=present", begin: "index,state,output,error\r\n", line: csvLine},
}

// A resultWriter writes outcomes in a format, up to a limit.
type resultWriter struct {
	format format
	limit  int // bytes to write at most; 0 for any number
	write  func([]byte) error
	begun  bool
	wrote  int
	row    []byte
}

// errPastLimit ends a query that would write more than its limit.
var errPastLimit = errors.New("the outputs are larger than asked for")

// put writes one outcome. It returns errPastLimit instead of passing the limit.
func (w *resultWriter) put(index int64, state jobs.TaskState, value []byte) error {
	w.row = w.row[:0]
	if !w.begun {
		w.row = append(w.row, w.format.begin...)
		w.begun = true
	} else {
		w.row = append(w.row, w.format.between...)
	}
	w.row = w.format.line(w.row, index, state, value)
	w.wrote += len(w.row)
	if w.limit > 0 && w.wrote+len(w.format.end) > w.limit {
		return errPastLimit
	}
	return w.write(w.row)
}

func ndjsonLine(dst []byte, index int64, state jobs.TaskState, value []byte) []byte {
	dst = append(dst, `{"index":`...)
	dst = strconv.AppendInt(dst, index, 10)
	dst = append(dst, `,"state":"`...)
	dst = append(dst, state...)
	dst = append(dst, '"')
	switch state {
	case jobs.TaskSucceeded:
		dst = append(dst, `,"output":`...)
	case jobs.TaskFailed:
		dst = append(dst, `,"error":`...)
	default:
	}
	dst = jobs.AppendUnicode(dst, value)
	return append(dst, "}\n"...)
}

func outputLine(dst []byte, _ int64, state jobs.TaskState, value []byte) []byte {
	if state != jobs.TaskSucceeded {
		return append(dst, "null"...)
	}
	return jobs.AppendUnicode(dst, value)
}

// csvLine writes a text output as the text itself, as a spreadsheet or a data frame
// expects, and any other value as JSON, also a text that a lone surrogate keeps from
// being Unicode. The exact form is NDJSON.
func csvLine(dst []byte, index int64, state jobs.TaskState, value []byte) []byte {
	dst = strconv.AppendInt(dst, index, 10)
	dst = append(dst, ',')
	dst = append(dst, state...)
	dst = append(dst, ',')
	switch state {
	case jobs.TaskSucceeded:
		text := string(jobs.Unicode(value))
		if len(value) > 0 && value[0] == '"' && jobs.LoneSurrogate(value) < 0 {
			if decoded, err := jobs.DecodeText(value); err == nil {
				text = decoded
			}
		}
		dst = csvField(dst, text)
		dst = append(dst, ',')
	case jobs.TaskFailed:
		dst = append(dst, ',')
		dst = csvField(dst, errorText(value))
	default:
		dst = append(dst, ',')
	}
	return append(dst, "\r\n"...)
}

// csvField quotes text as RFC 4180 requires. (encoding/csv would turn line feeds in
// a field into CRLF.)
func csvField(dst []byte, text string) []byte {
	if !strings.ContainsAny(text, "\",\r\n") {
		return append(dst, text...)
	}
	dst = append(dst, '"')
	dst = append(dst, strings.ReplaceAll(text, `"`, `""`)...)
	return append(dst, '"')
}

// errorText returns a failure as text: its kind, type and message.
func errorText(value []byte) string {
	var e jobs.TaskError
	if err := json.Unmarshal(value, &e); err != nil {
		return string(bytes.TrimSpace(value))
	}
	parts := []string{string(e.Kind)}
	for _, part := range []string{e.Type, e.Message} {
		if part != "" && part != parts[len(parts)-1] {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}
