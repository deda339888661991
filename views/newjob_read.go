package views

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/allcores/allcores/internal/jobs"
)

var topLevelDef = regexp.MustCompile(`(?m)^(?:async[ \t]+)?def[ \t]+([^\W\d]\w*)[ \t]*\(`)

// Spec turns the form into a submission and lists all violations. inputs
// replace the form's own. The form does not contain an uploaded file or the
// inputs of another job, so the caller passes them. Without inputs, InputsFile
// is a violation, and InputsSame leaves them empty for the caller to copy.
func (f *NewJobForm) Spec(inputs *jobs.Inputs) (jobs.Spec, jobs.Invalid) {
	f, found := f.clipped()
	r := formReader{form: f, found: found}
	s := jobs.Spec{
		Name:    strings.TrimSpace(f.Name),
		Program: r.program(),
		Queue:   strings.TrimSpace(f.Queue),
		Policy:  r.policy(),
		Tags:    words(f.Tags),
	}
	if p := r.number("priority", f.Priority); p != nil {
		s.Priority = *p
	}
	if inputs != nil {
		s.Inputs = *inputs
	} else {
		s.Inputs = r.inputs()
	}
	for _, v := range s.Validate() {
		if !(f.Inputs == InputsSame && inputs == nil && v.Location == "inputs") {
			r.add(v)
		}
	}
	return s, r.found
}

// fieldBytes has the size limits other than shortBytes; 0 means no limit.
var fieldBytes = map[string]int{
	FieldSource: jobs.MaxSourceBytes, FieldLines: 0, FieldItems: 0,
	FieldCommand: 4 * jobs.MaxArgvBytes, FieldPythonEnv: 2 * jobs.MaxEnvBytes, FieldCommandEnv: 2 * jobs.MaxEnvBytes,
}

const shortBytes = 4096

// clipped returns f without its oversized fields, so that parsing them takes no
// time.
func (f *NewJobForm) clipped() (*NewJobForm, jobs.Invalid) {
	var found jobs.Invalid
	out := *f
	values := out.fields()
	for _, p := range places {
		most, known := fieldBytes[p.field]
		if !known {
			most = shortBytes
		}
		if value := values[p.field]; value != nil && most > 0 && len(*value) > most {
			found.Add(jobs.Violation{Location: p.at, Message: fmt.Sprintf("at most %d bytes; it has %d", most, len(*value))})
			*value = ""
		}
	}
	return &out, found
}

// A formReader parses typed text and collects violations.
type formReader struct {
	form  *NewJobForm
	found jobs.Invalid
}

// add adds v unless the same location, or a part of it, already has a
// violation, which then caused v.
func (r *formReader) add(v jobs.Violation) {
	for _, old := range r.found {
		if old.More > 0 || v.More > 0 {
			break
		}
		rest, ok := strings.CutPrefix(old.Location, v.Location)
		if ok && (rest == "" || rest[0] == '.' || rest[0] == '[') && old.Message != v.Message {
			return
		}
	}
	r.found.Add(v)
}

func (r *formReader) fail(location, message string, value any) {
	r.found.Add(jobs.Violation{Location: location, Message: message, Value: value})
}

func (r *formReader) program() jobs.Program {
	f := r.form
	if f.Kind == KindCommand {
		argv, err := splitWords(f.Command)
		if err != nil {
			r.fail("program.command.argv", err.Error(), f.Command)
		} else if syntax := jobs.ShellSyntax(f.Command); syntax != "" {
			r.fail("program.command.argv", syntax+" needs a shell, but the command runs without one: use a shell, or quote it to pass it on as text", nil)
		}
		c := &jobs.Command{
			Argv:   argv,
			Stdin:  f.Stdin != "",
			Output: f.Output,
			Env:    r.env("program.command.env", f.CommandEnv),
		}
		for _, word := range words(f.OKExitCodes) {
			if code := r.number("program.command.ok_exit_codes", word); code != nil {
				c.OKExitCodes = append(c.OKExitCodes, *code)
			}
		}
		return jobs.Program{Command: c}
	}
	p := &jobs.Python{
		Source:      f.Source,
		Function:    strings.TrimSpace(f.Function),
		Call:        f.Call,
		Interpreter: strings.TrimSpace(f.Interpreter),
		Env:         r.env("program.python.env", f.PythonEnv),
	}
	if p.Function == "" {
		p.Function = lastFunction(f.Source)
	}
	return jobs.Program{Python: p}
}

// lastFunction returns the name of the source's last function, or an empty
// name.
func lastFunction(source string) string {
	defs := topLevelDef.FindAllStringSubmatch(source, -1)
	if defs == nil {
		return ""
	}
	return defs[len(defs)-1][1]
}

