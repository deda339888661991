package jobs

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// specOf decodes a submission as the API does.
func specOf(t *testing.T, text string) Spec {
	t.Helper()
	var s Spec
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s
}

const (
	program = `"program": {"python": {"source": "def f(x): return x", "function": "f"}}`
	inputs  = `"inputs": {"range": {"stop": 3, "step": 1}}`
)

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spec string
		want []string // locations
	}{
		"python":  {`{` + program + `,` + inputs + `}`, nil},
		"command": {`{"program": {"command": {"argv": ["true"]}}, "inputs": {"lines": "a\nb"}}`, nil},
		"full": {`{` + program + `,` + inputs + `, "name": "a b", "queue": "io", "priority": 4, "tags": ["x"], "policy": {
			"processes": 4, "threads": 2, "cores_per_process": 1, "chunk_size": null, "timeout": "30s", "memory_limit": "512MiB",
			"max_attempts": 3, "retry_backoff": "1s", "max_failures": "5%"}}`, nil},
		"nothing":            {`{}`, []string{"program", "inputs"}},
		"two programs":       {`{"program": {"python": {"source": "x", "function": "f"}, "command": {"argv": ["a"]}}, ` + inputs + `}`, []string{"program"}},
		"two inputs":         {`{` + program + `, "inputs": {"items": [1], "lines": "x"}}`, []string{"inputs"}},
		"empty source":       {`{"program": {"python": {"source": " \n", "function": "f"}}, ` + inputs + `}`, []string{"program.python.source"}},
		"no function":        {`{"program": {"python": {"source": "x", "function": "a.b"}}, ` + inputs + `}`, []string{"program.python.function"}},
		"call":               {`{"program": {"python": {"source": "x", "function": "f", "call": "star"}}, ` + inputs + `}`, []string{"program.python.call"}},
		"args of a range":    {`{"program": {"python": {"source": "x", "function": "f", "call": "args"}}, ` + inputs + `}`, []string{"program.python.call"}},
		"kwargs":             {`{"program": {"python": {"source": "x", "function": "f", "call": "kwargs"}}, "inputs": {"items": [{"a": 1}, [1], 2]}}`, []string{"inputs.items[1]", "inputs.items[2]"}},
		"NUL":                {`{"program": {"command": {"argv": ["a\u0000b"]}}, ` + inputs + `}`, []string{"program.command.argv[0]"}},
		"empty argv":         {`{"program": {"command": {"argv": []}}, ` + inputs + `}`, []string{"program.command.argv"}},
		"empty program":      {`{"program": {"command": {"argv": [""]}}, ` + inputs + `}`, []string{"program.command.argv[0]"}},
		"environment":        {`{"program": {"command": {"argv": ["a"], "env": {"A=B": "c", "OK": "d"}}}, ` + inputs + `}`, []string{"program.command.env"}},
		"exit codes":         {`{"program": {"command": {"argv": ["a"], "ok_exit_codes": [0, 256, -1]}}, ` + inputs + `}`, []string{"program.command.ok_exit_codes[1]", "program.command.ok_exit_codes[2]"}},
		"output":             {`{"program": {"command": {"argv": ["a"], "output": "xml"}}, ` + inputs + `}`, []string{"program.command.output"}},
		"step 0":             {`{` + program + `, "inputs": {"range": {"stop": 3, "step": 0}}}`, []string{"inputs.range.step"}},
		"tasks of a process": {`{` + program + `, ` + inputs + `, "policy": {"max_tasks_per_process": 1000000}}`, nil},
		"too many, too few":  {`{` + program + `, ` + inputs + `, "policy": {"max_tasks_per_process": 1000001, "processes": 0}}`, []string{"policy.processes", "policy.max_tasks_per_process"}},
		"idle seal":          {`{` + program + `, "inputs": {"open": true, "idle_seal": "720h"}}`, nil},
		"idle but not open":  {`{` + program + `, "inputs": {"items": [1], "idle_seal": "60s"}}`, []string{"inputs.idle_seal"}},
		"idle too short":     {`{` + program + `, "inputs": {"open": true, "idle_seal": "999ms"}}`, []string{"inputs.idle_seal"}},
		"idle too long":      {`{` + program + `, "inputs": {"open": true, "idle_seal": "721h"}}`, []string{"inputs.idle_seal"}},
		"idle for ever":      {`{` + program + `, "inputs": {"open": true, "idle_seal": "soon"}}`, []string{"inputs.idle_seal"}},
		"too many":           {`{` + program + `, "inputs": {"range": {"stop": 1000000001, "step": 1}}}`, []string{"inputs.range"}},
		"queue":              {`{` + program + `,` + inputs + `, "queue": "CPU!"}`, []string{"queue"}},
		"priority":           {`{` + program + `,` + inputs + `, "priority": 5}`, []string{"priority"}},
		"tags":               {`{` + program + `,` + inputs + `, "tags": ["ok", "", "a b"]}`, []string{"tags[1]", "tags[2]"}},
		"name":               {`{` + program + `,` + inputs + `, "name": "a\nb"}`, []string{"name"}},
		"policy, all wrong":  {`{` + program + `,` + inputs + `, "policy": {"processes": 0, "threads": 257, "cores_per_process": -1, "chunk_size": 0, "timeout": "soon", "memory_limit": "lots", "max_attempts": 0, "retry_backoff": "-1s", "max_failures": "150%"}}`, []string{"policy.processes", "policy.threads", "policy.cores_per_process", "policy.chunk_size", "policy.max_attempts", "policy.timeout", "policy.retry_backoff", "policy.memory_limit", "policy.max_failures"}},
		"policy, bounds":     {`{` + program + `,` + inputs + `, "policy": {"timeout": "1ms", "memory_limit": "1MiB", "max_failures": -1, "retry_backoff": "2h"}}`, []string{"policy.timeout", "policy.retry_backoff", "policy.memory_limit", "policy.max_failures"}},
		"policy, types":      {`{` + program + `,` + inputs + `, "policy": {"max_failures": {"a": 1}}}`, []string{"policy.max_failures"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := specOf(t, test.spec)
			var got []string
			for _, v := range s.Validate() {
				got = append(got, v.Location)
				if v.Message == "" {
					t.Errorf("%s has no message", v.Location)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestValidateListsNotEveryItem(t *testing.T) {
	t.Parallel()
	s := specOf(t, `{`+program+`, "inputs": {"items": []}}`)
	for range MaxInlineItems + 1 {
		s.Inputs.Items = append(s.Inputs.Items, json.RawMessage("\"\xff\""))
	}
	if got := len(s.Validate()); got != MaxViolations+1 {
		t.Errorf("%d violations, want %d of items and one of their number", got, MaxViolations)
	}
}

func TestValidateCompactsItems(t *testing.T) {
	t.Parallel()
	s := specOf(t, `{`+program+`, "inputs": {"items": [ {"a" : [1,
		2]}, "x\ny" , 1.50 ]}}`)
	if found := s.Validate(); found != nil {
		t.Fatal(found)
	}
	var got []string
	for value := range s.Inputs.Values() {
		got = append(got, string(value))
	}
	if diff := cmp.Diff([]string{`{"a":[1,2]}`, `"x\ny"`, `1.50`}, got); diff != "" {
		t.Errorf("stored inputs (-want +got):\n%s", diff)
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	s := specOf(t, `{"program": {"command": {"argv": ["/usr/bin/true"]}}, "inputs": {"lines": "a"}}`).WithDefaults()
	got, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"name":"true","program":{"command":{"argv":["/usr/bin/true"],"output":"text","ok_exit_codes":[0]}},"inputs":{"lines":"a"},` +
		`"queue":"cpu","priority":2,"policy":{"processes":null,"threads":1,"cores_per_process":1,"max_tasks_per_process":null,"chunk_size":null,"timeout":null,"memory_limit":null,` +
		`"max_attempts":1,"retry_backoff":"1s","max_failures":null}}`
	if string(got) != want {
		t.Errorf("with defaults\n%s, want\n%s", got, want)
	}
}

func TestInvalidNamesEveryPlace(t *testing.T) {
	t.Parallel()
	s := specOf(t, `{}`)
	if text := s.Validate().Error(); !strings.Contains(text, "program: ") || !strings.Contains(text, "; inputs: ") {
		t.Errorf("the error is %q", text)
	}
}
