package http

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
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

const specSchema = "#/components/schemas/Spec"

// parseSpec reads a submission. found lists the violations of its form; spec is as
// much of the submission as could be read, so that it can be checked too. The error
// is ctx's.
func parseSpec(ctx context.Context, schemas huma.Registry, text []byte) (spec jobs.Spec, found jobs.Invalid, err error) {
	if v := malformed(text); v != nil {
		return spec, jobs.Invalid{*v}, nil
	}
	schema := &huma.Schema{Ref: specSchema}
	tree := newTreeReader(ctx, schemas, text)
	root, err := tree.read(schema)
	if err != nil {
		return spec, nil, err
	}
	result := &huma.ValidateResult{}
	path := huma.NewPathBuffer(nil, 0)
	path.Push("body")
	huma.Validate(schemas, schema, path, huma.ModeWriteToServer, root, result)
	found = fromSchema(result.Errors)
	for _, v := range tree.found {
		if v.More > 0 || !found.Has(v.Location) {
			found.Add(v)
		}
	}

	var mismatch *json.UnmarshalTypeError
	if err := json.Unmarshal(tree.reduced(), &spec); errors.As(err, &mismatch) && len(found) == 0 {
		found.Add(jobs.Violation{Location: strings.TrimSuffix("body."+mismatch.Field, "."), Message: "must not be " + mismatch.Value})
	} else if err != nil && len(found) == 0 {
		found.Add(jobs.Violation{Location: "body", Message: err.Error()})
	}
	return spec, found, ctx.Err()
}

// malformed returns a violation if text is not JSON that can be read.
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

// position returns a place in text as line and column.
func position(text []byte, at int) string {
	before := text[:min(max(at, 0), len(text))]
	line := bytes.Count(before, []byte{'\n'}) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return fmt.Sprintf("line %d, column %d", line, column)
}

// tooDeep returns where text is nested too deep, or -1. Reading such text needs much
// stack and may end the Python process that gets it.
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

// inBody moves the violations of a submission below "body".
func inBody(found jobs.Invalid) jobs.Invalid {
	for i := range found {
		if found[i].More == 0 {
			found[i].Location = "body." + found[i].Location
		}
	}
	return found
}

// ofType are huma's messages about values that could not be read.
var ofType = []string{
	validation.MsgExpectedString, validation.MsgExpectedInteger, validation.MsgExpectedNumber,
	validation.MsgExpectedBoolean, validation.MsgExpectedArray, validation.MsgExpectedObject, "is required",
}

// merge joins the violations of a submission's form and of its content. Where both
// have one for a field, that of the content is clearer, unless it only follows from
// a value that could not be read.
func merge(form, content jobs.Invalid) jobs.Invalid {
	out := slices.Clone(form)
	for _, v := range content {
		follows := false
		for i, f := range form {
			switch {
			case f.Location == v.Location && f.Location != "":
				follows = true
				if !slices.Contains(ofType, f.Message) && !slices.Contains(choices, v.Location) {
					out[i].Message = v.Message
				}
			case slices.Contains(choices, v.Location) && strings.HasPrefix(f.Location, v.Location+"."):
				follows = true
			}
		}
		if !follows {
			out.Add(v)
		}
	}
	return out
}

// choices are the objects that need exactly one field. That a field is missing may
// follow from one that could not be read.
var choices = []string{"body.program", "body.inputs"}

// unreadable reports whether no part of a submission could be read.
func unreadable(found jobs.Invalid) bool {
	return slices.ContainsFunc(found, func(v jobs.Violation) bool { return v.Location == "body" })
}
