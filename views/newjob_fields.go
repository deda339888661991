package views

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/a-h/templ"

	"github.com/allcores/allcores/internal/jobs"
)

// An input is a text field of the form for a new job.
type input struct {
	name, label, hint string
	placeholder       string
	mono              bool
	mode              string // inputmode
	list              string // id of its datalist
	rows              string // of a text area
}

func (in input) attributes() templ.Attributes {
	a := templ.Attributes{}
	for name, value := range map[string]string{"placeholder": in.placeholder, "inputmode": in.mode, "list": in.list} {
		if value != "" {
			a[name] = value
		}
	}
	return a
}

type option struct{ value, text string }

var (
	callOptions = []option{
		{jobs.CallValue, "f(input)"}, {jobs.CallArgs, "f(*input), each input an array"}, {jobs.CallKwargs, "f(**input), each input an object"},
	}
	outputOptions = []option{
		{jobs.OutputText, "The text it prints"}, {jobs.OutputLines, "The lines it prints, as an array"}, {jobs.OutputJSON, "The JSON value it prints"},
	}
	formatOptions = []option{
		{FormatAuto, "Detect from name and content"}, {FormatLines, "Lines, each an input"}, {FormatNDJSON, "NDJSON, each line a JSON value"},
		{FormatJSON, "A JSON array, each element an input"}, {FormatCSV, "CSV, one column of it"},
	}
	priorityOptions = []option{{"1", "1, first"}, {"2", "2, usual"}, {"3", "3, later"}, {"4", "4, last"}}
)

// queueOptions returns the queues to choose from, including the typed one.
func queueOptions(queues []jobs.Queue, chosen string) []option {
	var out []option
	for _, q := range queues {
		text := q.Name + ", " + trimFloat(q.PerCore) + " per core"
		if q.Paused {
			text += ", paused"
		}
		out = append(out, option{q.Name, text})
	}
	if !slices.ContainsFunc(out, func(o option) bool { return o.value == chosen }) && chosen != "" {
		out = append(out, option{chosen, chosen})
	}
	return out
}

// A place maps the location of a violation to a field.
type place struct{ at, field, label string }

// places are in the page's order.
var places = []place{
	{"program.python.source", FieldSource, "Source"},
	{"program.python.function", FieldFunction, "Function"},
	{"program.python.call", FieldCall, "Called as"},
	{"program.python.interpreter", FieldInterpreter, "Interpreter"},
	{"program.python.env", FieldPythonEnv, "Environment"},
	{"program.command.argv", FieldCommand, "Command"},
	{"program.command.stdin", FieldStdin, "Standard input"},
	{"program.command.output", FieldOutput, "Output"},
	{"program.command.ok_exit_codes", FieldOKExitCodes, "Exit codes"},
	{"program.command.env", FieldCommandEnv, "Environment"},
	{"inputs.range.start", FieldRangeStart, "Range, from"},
	{"inputs.range.stop", FieldRangeStop, "Range, stop"},
	{"inputs.range.step", FieldRangeStep, "Range, step"},
	{"inputs.range", FieldRangeStop, "Range"},
	{"inputs.lines", FieldLines, "Lines"},
	{"inputs.items", FieldItems, "JSON array"},
	{"inputs.file", FieldFile, "File"},
	{"inputs", FieldInputs, "Inputs"},
	{"name", FieldName, "Name"},
	{"tags", FieldTags, "Tags"},
	{"queue", FieldQueue, "Queue"},
	{"priority", FieldPriority, "Priority"},
	{"policy.processes", FieldProcesses, "Processes"},
	{"policy.threads", FieldThreads, "Threads"},
	{"policy.cores_per_process", FieldCoresPerProcess, "Cores per process"},
	{"policy.max_tasks_per_process", FieldMaxTasks, "Tasks per process"},
	{"policy.chunk_size", FieldChunkSize, "Chunk size"},
	{"policy.timeout", FieldTimeout, "Timeout"},
	{"policy.memory_limit", FieldMemoryLimit, "Memory limit"},
	{"policy.max_attempts", FieldMaxAttempts, "Attempts"},
	{"policy.retry_backoff", FieldRetryBackoff, "Wait before a retry"},
	{"policy.max_failures", FieldMaxFailures, "Failures allowed"},
}

