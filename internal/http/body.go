package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"github.com/allcores/allcores/internal/jobs"
)

// maxDepth bounds nested arrays and objects.
const maxDepth = 500

// readJSON reads the whole body of a request that must be JSON.
func readJSON(r *http.Request) ([]byte, error) {
	if header := r.Header.Get("Content-Type"); header != "" {
		kind, _, err := mime.ParseMediaType(header)
		if err != nil || kind != "application/json" && !strings.HasSuffix(kind, "+json") {
			return nil, fmt.Errorf("%w: %q", errMediaType, header)
		}
	}
	var b bytes.Buffer
	if r.ContentLength > 0 {
		b.Grow(int(min(r.ContentLength, 1<<20)) + bytes.MinRead)
	}
	if _, err := b.ReadFrom(r.Body); err != nil {
		return nil, err
	}
	return bytes.TrimPrefix(b.Bytes(), []byte(jobs.ByteOrderMark)), nil
}

const (
	specSchema = "#/components/schemas/Spec"
	opaque     = "body.inputs.items[]" // what nobody looks into
)

// parseSpec reads a submission. What is wrong with its form is returned as
// violations, together with as much of the submission as could be read, so that
// what is wrong with that can be listed too.
func parseSpec(schemas huma.Registry, text []byte) (jobs.Spec, jobs.Invalid) {
	var spec jobs.Spec
	if v := malformed(text); v != nil {
		return spec, jobs.Invalid{*v}
	}
	tree := &treeReader{Decoder: json.NewDecoder(bytes.NewReader(text))}
	tree.UseNumber()
	root := tree.value("body")
	result := &huma.ValidateResult{}
	path := huma.NewPathBuffer(nil, 0)
	path.Push("body")
	huma.Validate(schemas, &huma.Schema{Ref: specSchema}, path, huma.ModeWriteToServer, root, result)
	found := fromSchema(result.Errors)
	for _, v := range tree.found {
		if !slices.ContainsFunc(found, func(f jobs.Violation) bool { return f.Location == v.Location }) {
			found = append(found, v)
		}
	}

	var mismatch *json.UnmarshalTypeError
	if err := json.Unmarshal(text, &spec); errors.As(err, &mismatch) && len(found) == 0 {
		found = append(found, jobs.Violation{Location: strings.TrimSuffix("body."+mismatch.Field, "."), Message: "must not be " + mismatch.Value})
	} else if err != nil && len(found) == 0 {
		found = append(found, jobs.Violation{Location: "body", Message: err.Error()})
	}
	return spec, found
}

// malformed says why text is not JSON that can be read at all.
func malformed(text []byte) *jobs.Violation {
	wrong := func(format string, args ...any) *jobs.Violation {
		return &jobs.Violation{Location: "body", Message: fmt.Sprintf(format, args...)}
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return wrong("must not be empty")
	}
	for at, rest := 0, text; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		if r == utf8.RuneError && size == 1 {
			return wrong("is not UTF-8 (%s)", position(text, at))
		}
		at, rest = at+size, rest[size:]
	}
	if at := tooDeep(text); at >= 0 {
		return wrong("is nested more than %d levels deep (%s)", maxDepth, position(text, at))
	}
	var any json.RawMessage
	var syntax *json.SyntaxError
	if err := json.Unmarshal(text, &any); errors.As(err, &syntax) {
		return wrong("is not JSON: %s (%s)", syntax.Error(), position(text, int(syntax.Offset)-1))
	} else if err != nil {
		return wrong("is not JSON: %s", err)
	}
	return nil
}

// position tells a place in text as an editor does.
func position(text []byte, at int) string {
	before := text[:min(max(at, 0), len(text))]
	line := bytes.Count(before, []byte{'\n'}) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return fmt.Sprintf("line %d, column %d", line, column)
}

// tooDeep is where text is nested too deep, or -1. Reading such text costs
// stack on our side and may end the Python process that gets it.
func tooDeep(text []byte) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case '[', '{':
			if depth++; depth > maxDepth {
				return i
			}
		case ']', '}':
			depth--
		}
	}
	return -1
}

// A treeReader reads JSON that is known to be well-formed into the tree that
// huma validates, and finds names that stand twice in an object, and whole
// numbers that are none of ours because they take more than 64 bits.
type treeReader struct {
	*json.Decoder
	found jobs.Invalid
}

func (t *treeReader) token() json.Token {
	token, err := t.Token()
	if err != nil {
		panic(err) // text was found to be well-formed
	}
	return token
}

func (t *treeReader) value(path string) any {
	switch token := t.token().(type) {
	case json.Delim:
		if token == '[' {
			return t.array(path)
		}
		return t.object(path)
	case json.Number:
		if _, err := strconv.ParseInt(string(token), 10, 64); errors.Is(err, strconv.ErrRange) {
			t.found = append(t.found, jobs.Violation{Location: path, Message: "must fit in 64 bits"})
		}
		return number(string(token))
	default:
		return token
	}
}

func (t *treeReader) array(path string) []any {
	items := []any{}
	for t.More() {
		if path+"[]" == opaque {
			var skipped json.RawMessage
			if err := t.Decode(&skipped); err != nil {
				panic(err)
			}
			items = append(items, nil)
			continue
		}
		items = append(items, t.value(path+"["+strconv.Itoa(len(items))+"]"))
	}
	t.token()
	return items
}

func (t *treeReader) object(path string) map[string]any {
	object := map[string]any{}
	for t.More() {
		name := t.token().(string)
		if _, twice := object[name]; twice {
			t.found = append(t.found, jobs.Violation{Location: path + "." + name, Message: "stands twice in its object"})
		}
		object[name] = t.value(path + "." + name)
	}
	t.token()
	return object
}

// number is a number as huma validates it. All our numbers are whole, and are
// read as such: what has a point or an exponent is no integer.
func number(literal string) float64 {
	if strings.ContainsAny(literal, ".eE") {
		return math.NaN()
	}
	n, err := strconv.ParseFloat(literal, 64)
	if err != nil {
		return math.NaN()
	}
	return n
}

// inBody gives the violations of a submission their place in the request.
func inBody(found jobs.Invalid) jobs.Invalid {
	for i := range found {
		found[i].Location = "body." + found[i].Location
	}
	return found
}

// ofType are huma's messages about values that could not be read at all.
var ofType = []string{
	validation.MsgExpectedString, validation.MsgExpectedInteger, validation.MsgExpectedNumber,
	validation.MsgExpectedBoolean, validation.MsgExpectedArray, validation.MsgExpectedObject, "is required",
}

// merge joins what is wrong with a submission's form and with its content. Of
// what both have to say the content's word is clearer, unless it only follows
// from a value that could not be read.
func merge(form, content jobs.Invalid) jobs.Invalid {
	out := slices.Clone(form)
	for _, v := range content {
		follows := false
		for i, f := range form {
			switch {
			case f.Location == v.Location:
				follows = true
				if !slices.Contains(ofType, f.Message) && !slices.Contains(choices, v.Location) {
					out[i].Message = v.Message
				}
			case slices.Contains(choices, v.Location) && strings.HasPrefix(f.Location, v.Location+"."):
				follows = true
			}
		}
		if !follows {
			out = append(out, v)
		}
	}
	return out
}

// choices are the objects of which exactly one field must be there: that none
// is follows from one that could not be read.
var choices = []string{"body.program", "body.inputs"}

// unreadable reports whether nothing of a submission could be read.
func unreadable(found jobs.Invalid) bool {
	return slices.ContainsFunc(found, func(v jobs.Violation) bool { return v.Location == "body" })
}
