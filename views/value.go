package views

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"

	"github.com/allcores/allcores/internal/jobs"
)

// The Python client sends values that JSON cannot represent as documents
//
//	{"$allcores": "pickle", "repr": …, "size": BYTES, "data": BASE64}
//	{"$allcores": "blob", "repr": …, "size": BYTES, "sha256": …}
//
// and the inputs of its jobs as {"fn": "module:name", "args": […], "kwargs": {…}}, or with
// {"fn": …, "call": DOCUMENT} for a pickle of all arguments. Pages show the text
// that Python's repr gave. They never open a pickle.

// valueMark is the first member of an encoded value.
const valueMark = `"$allcores"`

// A shownValue is a JSON value as a page shows it.
type shownValue struct {
	Text    string // the value, with the repr of what is encoded in it
	Python  bool   // Text is Python rather than JSON
	Encoded bool   // Python pickled it
	Size    int64  // bytes of the pickle; 0 if unknown
	SHA256  string // of the blob that has the pickle, or empty
}

// showValue reads a JSON value, which may be cut at its end.
func showValue(value json.RawMessage) shownValue {
	s := valueScanner{rest: bytes.TrimSpace(value)}
	if !s.atMark() {
		if !bytes.Contains(value, []byte(valueMark)) {
			return shownValue{Text: string(value)}
		}
		s.value()
		return shownValue{Text: s.out.String(), Python: true}
	}
	d := s.document()
	return shownValue{Text: d.text(), Python: true, Encoded: true, Size: d.size, SHA256: d.sha256}
}

// line returns the beginning of a value on one line.
func (v shownValue) line(n int) string {
	text := strings.ToValidUTF8(v.Text, "")
	if v.Python {
		text = lineBreak.ReplaceAllLiteralString(text, " ")
	}
	return clip(text, n)
}

// lineBreak matches where repr breaks a line, with the indent after it.
var lineBreak = regexp.MustCompile(`\s*\n\s*`)

// rowSize returns the size that a list shows beside a value whose JSON has so many
// bytes: always that of a pickle, and that of large JSON; else 0.
func (v shownValue) rowSize(bytes int64) int64 {
	switch {
	case v.Size > 0:
		return v.Size
	case v.Encoded || bytes > largeValue:
		return bytes
	}
	return 0
}

// showInput is showValue for an input of a job. An input of the Python client is shown
// as a call.
func showInput(j *jobs.Job, value json.RawMessage) shownValue {
	if !fromClient(j) {
		return showValue(value)
	}
	s := valueScanner{rest: bytes.TrimSpace(value)}
	if call, ok := s.call(); ok {
		return call
	}
	return showValue(value)
}

// fromClient reports whether the Python client made the job: its program is a few
// lines that call the client.
func fromClient(j *jobs.Job) bool {
	return j.Program.Python != nil && strings.Contains(j.Program.Python.Source, "allcores._program(")
}

// A document is an encoded value.
type document struct {
	kind, repr, sha256 string
	size               int64
	index              int64
}

// text returns what stands for the value.
func (d document) text() string {
	switch {
	case d.kind == "same":
		return "<argument " + strconv.FormatInt(d.index+1, 10) + " again>"
	case d.repr == "":
		return "<pickled>"
	}
	return d.repr
}

// A valueScanner reads JSON whose end may be missing, and writes it as Python would.
type valueScanner struct {
	rest []byte
	cut  bool  // the end is missing, and out says so
	size int64 // bytes of the pickles in it
	out  strings.Builder
}

// atMark reports whether an encoded value follows.
func (s *valueScanner) atMark() bool {
	inside, object := bytes.CutPrefix(s.rest, []byte("{"))
	return object && bytes.HasPrefix(bytes.TrimLeft(inside, " \t\r\n"), []byte(valueMark))
}

// next consumes white space, and c if it follows.
func (s *valueScanner) next(c byte) bool {
	s.rest = bytes.TrimLeft(s.rest, " \t\r\n")
	if len(s.rest) == 0 || s.rest[0] != c {
		return false
	}
	s.rest = bytes.TrimLeft(s.rest[1:], " \t\r\n")
	return true
}

// value writes the next value.
func (s *valueScanner) value() {
	switch {
	case len(s.rest) == 0:
		s.out.WriteString("…")
		s.cut = true
	case s.atMark():
		d := s.document()
		s.size += d.size
		s.out.WriteString(d.text())
	case s.next('['):
		s.out.WriteByte('[')
		s.elements(']')
		s.out.WriteByte(']')
	case s.next('{'):
		s.out.WriteByte('{')
		s.members(func(key string) {
			s.out.WriteString(quoted(key) + ": ")
			s.value()
		})
		s.out.WriteByte('}')
	case s.rest[0] == '"':
		s.out.WriteString(quoted(s.text()))
	default:
		s.out.WriteString(pythonWord(s.word()))
	}
}

// elements writes the values up to the bracket that ends them.
func (s *valueScanner) elements(end byte) {
	for first := true; !s.next(end); first = false {
		before := len(s.rest)
		if before == 0 && s.cut {
			return
		}
		if !first {
			s.out.WriteString(", ")
		}
		s.value()
		if !s.next(',') && len(s.rest) == before {
			return
		}
	}
}