var policyFieldNames = []string{
	FieldProcesses, FieldThreads, FieldCoresPerProcess, FieldMaxTasks, FieldChunkSize, FieldTimeout,
	FieldMemoryLimit, FieldMaxAttempts, FieldRetryBackoff, FieldMaxFailures,
}

// A mistake is a violation with its field.
type mistake struct {
	field, label, message string
	order                 int
}

// mistakes returns the form's errors in the page's order.
func (f *NewJobForm) mistakes() []mistake {
	var out []mistake
	for _, location := range slices.Sorted(maps.Keys(f.Errors)) {
		at, rest := placeOf(strings.TrimPrefix(location, "body."))
		for _, message := range f.Errors[location] {
			m := mistake{field: "newjob", label: "Job", message: rest + message, order: at}
			if at < len(places) {
				m.field, m.label = places[at].field, places[at].label
				if f.Inputs == InputsFile && (m.field == FieldItems || m.field == FieldLines) {
					m.field, m.label = FieldFile, "File"
				}
			}
			out = append(out, m)
		}
	}
	slices.SortStableFunc(out, func(a, b mistake) int { return a.order - b.order })
	return out
}

// placeOf returns the index of the place that contains location, and a prefix
// that names the part in the message.
func placeOf(location string) (index int, part string) {
	index = len(places)
	best := -1
	for i, p := range places {
		rest, ok := strings.CutPrefix(location, p.at)
		if !ok || rest != "" && rest[0] != '.' && rest[0] != '[' || len(p.at) <= best {
			continue
		}
		best, index, part = len(p.at), i, ""
		if n, err := strconv.Atoi(strings.Trim(rest, "[]")); err == nil {
			part = "no. " + thousands(int64(n)+1) + " "
		} else if rest != "" {
			part = strings.TrimLeft(rest, ".") + " "
		}
	}
	if index == len(places) && location != "" {
		part = location + " "
	}
	return index, part
}

func (f *NewJobForm) messages(name string) []string {
	var out []string
	for _, m := range f.mistakes() {
		if m.field == name {
			out = append(out, m.message)
		}
	}
	return out
}

func (f *NewJobForm) wrong(name string) bool { return len(f.messages(name)) > 0 }

func (f *NewJobForm) value(name string) string { return *f.fields()[name] }

// attributes link a field to its hint and its errors. The first wrong field
// gets the focus.
func (f *NewJobForm) attributes(name string, hinted ...bool) templ.Attributes {
	a := templ.Attributes{}
	var described []string
	if f.wrong(name) {
		described = append(described, name+"-error")
		a["aria-invalid"] = "true"
		if f.mistakes()[0].field == name {
			a["autofocus"] = true
		}
	}
	if name == FieldSource || name == FieldFile || len(hinted) > 0 && hinted[0] {
		described = append(described, name+"-hint")
	}
	if described != nil {
		a["aria-describedby"] = strings.Join(described, " ")
	}
	return a
}

// unfold reports whether one of the fields has a value or an error.
func (f *NewJobForm) unfold(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return f.value(name) != "" || f.wrong(name) })
}

var lineNumber = regexp.MustCompile(`\bline (\d+)`)

// badLines returns the source's line numbers that the errors name.
func (f *NewJobForm) badLines() string {
	var lines []string
	for _, message := range f.messages(FieldSource) {
		for _, m := range lineNumber.FindAllStringSubmatch(message, -1) {
			lines = append(lines, m[1])
		}
	}
	return strings.Join(lines, ",")
}

// shown returns the submission that the form shows as a request, with
// placeholders for unknown inputs.
func (f *NewJobForm) shown() jobs.Spec {
	s, _ := f.Spec(f.placeholder())
	return s
}

func (f *NewJobForm) placeholder() *jobs.Inputs {
	switch f.Inputs {
	case InputsFile:
		return &jobs.Inputs{Lines: ptr("… the lines of the file …")}
	case InputsSame:
		return &jobs.Inputs{Lines: ptr("… " + plural(f.FromCount, "input", "inputs") + " …")}
	}
	return nil
}
