package jobs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Spec is the submission of a [Job].
type Spec struct {
	Name     string   `json:"name,omitempty" maxLength:"200" doc:"For people; default: the name of the function or command."`
	Program  Program  `json:"program" doc:"Exactly one kind of program."`
	Inputs   Inputs   `json:"inputs" doc:"Exactly one kind of inputs."`
	Queue    string   `json:"queue,omitempty" maxLength:"63" default:"cpu"`
	Priority int      `json:"priority,omitempty" minimum:"1" maximum:"4" default:"2" doc:"1 is most urgent."`
	Policy   Policy   `json:"policy,omitempty"`
	Tags     []string `json:"tags,omitempty" maxItems:"20"`
}

// Bounds of a submission beyond those of its tags.
const (
	MaxSourceBytes = 1 << 20   // of a Python source
	MaxArgvBytes   = 128 << 10 // of a command's arguments together
	MaxEnvBytes    = 128 << 10 // of environment variables together
	MaxLinesBytes  = 16 << 20  // of inputs.lines
	maxTagRunes    = 50
)

var (
	namePattern = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)
	envPattern  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// WithDefaults returns s with its defaults.
func (s Spec) WithDefaults() Spec {
	s.Program = s.Program.withDefaults()
	if s.Name == "" {
		s.Name = s.Program.defaultName()
	}
	if s.Queue == "" {
		s.Queue = "cpu"
	}
	if s.Priority == 0 {
		s.Priority = 2
	}
	if s.Tags == nil {
		s.Tags = []string{}
	}
	s.Policy = s.Policy.WithDefaults()
	return s
}

// Validate returns every violation of s. It also converts the inputs to the stored
// form, compact JSON. It does not check that the queue exists or that the source
// compiles.
func (s *Spec) Validate() Invalid {
	var c checker
	c.text("name", s.Name, 200)
	c.program(s.Program)
	c.inputs(s.Inputs)
	if s.Queue != "" && !ValidName(s.Queue) {
		c.add("queue", "must be a name of lower-case letters, digits, - and _", s.Queue)
	}
	if s.Priority != 0 {
		c.between("priority", int64(s.Priority), 1, 4)
	}
	c.policy(s.Policy, s.Inputs.Count())
	c.tags("tags", s.Tags)
	// Last, because there may be thousands.
	c.items(s.Inputs.Items)
	c.shape(s.Program, s.Inputs)
	return c.found
}

// ValidName reports whether name may be a queue's or a user's name.
func ValidName(name string) bool { return namePattern.MatchString(name) }

// A checker collects violations.
type checker struct{ found Invalid }

func (c *checker) add(location, message string, value any) {
	c.found.Add(Violation{Location: location, Message: message, Value: value})
}

func (c *checker) between(location string, n, least, most int64) {
	if n < least || n > most {
		c.add(location, fmt.Sprintf("must be from %d to %d", least, most), n)
	}
}

// text checks a short text that people read.
func (c *checker) text(location, s string, most int) {
	if utf8.RuneCountInString(s) > most {
		c.add(location, fmt.Sprintf("at most %d characters", most), nil)
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		c.add(location, "must not contain control characters", nil)
	}
}

// opaque checks a text that is passed on unchanged.
func (c *checker) opaque(location, s string, most int) {
	if len(s) > most {
		c.add(location, fmt.Sprintf("at most %d bytes", most), nil)
	}
	if strings.ContainsRune(s, 0) {
		c.add(location, "must not contain NUL characters", nil)
	}
	if !utf8.ValidString(s) {
		c.add(location, "must be UTF-8", nil)
	}
}