// members calls each with the names of an object's members. each must consume the
// value.
func (s *valueScanner) members(each func(key string)) {
	for first := true; !s.next('}'); first = false {
		if len(s.rest) == 0 || s.rest[0] != '"' {
			return // the end is missing
		}
		if !first {
			s.out.WriteString(", ")
		}
		key := s.text()
		s.next(':')
		each(key)
		s.next(',')
	}
}

// skip consumes the next value.
func (s *valueScanner) skip() {
	inner := valueScanner{rest: s.rest}
	inner.value()
	s.rest = inner.rest
}

// document consumes an encoded value.
func (s *valueScanner) document() (d document) {
	inner := valueScanner{rest: s.rest}
	inner.next('{')
	inner.members(func(key string) {
		switch {
		case len(inner.rest) == 0:
		case key == "size" || key == "index":
			n, _ := strconv.ParseInt(inner.word(), 10, 64)
			if key == "size" {
				d.size = n
			} else {
				d.index = n
			}
		case inner.rest[0] != '"':
			inner.skip()
		case key == "$allcores":
			d.kind = inner.text()
		case key == "repr":
			d.repr = inner.text()
		case key == "sha256":
			d.sha256 = inner.text()
		default:
			inner.text()
		}
	})
	s.rest = inner.rest
	return d
}

// call reads an input of the client. ok is false for anything else.
func (s *valueScanner) call() (call shownValue, ok bool) {
	if !s.next('{') || !bytes.HasPrefix(s.rest, []byte(`"fn"`)) {
		return call, false
	}
	var name, pickled string
	inner := valueScanner{} // the arguments
	s.members(func(key string) {
		switch {
		case key == "fn":
			name = s.text()
		case key == "call" && s.atMark():
			d := s.document()
			pickled = d.text()
			call.Encoded, call.Size, call.SHA256 = true, d.size, d.sha256
		case key == "args" && s.next('['):
			inner.rest = s.rest
			inner.elements(']')
			s.rest = inner.rest
		case key == "kwargs" && s.next('{'):
			inner.rest = s.rest
			inner.keywords()
			s.rest = inner.rest
		default:
			s.skip()
		}
	})
	arguments := inner.out.String()
	if inner.size > 0 {
		call.Encoded, call.Size = true, inner.size
	}
	if pickled != "" {
		arguments = pickled
		if tuple, found := strings.CutPrefix(pickled, "("); found && strings.HasSuffix(tuple, ")") {
			arguments = strings.TrimSuffix(strings.TrimSuffix(tuple, ")"), ",")
		}
	}
	call.Text, call.Python = functionName(name)+"("+arguments+")", true
	return call, true
}

// keywords writes the members of an object as arguments by name.
func (s *valueScanner) keywords() {
	separator := ""
	if s.out.Len() > 0 {
		separator = ", "
	}
	s.members(func(key string) {
		s.out.WriteString(separator + key + "=")
		separator = "" // members writes the others
		s.value()
	})
}

// functionName returns the name that the program's author would write.
func functionName(name string) string {
	module, path, found := strings.Cut(name, ":")
	switch {
	case !found:
		return name
	case module == "__main__" || module == "__mp_main__":
		return path
	}
	return module + "." + path
}

// text consumes a string, whose end may be missing.
func (s *valueScanner) text() string {
	end := 1
	for end < len(s.rest) && s.rest[end] != '"' {
		if s.rest[end] == '\\' {
			end++
		}
		end++
	}
	var text string
	if end < len(s.rest) {
		json.Unmarshal(s.rest[:end+1], &text)
		s.rest = bytes.TrimLeft(s.rest[end+1:], " \t\r\n")
		return text
	}
	begun := s.rest
	s.rest, s.cut = nil, true
	// The last escape may be cut too.
	for cut := len(begun); cut > 0 && cut > len(begun)-12; cut-- {
		if json.Unmarshal(append(bytes.Clone(begun[:cut]), '"'), &text) == nil {
			break
		}
	}
	return text + "…"
}

// word consumes a number or a literal.
func (s *valueScanner) word() string {
	end := bytes.IndexAny(s.rest, ",]} \t\r\n")
	if end < 0 {
		end = len(s.rest)
	}
	word := string(s.rest[:end])
	s.rest = bytes.TrimLeft(s.rest[end:], " \t\r\n")
	return word
}

// pythonWord returns Python's name of a literal of JSON.
func pythonWord(word string) string {
	switch word {
	case "true":
		return "True"
	case "false":
		return "False"
	case "null":
		return "None"
	}
	return word
}

// quoted returns text in quotes, with escapes for what would break a line.
func quoted(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		return strconv.Quote(text)
	}
	for _, r := range []struct{ from, to string }{{`\u003c`, "<"}, {`\u003e`, ">"}, {`\u0026`, "&"}} {
		b = bytes.ReplaceAll(b, []byte(r.from), []byte(r.to))
	}
	return string(b)
}
