package http

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"path"
	"strings"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/views"
)

// sniffed is how many bytes at the start of a file decide its format.
const sniffed = 64 << 10

// A fileFormat is how the inputs of a file are written.
type fileFormat struct {
	kind      string // views.FormatLines, FormatNDJSON, FormatJSON or FormatCSV
	separator byte   // of the cells of a CSV file
	preamble  bool   // the first line of a CSV file is Excel's "sep=;"
}

// inferFormat reports how a file is written. asked is the format chosen in the
// form; views.FormatAuto and "" leave it to the file's name and to head, the
// first bytes of its text, at most [sniffed]. The separator of a CSV file always
// follows from head.
func inferFormat(asked, name string, head []byte) fileFormat {
	head = bytes.TrimPrefix(head, []byte(jobs.ByteOrderMark))
	f := fileFormat{kind: asked}
	if asked == "" || asked == views.FormatAuto {
		f.kind = inferKind(name, head)
	}
	if f.kind == views.FormatCSV {
		f.separator, _ = inferSeparator(head)
		if separator, ok := excelSeparator(head); ok {
			f.separator, f.preamble = separator, true
		}
	}
	return f
}

// inferKind follows a name that promises a format, and the content where the
// name promises none.
func inferKind(name string, head []byte) string {
	switch strings.ToLower(path.Ext(name)) {
	case ".csv", ".tsv", ".tab", ".psv":
		return views.FormatCSV
	case ".ndjson", ".jsonl", ".ldjson", ".jsonlines":
		if kind := jsonKind(head, true); kind == views.FormatJSON && bytes.ContainsRune(bytes.TrimSpace(head), '\n') {
			return kind
		}
		return views.FormatNDJSON
	case ".json":
		if kind := jsonKind(head, true); kind != "" {
			return kind
		}
		return views.FormatJSON
	case ".txt", ".text", ".log", ".lst", ".list":
		if kind := jsonKind(head, false); kind != "" {
			return kind
		}
		return views.FormatLines
	}
	if kind := jsonKind(head, false); kind != "" {
		return kind
	}
	if _, consistent := inferSeparator(head); consistent {
		return views.FormatCSV
	}
	return views.FormatLines
}

// jsonKind reports whether head begins a JSON array or lines of JSON; it returns ""
// for neither. Without scalars only lines of arrays and objects count, as any line
// of digits is JSON.
func jsonKind(head []byte, scalars bool) string {
	text := bytes.TrimLeft(head, " \t\r\n")
	if len(text) == 0 || !scalars && text[0] != '[' && text[0] != '{' {
		return ""
	}
	line, rest, more := bytes.Cut(text, []byte{'\n'})
	if json.Valid(line) {
		if text[0] == '[' && len(bytes.TrimSpace(rest)) == 0 {
			return views.FormatJSON
		}
		return views.FormatNDJSON
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	if text[0] != '[' {
		var value json.RawMessage
		if err := decoder.Decode(&value); !more && errors.Is(err, io.ErrUnexpectedEOF) && len(head) >= sniffed {
			return views.FormatNDJSON // one line longer than what is sniffed
		}
		return ""
	}
	if _, err := decoder.Token(); err != nil {
		return ""
	}
	for decoder.More() {
		var element json.RawMessage
		if err := decoder.Decode(&element); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
				break
			}
			return ""
		}
	}
	return views.FormatJSON
}

// separators may separate cells, the likeliest first.
var separators = []byte{',', ';', '\t', '|'}

// separatorRecords is how many records decide the separator.
const separatorRecords = 20

// inferSeparator finds the separator by which the first records have the same
// number of cells, of several the one that makes the most. Where none is
// consistent it is the one that occurs most often in the first record, or a comma.
func inferSeparator(head []byte) (separator byte, consistent bool) {
	if end := bytes.LastIndexByte(head, '\n'); len(head) >= sniffed && end > 0 {
		head = head[:end+1] // the last record may be cut
	}
	best, most := 0, 1
	separator = ','
	fallback := byte(',')
	for _, candidate := range separators {
		first, records, same := cellsBy(head, candidate)
		if same && records > 1 && first > best && first > 1 {
			separator, best, consistent = candidate, first, true
		}
		if first > most {
			fallback, most = candidate, first
		}
	}
	if !consistent {
		separator = fallback
	}
	return separator, consistent
}

// cellsBy counts the cells of the first record and the records looked at, and
// reports whether all have as many cells.
func cellsBy(head []byte, separator byte) (first, records int, same bool) {
	r := newCSVReader(bufio.NewReader(bytes.NewReader(head)), separator)
	same = true
	for records < separatorRecords && r.read() == nil {
		if records == 0 {
			first = r.fields()
		}
		same = same && r.fields() == first
		records++
	}
	return first, records, same
}

// excelSeparator reads the line by which Excel names the separator.
func excelSeparator(head []byte) (separator byte, ok bool) {
	line, _, _ := bytes.Cut(head, []byte{'\n'})
	text, found := strings.CutPrefix(strings.Trim(string(line), "\r\" "), "sep=")
	if !found {
		return 0, false
	}
	for _, candidate := range separators {
		if text == string(rune(candidate)) {
			return candidate, true
		}
	}
	return 0, false
}

// separatorWord names a separator in a sentence.
func separatorWord(separator byte) string {
	switch separator {
	case ',':
		return "commas"
	case ';':
		return "semicolons"
	case '\t':
		return "tabs"
	case '|':
		return "vertical bars"
	}
	return string(rune(separator))
}