func (c *checker) program(p Program) {
	switch {
	case p.Python == nil && p.Command == nil:
		c.add("program", "must have exactly one of python, command", nil)
	case p.Python != nil && p.Command != nil:
		c.add("program", "must have exactly one of python, command; it has both", nil)
	}
	if py := p.Python; py != nil {
		const at = "program.python."
		if strings.TrimSpace(py.Source) == "" {
			c.add(at+"source", "must not be empty", nil)
		}
		c.opaque(at+"source", py.Source, MaxSourceBytes)
		if !identifier(py.Function) {
			c.add(at+"function", "must be the name of a function of the source", py.Function)
		}
		c.oneOf(at+"call", py.Call, CallValue, CallArgs, CallKwargs)
		c.env(at+"env", py.Env)
		c.opaque(at+"interpreter", py.Interpreter, 4096)
	}
	if cmd := p.Command; cmd != nil {
		const at = "program.command."
		size := 0
		for i, arg := range cmd.Argv {
			if size += len(arg) + 1; i >= 1000 {
				continue
			}
			c.opaque(fmt.Sprintf("%sargv[%d]", at, i), arg, MaxArgvBytes)
		}
		switch {
		case len(cmd.Argv) == 0:
			c.add(at+"argv", "must have the program as its first element", nil)
		case cmd.Argv[0] == "":
			c.add(at+"argv[0]", "must not be empty", nil)
		case len(cmd.Argv) > 1000 || size > MaxArgvBytes:
			c.add(at+"argv", fmt.Sprintf("at most 1000 elements of together %d bytes", MaxArgvBytes), nil)
		default:
			c.source(*cmd)
		}
		c.oneOf(at+"output", cmd.Output, OutputText, OutputJSON, OutputLines)
		c.env(at+"env", cmd.Env)
		for i, code := range cmd.OKExitCodes {
			c.between(fmt.Sprintf("%sok_exit_codes[%d]", at, i), int64(code), 0, 255)
		}
	}
}

func (c *checker) oneOf(location, value string, allowed ...string) {
	if value != "" && !slices.Contains(allowed, value) {
		c.add(location, "must be one of "+strings.Join(allowed, ", "), value)
	}
}

func (c *checker) env(location string, env map[string]string) {
	size := 0
	for _, name := range slices.Sorted(maps.Keys(env)) {
		value := env[name]
		size += len(name) + len(value)
		if !envPattern.MatchString(name) {
			c.add(location, "has a name that is not of letters, digits and _", name)
		}
		c.opaque(location+"."+name, value, MaxEnvBytes)
	}
	if size > MaxEnvBytes {
		c.add(location, fmt.Sprintf("at most %d bytes together", MaxEnvBytes), nil)
	}
}

func (c *checker) inputs(in Inputs) {
	kinds := 0
	for _, given := range []bool{in.Items != nil, in.Range != nil, in.Lines != nil, in.Open, in.Stored != nil} {
		if given {
			kinds++
		}
	}
	if kinds != 1 {
		c.add("inputs", fmt.Sprintf("must have exactly one of items, range, lines, open; it has %d", kinds), nil)
	}
	if in.IdleSeal != nil {
		d, err := in.IdleSeal.Parse()
		switch {
		case !in.Open:
			c.add("inputs.idle_seal", "requires open: true, as other inputs are complete", *in.IdleSeal)
		case err != nil:
			c.add("inputs.idle_seal", err.Error(), *in.IdleSeal)
		case d < MinIdleSeal || d > MaxIdleSeal:
			c.add("inputs.idle_seal", fmt.Sprintf("must be from %v to %v", MinIdleSeal, MaxIdleSeal), *in.IdleSeal)
		}
	}
	if len(in.Items) > MaxInlineItems {
		c.add("inputs.items", fmt.Sprintf("at most %d inline; send more as lines, a range, or to an open job", MaxInlineItems), len(in.Items))
	}
	if r := in.Range; r != nil {
		if r.Step == 0 {
			c.add("inputs.range.step", "must not be 0", r.Step)
		}
		if n := r.Len(); n > MaxTasks {
			c.add("inputs.range", fmt.Sprintf("at most %d tasks", MaxTasks), n)
		}
	}
	if in.Lines != nil {
		c.opaque("inputs.lines", *in.Lines, MaxLinesBytes)
	}
}

// items checks the inline inputs and compacts them in place.
func (c *checker) items(items []json.RawMessage) {
	for i, item := range items[:min(len(items), MaxInlineItems)] {
		compact, message := CompactInput(item)
		if message == "" {
			items[i] = compact
			continue
		}
		c.add(fmt.Sprintf("inputs.items[%d]", i), message, nil)
	}
}

// CompactInput returns an input in the stored form, compact JSON on one line. The
// message is empty for a valid input.
func CompactInput(item []byte) (compact []byte, message string) {
	if !utf8.Valid(item) {
		return nil, "must be UTF-8"
	}
	var b bytes.Buffer
	if err := json.Compact(&b, item); err != nil {
		return nil, "is not JSON: " + strings.TrimPrefix(err.Error(), "json: ")
	}
	if name, twice := DuplicateName(b.Bytes()); twice {
		return nil, twiceNamed(name)
	}
	return b.Bytes(), ""
}