// offer returns a shell command with the probable meaning of the typed one. It
// is empty if no shell is needed or the mistake is a different one.
func (f *NewJobForm) offer() string {
	if f.Kind != KindCommand {
		return ""
	}
	argv, err := splitWords(f.Command)
	switch {
	case err != nil:
		return ""
	case jobs.ShellSyntax(f.Command) != "":
		return joinWords(jobs.ShellCommand(f.Command, f.Stdin != ""))
	}
	return joinWords(jobs.Command{Argv: argv, Stdin: f.Stdin != ""}.Offer())
}

func (r *formReader) inputs() jobs.Inputs {
	f := r.form
	switch f.Inputs {
	case InputsItems:
		var items []json.RawMessage
		if strings.TrimSpace(f.Items) == "" {
			r.fail("inputs.items", "must be a JSON array such as [1, 2, 3]", nil)
			return jobs.Inputs{}
		}
		if err := json.Unmarshal([]byte(strings.TrimPrefix(f.Items, jobs.ByteOrderMark)), &items); err != nil || items == nil {
			r.fail("inputs.items", "is not a JSON array: "+jsonProblem(f.Items, err), nil)
			return jobs.Inputs{}
		}
		if len(items) == 0 {
			r.fail("inputs.items", "has no element, so there is nothing to run", nil)
		}
		return jobs.Inputs{Items: items}
	case InputsRange:
		before := len(r.found)
		start, stop, step := r.whole("inputs.range.start", f.RangeStart), r.whole("inputs.range.stop", f.RangeStop), r.whole("inputs.range.step", f.RangeStep)
		if strings.TrimSpace(f.RangeStop) == "" {
			r.fail("inputs.range.stop", "must be a whole number (the range excludes it)", nil)
		}
		if strings.TrimSpace(f.RangeStep) == "" {
			step = 1
		}
		if len(r.found) == before && step != 0 && (jobs.Range{Start: start, Stop: stop, Step: step}).Len() == 0 {
			r.fail("inputs.range.stop", "makes the range empty, so there is nothing to run", nil)
		}
		return jobs.Inputs{Range: &jobs.Range{Start: start, Stop: stop, Step: step}}
	case InputsFile:
		r.fail("inputs.file", "choose a file", nil)
	case InputsSame:
	default:
		if strings.TrimSpace(f.Lines) == "" {
			r.fail("inputs.lines", "is empty, so there is nothing to run", nil)
		}
		return jobs.Inputs{Lines: &f.Lines}
	}
	return jobs.Inputs{}
}

// jsonProblem describes where text ceases to be a JSON array.
func jsonProblem(text string, err error) string {
	syntax, ok := errors.AsType[*json.SyntaxError](err)
	if !ok {
		return "it must begin with [ and end with ]"
	}
	before := text[:min(int(syntax.Offset), len(text))]
	return fmt.Sprintf("line %d: %s", 1+strings.Count(before, "\n"), syntax.Error())
}

func (r *formReader) policy() jobs.Policy {
	f := r.form
	p := jobs.Policy{
		Processes:          r.number("policy.processes", f.Processes),
		Threads:            r.number("policy.threads", f.Threads),
		CoresPerProcess:    r.number("policy.cores_per_process", f.CoresPerProcess),
		MaxTasksPerProcess: r.number("policy.max_tasks_per_process", f.MaxTasks),
		ChunkSize:          r.number("policy.chunk_size", f.ChunkSize),
		MaxAttempts:        r.number("policy.max_attempts", f.MaxAttempts),
	}
	if s := strings.TrimSpace(f.Timeout); s != "" {
		d := jobs.Duration(s)
		p.Timeout = &d
	}
	if s := strings.TrimSpace(f.RetryBackoff); s != "" {
		d := jobs.Duration(s)
		p.RetryBackoff = &d
	}
	if s := strings.TrimSpace(f.MemoryLimit); s != "" {
		d := jobs.Size(s)
		p.MemoryLimit = &d
	}
	if s := strings.TrimSpace(f.MaxFailures); s != "" {
		d := jobs.FailureLimit(s)
		p.MaxFailures = &d
	}
	return p
}

// number reads an optional whole number.
func (r *formReader) number(location, text string) *int {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		r.fail(location, "must be a whole number", text)
		return nil
	}
	return &n
}

func (r *formReader) whole(location, text string) int64 {
	text = strings.TrimSpace(text)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 10, 64)
	if err != nil {
		r.fail(location, "must be a whole number", text)
	}
	return n
}

func (r *formReader) env(location, text string) map[string]string {
	var env map[string]string
	for line := range jobs.SplitLines(text) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			r.fail(location, "each line must be NAME=value", line)
			continue
		}
		if env == nil {
			env = map[string]string{}
		}
		env[strings.TrimSpace(name)] = value
	}
	return env
}
