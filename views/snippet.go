package views

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/allcores/allcores/internal/jobs"
)

// wireSpec is a submission as people write it: without what it leaves out.
type wireSpec struct {
	Name     string       `json:"name,omitempty"`
	Program  jobs.Program `json:"program"`
	Inputs   wireInputs   `json:"inputs"`
	Queue    string       `json:"queue,omitempty"`
	Priority int          `json:"priority,omitempty"`
	Policy   *wirePolicy  `json:"policy,omitempty"`
	Tags     []string     `json:"tags,omitempty"`
}

type wireInputs struct {
	Items []json.RawMessage `json:"items,omitempty"`
	Range *jobs.Range       `json:"range,omitempty"`
	Lines *string           `json:"lines,omitempty"`
	Open  bool              `json:"open,omitempty"`
}

type wirePolicy struct {
	Processes       *int               `json:"processes,omitempty"`
	Threads         *int               `json:"threads,omitempty"`
	CoresPerProcess *int               `json:"cores_per_process,omitempty"`
	ChunkSize       *int               `json:"chunk_size,omitempty"`
	Timeout         *jobs.Duration     `json:"timeout,omitempty"`
	MemoryLimit     *jobs.Size         `json:"memory_limit,omitempty"`
	MaxAttempts     *int               `json:"max_attempts,omitempty"`
	RetryBackoff    *jobs.Duration     `json:"retry_backoff,omitempty"`
	MaxFailures     *jobs.FailureLimit `json:"max_failures,omitempty"`
}

// Inputs beyond these are left out of what is shown.
const (
	shownItems = 100
	shownText  = 4096
)

// body is s as the JSON of a request.
func body(s jobs.Spec) string {
	w := wireSpec{Name: s.Name, Program: s.Program, Inputs: wireInputs(s.Inputs), Queue: s.Queue, Priority: s.Priority, Tags: s.Tags}
	if p := wirePolicy(s.Policy); p != (wirePolicy{}) {
		w.Policy = &p
	}
	if n := len(w.Inputs.Items); n > shownItems {
		rest, err := json.Marshal(fmt.Sprintf("… and %s more", thousands(int64(n-shownItems))))
		if err != nil {
			panic(err)
		}
		w.Inputs.Items = append(slices.Clip(w.Inputs.Items[:shownItems]), rest)
	}
	if w.Inputs.Lines != nil && len(*w.Inputs.Lines) > shownText {
		w.Inputs.Lines = ptr(strings.ToValidUTF8((*w.Inputs.Lines)[:shownText], "") + "…")
	}
	for i, item := range w.Inputs.Items {
		if !json.Valid(item) {
			w.Inputs.Items = slices.Clone(w.Inputs.Items)
			w.Inputs.Items[i] = json.RawMessage("null")
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(w); err != nil {
		return err.Error() + "\n"
	}
	return spread(b.Bytes())
}

// spread sets compact JSON for reading: each member of the outer object on its
// own line, what is inside of it on one.
func spread(compact []byte) string {
	var b strings.Builder
	depth, quoted := 0, false
	for i, c := range compact {
		switch {
		case c == '"' && !escaped(compact[:i]):
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth == 1 {
				b.WriteString("{\n  ")
				continue
			}
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				b.WriteByte('\n')
			}
		case c == ',' && depth == 1:
			b.WriteString(",\n  ")
			continue
		case c == ',' || c == ':':
			b.WriteByte(c)
			b.WriteByte(' ')
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// escaped reports whether what follows text is escaped by its last backslash.
func escaped(text []byte) bool {
	return (len(text)-len(bytes.TrimRight(text, "\\")))%2 == 1
}

// curl is the command that submits s. The body stands in a quoted here-document,
// which the shell does not touch, and no line of indented JSON can end it.
func curl(base string, s jobs.Spec) string {
	return fmt.Sprintf(`curl -sS %s/api/v1/jobs \
  -H "Authorization: Bearer $ALLCORES_TOKEN" \
  -H "Content-Type: application/json" \
  -H "Prefer: wait=10" -d @- <<'END'
%sEND
`, base, body(s))
}

func pythonSnippet(base string) string {
	return fmt.Sprintf(`import json, os, urllib.request

job = {
    "name": "squares",
    "program": {"python": {
        "source": "def square(x):\n    return x * x\n",
        "function": "square",
    }},
    "inputs": {"range": {"stop": 1000}},
}
request = urllib.request.Request(
    "%s/api/v1/jobs",
    json.dumps(job).encode(),
    {
        "Authorization": "Bearer " + os.environ["ALLCORES_TOKEN"],
        "Content-Type": "application/json",
        "Prefer": "wait=10",
    },
)
answer = json.load(urllib.request.urlopen(request))
print(answer["state"], answer["outputs"][:5])
`, base)
}
