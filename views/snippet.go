package views

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/allcores/allcores/internal/jobs"
)

// wireSpec is a submission as people write it: it omits empty fields.
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

	IdleSeal *jobs.Duration `json:"idle_seal,omitempty"`
}

type wirePolicy struct {
	Processes          *int               `json:"processes,omitempty"`
	Threads            *int               `json:"threads,omitempty"`
	CoresPerProcess    *int               `json:"cores_per_process,omitempty"`
	MaxTasksPerProcess *int               `json:"max_tasks_per_process,omitempty"`
	ChunkSize          *int               `json:"chunk_size,omitempty"`
	Timeout            *jobs.Duration     `json:"timeout,omitempty"`
	MemoryLimit        *jobs.Size         `json:"memory_limit,omitempty"`
	MaxAttempts        *int               `json:"max_attempts,omitempty"`
	RetryBackoff       *jobs.Duration     `json:"retry_backoff,omitempty"`
	MaxFailures        *jobs.FailureLimit `json:"max_failures,omitempty"`
}

// Limits on the inputs that a request shows.
const (
	shownItems = 100
	shownText  = 4096
)

// essential removes values that equal the default and may have been omitted. It
// keeps the policy, which is stored as submitted.
func essential(s jobs.Spec) jobs.Spec {
	if py := s.Program.Python; py != nil && py.Call == jobs.CallValue {
		python := *py
		python.Call = ""
		s.Program.Python = &python
	}
	if c := s.Program.Command; c != nil {
		command := *c
		if command.Output == jobs.OutputText {
			command.Output = ""
		}
		if slices.Equal(command.OKExitCodes, []int{0}) {
			command.OKExitCodes = nil
		}
		s.Program.Command = &command
	}
	if s.Queue == "cpu" {
		s.Queue = ""
	}
	if s.Priority == 2 {
		s.Priority = 0
	}
	return s
}

// body formats s as the JSON of a request.
func body(s jobs.Spec) string {
	s = essential(s)
	w := wireSpec{Name: s.Name, Program: s.Program, Inputs: wireInputs{s.Inputs.Items, s.Inputs.Range, s.Inputs.Lines, s.Inputs.Open, s.Inputs.IdleSeal}, Queue: s.Queue, Priority: s.Priority, Tags: s.Tags}
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

// spread formats compact JSON for reading: a value that fits stays on one line,
// any other has one line per member. The outer object always has several lines.
func spread(compact []byte) string {
	return lay(bytes.TrimSpace(compact), "", true) + "\n"
}

const lineWidth = 76

func lay(value []byte, margin string, broken bool) string {
	parts := members(value)
	if parts == nil {
		return string(value)
	}
	inner := margin + "  "
	var short, long []string
	for _, part := range parts {
		name, rest := nameOf(part)
		short = append(short, name+lay(rest, "", false))
		if broken {
			text := name + lay(rest, inner, false)
			if len(inner+text) > lineWidth {
				text = name + lay(rest, inner, true)
			}
			long = append(long, inner+text)
		}
	}
	opening, closing := string(value[:1]), string(value[len(value)-1:])
	if broken && len(parts) > 0 {
		return opening + "\n" + strings.Join(long, ",\n") + "\n" + margin + closing
	}
	return opening + strings.Join(short, ", ") + closing
}

// members splits a compact object or array into its parts. It returns nil for
// other values.
func members(value []byte) [][]byte {
	if len(value) < 2 || value[0] != '{' && value[0] != '[' {
		return nil
	}
	parts := [][]byte{}
	depth, quoted, begin := 0, false, 1
	for i, c := range value {
		switch {
		case c == '"' && !escaped(value[:i]):
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		}
		ends := depth == 1 && c == ',' || depth == 0
		if ends && !quoted {
			if i > begin {
				parts = append(parts, value[begin:i])
			}
			begin = i + 1
		}
	}
	return parts
}

// nameOf splits an object's member into its name with the colon, and its value.
func nameOf(member []byte) (name string, value []byte) {
	if member[0] != '"' {
		return "", member
	}
	end := 1
	for member[end] != '"' || escaped(member[:end]) {
		end++
	}
	if end+1 == len(member) || member[end+1] != ':' {
		return "", member
	}
	return string(member[:end+2]) + " ", member[end+2:]
}

// escaped reports whether text's last backslash escapes the next character.
func escaped(text []byte) bool {
	return (len(text)-len(bytes.TrimRight(text, "\\")))%2 == 1
}

// curl returns the command that submits s. The body is in a quoted
// here-document, which the shell does not expand. No line of indented JSON can
// end it.
func curl(base string, s jobs.Spec) string {
	return fmt.Sprintf(`curl -sS %s/api/v1/jobs \
  -H "Authorization: Bearer $ALLCORES_TOKEN" \
  -H "Content-Type: application/json" \
  -H "Prefer: wait=60" -d @- <<'END'
%sEND
`, base, body(s))
}

// pythonSnippet returns a Python program that submits the first example.
func pythonSnippet(base string) string {
	return fmt.Sprintf(`import json, os, urllib.request

SOURCE = '''
%s'''

job = {
    "name": "primes",
    "program": {"python": {"source": SOURCE, "function": "count_primes"}},
    "inputs": {"range": {"stop": 500_000, "step": 2_500}},
}
request = urllib.request.Request(
    "%s/api/v1/jobs",
    json.dumps(job).encode(),
    {
        "Authorization": "Bearer " + os.environ["ALLCORES_TOKEN"],
        "Content-Type": "application/json",
        "Prefer": "wait=60",
    },
)
answer = json.load(urllib.request.urlopen(request))
print(answer["state"], sum(answer["outputs"]), "primes")
`, firstSpec().Program.Python.Source, base)
}
