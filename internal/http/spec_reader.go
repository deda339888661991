package http

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/allcores/allcores/internal/jobs"
)

// opaque is the array whose elements are not checked.
const opaque = "body.inputs.items"

// maxMembers bounds an object of any names, which is an environment, in bytes of
// its names and values.
const maxMembers = jobs.MaxEnvBytes

// A treeReader reads well-formed JSON into the tree that huma validates, as far as
// a schema describes it. It skips unknown fields, values nested where the schema has
// none, and elements past an array's limit, so that a hostile body costs one pass
// over its bytes. It reports these, repeated names in an object, lone surrogates,
// and whole numbers that need more than 64 bits.
type treeReader struct {
	//lint:ignore containedctx the reader lives as long as one request
	ctx     context.Context
	schemas huma.Registry
	text    []byte
	at      int
	path    []string // of the value that is read, as it stands in a location
	found   jobs.Invalid
	cuts    []span // parts past a limit
	steps   int
	err     error // the context's
}

// A span is a part of the text.
type span struct{ from, to int }

func newTreeReader(ctx context.Context, schemas huma.Registry, text []byte) *treeReader {
	return &treeReader{ctx: ctx, schemas: schemas, text: text}
}

// read reads the whole text.
func (t *treeReader) read(s *huma.Schema) (any, error) {
	t.path = append(t.path, "body")
	root := t.value(s)
	return root, t.err
}

// reduced returns the text without the parts past a limit.
func (t *treeReader) reduced() []byte {
	if len(t.cuts) == 0 {
		return t.text
	}
	var b bytes.Buffer
	at := 0
	for _, cut := range t.cuts {
		b.Write(t.text[at:cut.from])
		at = cut.to
	}
	b.Write(t.text[at:])
	return b.Bytes()
}

// add records a violation of the value that is read, or of its member.
func (t *treeReader) add(member, format string, args ...any) {
	if t.found.Full() {
		t.found.Add(jobs.Violation{})
		return
	}
	location := strings.Join(t.path, "") + member
	t.found.Add(jobs.Violation{Location: location, Message: fmt.Sprintf(format, args...)})
}

// stopped reports whether the request has ended. It asks only now and then.
func (t *treeReader) stopped() bool {
	if t.steps++; t.steps%1024 == 0 && t.err == nil {
		t.err = t.ctx.Err()
	}
	return t.err != nil
}

// next returns the next byte that is no space.
func (t *treeReader) next() byte {
	for {
		switch c := t.text[t.at]; c {
		case ' ', '\t', '\n', '\r':
			t.at++
		default:
			return c
		}
	}
}

// raw returns the text of the next scalar.
func (t *treeReader) raw() []byte {
	from := t.at
	if t.text[t.at] == '"' {
		t.at = endOfString(t.text, t.at)
		return t.text[from:t.at]
	}
	for t.at < len(t.text) && !strings.ContainsRune(" \t\n\r,]}:", rune(t.text[t.at])) {
		t.at++
	}
	return t.text[from:t.at]
}

// endOfString returns the index after the string that begins at from.
func endOfString(text []byte, from int) int {
	for i := from + 1; ; i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

// skip skips the next value.
func (t *treeReader) skip() {
	if c := t.next(); c != '[' && c != '{' {
		t.raw()
		return
	}
	for depth := 0; ; {
		switch t.text[t.at] {
		case '"':
			t.at = endOfString(t.text, t.at)
			continue
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		}
		if t.at++; depth == 0 {
			return
		}
	}
}

func (t *treeReader) value(s *huma.Schema) any {
	for s.Ref != "" {
		s = t.schemas.SchemaFromRef(s.Ref)
	}
	switch c := t.next(); {
	case c == '[' && s.Type == huma.TypeArray:
		return t.array(s)
	case c == '{' && s.Type == huma.TypeObject:
		return t.object(s)
	case c == '[':
		t.skip()
		return []any{}
	case c == '{':
		t.skip()
		return map[string]any{}
	}
	switch raw := t.raw(); raw[0] {
	case '"':
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			panic(err) // text was found to be well-formed
		}
		if jobs.LoneSurrogate(raw) >= 0 { // the decoder puts U+FFFD in its place
			t.add("", `must be Unicode text; it has a lone surrogate (\ud800 to \udfff)`)
		}
		return text
	case 't', 'f':
		return raw[0] == 't'
	case 'n':
		return nil
	default:
		if _, err := strconv.ParseInt(string(raw), 10, 64); errors.Is(err, strconv.ErrRange) {
			t.add("", "must fit in 64 bits")
		}
		return number(string(raw))
	}
}

func (t *treeReader) array(s *huma.Schema) []any {
	most := math.MaxInt
	if s.MaxItems != nil {
		most = *s.MaxItems
	}
	skipped := strings.Join(t.path, "") == opaque
	items := []any{}
	n, last := 0, 0
	t.at++
	for !t.stopped() {
		switch t.next() {
		case ']':
			if n > most {
				t.cuts = append(t.cuts, span{last, t.at})
				t.tooMany(most, n)
			}
			t.at++
			return items
		case ',':
			t.at++
			continue
		}
		switch n++; {
		case n > most:
			t.skip()
			continue
		case skipped:
			t.skip()
			items = append(items, nil)
		default:
			t.path = append(t.path, "["+strconv.Itoa(n-1)+"]")
			items = append(items, t.value(s.Items))
			t.path = t.path[:len(t.path)-1]
		}
		last = t.at
	}
	return items
}

// tooMany records that an array has more elements than most.
func (t *treeReader) tooMany(most, n int) {
	if strings.Join(t.path, "") == opaque {
		t.add("", "at most %d inline, and it has %d; send more as lines, a range, or to an open job", most, n)
		return
	}
	t.add("", "at most %d elements; it has %d", most, n)
}

func (t *treeReader) object(s *huma.Schema) map[string]any {
	object := map[string]any{}
	any, _ := s.AdditionalProperties.(*huma.Schema)
	size, last := 0, 0 // least size of all members, and the end of those that are kept
	t.at++
	for !t.stopped() {
		switch t.next() {
		case '}':
			if size > maxMembers {
				t.cuts = append(t.cuts, span{last, t.at})
				t.add("", "at most %d bytes together", maxMembers)
			}
			t.at++
			return object
		case ',':
			t.at++
			continue
		}
		var name string
		raw := t.raw()
		if err := json.Unmarshal(raw, &name); err != nil {
			panic(err) // text was found to be well-formed
		}
		t.next()
		t.at++ // the colon
		field := s.Properties[name]
		if field == nil {
			field = any
		}
		if field == nil {
			t.add("."+name, "unknown field")
			t.skip()
			continue
		}
		if any != nil {
			size += len(name)
		}
		if size > maxMembers {
			t.skip()
			continue
		}
		if _, twice := object[name]; twice {
			t.add("."+name, "stands twice in its object")
		}
		t.path = append(t.path, "."+name)
		from := t.at
		object[name] = t.value(field)
		t.path = t.path[:len(t.path)-1]
		if last = t.at; any != nil {
			size += (last - from) / len(`\u0000`) // a value is no shorter
		}
	}
	return object
}

// number returns a number as huma validates it. All numbers of a submission are
// whole: a literal with a point or an exponent is no integer.
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