// TextInput returns a text as an input in the stored form. The message is empty for
// a valid text.
func TextInput(text []byte) (compact []byte, message string) {
	switch {
	case !utf8.Valid(text):
		return nil, "must be UTF-8"
	case bytes.IndexByte(text, 0) >= 0:
		return nil, "must not contain NUL characters"
	}
	return AppendString(nil, string(text)), ""
}

// shape checks that the inputs fit the program and how it is called.
func (c *checker) shape(p Program, in Inputs) {
	if what, _ := p.wantsInput(); what != "" && (in.Range != nil || in.Lines != nil || in.Stored != nil && in.Stored.Kind == "lines") {
		c.add("program.python.call", "is "+p.Python.Call+", so each input must be "+what+"; a range or lines cannot be", p.Python.Call)
	}
	for i, item := range in.Items[:min(len(in.Items), MaxInlineItems)] {
		message := p.WrongInput(item)
		if message == "" {
			continue
		}
		c.add(fmt.Sprintf("inputs.items[%d]", i), message, nil)
	}
}

// wantsInput returns what each input must be for the function's call, and the
// first character of such JSON. It returns an empty text where any value fits.
func (p Program) wantsInput() (what string, opening byte) {
	switch {
	case p.Python == nil:
	case p.Python.Call == CallArgs:
		return "an array", '['
	case p.Python.Call == CallKwargs:
		return "an object", '{'
	}
	return "", 0
}

// WantsInputsOf reports whether all inputs that fit q fit p.
func (p Program) WantsInputsOf(q Program) bool {
	what, _ := p.wantsInput()
	was, _ := q.wantsInput()
	return (what == "" || what == was) && (p.Python == nil || q.Python != nil)
}

// WrongInput returns why an input, in compact JSON, does not fit the program. It is
// empty for one that fits.
func (p Program) WrongInput(compact []byte) string {
	if what, opening := p.wantsInput(); what != "" && (len(compact) == 0 || compact[0] != opening) {
		return "must be " + what + ", as call is " + p.Python.Call
	}
	if p.Python != nil {
		if number, found := infiniteNumber(compact); found {
			return "has the number " + clipped(number) + ", which Python would read as infinity; send it as a text"
		}
	}
	return ""
}

func (c *checker) policy(p Policy, total int64) {
	count := func(name string, n *int, most int64) {
		if n != nil {
			c.between("policy."+name, int64(*n), 1, most)
		}
	}
	count("processes", p.Processes, 4096)
	count("threads", p.Threads, 256)
	count("cores_per_process", p.CoresPerProcess, 1024)
	count("max_tasks_per_process", p.MaxTasksPerProcess, 1_000_000)
	count("chunk_size", p.ChunkSize, 1_000_000)
	count("max_attempts", p.MaxAttempts, 100)
	if p.Timeout != nil {
		d, err := p.Timeout.Parse()
		switch {
		case err != nil:
			c.add("policy.timeout", err.Error(), *p.Timeout)
		case d < MinTimeout || d > MaxTimeout:
			c.add("policy.timeout", fmt.Sprintf("must be from %v to %v", MinTimeout, MaxTimeout), *p.Timeout)
		}
	}
	if p.RetryBackoff != nil {
		d, err := p.RetryBackoff.Parse()
		switch {
		case err != nil:
			c.add("policy.retry_backoff", err.Error(), *p.RetryBackoff)
		case d < 0 || d > MaxBackoff:
			c.add("policy.retry_backoff", fmt.Sprintf("must be from 0s to %v", MaxBackoff), *p.RetryBackoff)
		}
	}
	if p.MemoryLimit != nil {
		n, err := p.MemoryLimit.Bytes()
		switch {
		case err != nil:
			c.add("policy.memory_limit", err.Error(), *p.MemoryLimit)
		case n < MinMemoryLimit:
			c.add("policy.memory_limit", "must be at least 16MiB", *p.MemoryLimit)
		}
	}
	if p.MaxFailures != nil {
		if _, err := p.MaxFailures.Of(min(total, math.MaxInt32)); err != nil {
			c.add("policy.max_failures", err.Error(), string(*p.MaxFailures))
		}
	}
}

// identifier reports whether s may be a Python identifier.
func identifier(s string) bool {
	for i, r := range s {
		if !(r == '_' || unicode.IsLetter(r) || i > 0 && (unicode.IsDigit(r) || unicode.Is(unicode.Mn, r))) {
			return false
		}
	}
	return s != "" && len(s) <= 255
}
