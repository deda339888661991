package views

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

// Names of the fields of the form for a new job. Two more are [FieldTry], the
// button that only tries the first input, and [FieldCheck], with which scripts
// check all other fields before they send a file.
const (
	FieldTry   = "try"
	FieldCheck = "check"
	FieldPart  = "part" // the file is truncated; must come before the file
	FieldKey   = "key"  // idempotency key: sending the form again creates no second job

	FieldName     = "name"
	FieldQueue    = "queue"
	FieldPriority = "priority"
	FieldTags     = "tags"

	FieldKind        = "kind" // "python" or "command"
	FieldSource      = "source"
	FieldFunction    = "function"
	FieldCall        = "call"
	FieldInterpreter = "interpreter"
	FieldPythonEnv   = "python_env"

	FieldCommand     = "command"
	FieldStdin       = "stdin"
	FieldOutput      = "output"
	FieldOKExitCodes = "ok_exit_codes"
	FieldCommandEnv  = "command_env"

	FieldInputs     = "inputs" // the selected kind of inputs, see InputsLines …
	FieldLines      = "lines"
	FieldItems      = "items"
	FieldRangeStart = "range_start"
	FieldRangeStop  = "range_stop"
	FieldRangeStep  = "range_step"
	FieldFile       = "file"        // the uploaded file
	FieldFileFormat = "file_format" // one of FormatAuto …
	FieldCSVColumn  = "csv_column"  // a column's name, or its number counted from 1
	FieldCSVHeader  = "csv_header"  // "on" when the first line names the columns
	FieldFrom       = "from"        // id of the job whose inputs InputsSame takes

	FieldProcesses       = "processes"
	FieldThreads         = "threads"
	FieldCoresPerProcess = "cores_per_process"
	FieldMaxTasks        = "max_tasks_per_process"
	FieldChunkSize       = "chunk_size"
	FieldTimeout         = "timeout"
	FieldMemoryLimit     = "memory_limit"
	FieldMaxAttempts     = "max_attempts"
	FieldRetryBackoff    = "retry_backoff"
	FieldMaxFailures     = "max_failures"
)

// Values of [FieldKind].
const (
	KindPython  = "python"
	KindCommand = "command"
)

// Values of [FieldInputs].
const (
	InputsLines = "lines"
	InputsItems = "items"
	InputsRange = "range"
	InputsFile  = "file"
	InputsSame  = "same" // those of the job in FieldFrom
)

// Values of [FieldFileFormat].
const (
	FormatAuto   = "auto" // by the file's name and content
	FormatLines  = "lines"
	FormatNDJSON = "ndjson"
	FormatJSON   = "json" // an array
	FormatCSV    = "csv"
)

// A NewJobPage holds the form for a new job at /jobs/new. [NewJob] renders it.
type NewJobPage struct {
	Page
	Form    NewJobForm
	Queues  []jobs.Queue // the choices
	Try     *TryResult   // result of the first input, after a try
	Example string       // the example that filled the form; may be empty
}

// A FilePreview describes how the server reads the beginning of a chosen file.
// [FileInputs] renders it.
type FilePreview struct {
	Format  string   // one of FormatLines …
	Dialect string   // detail of the format, such as "separated by semicolons"; may be empty
	Columns []string // of a CSV file with a header
	Column  int      // index of the column with the inputs; -1 without one
	Inputs  []string // the first, as JSON
	Count   int64    // of all inputs; -1 if the file is longer
	Wrong   []string // reasons why it cannot be read
}

// columnsShown is the largest number of columns that the page offers.
const columnsShown = 30

// columnChoice returns the value that selects column i: its name if that is
// unique, else its number.
func (p FilePreview) columnChoice(i int) string {
	name := strings.TrimSpace(p.Columns[i])
	for j, other := range p.Columns {
		if name == "" || j != i && strings.TrimSpace(other) == name {
			return strconv.Itoa(i + 1)
		}
	}
	return name
}

// details returns the text after the format's name: the dialect and the number
// of inputs.
func (p FilePreview) details() string {
	var b strings.Builder
	if p.Dialect != "" {
		b.WriteString(" " + p.Dialect)
	}
	if p.Count > 0 {
		b.WriteString(": " + plural(p.Count, "input", "inputs"))
	}
	return b.String()
}

func columnLabel(i int, name string) string {
	if strings.TrimSpace(name) == "" {
		return "no. " + strconv.Itoa(i+1)
	}
	return clip(name, 40)
}

// inputLines returns the first inputs, one per line.
func (p FilePreview) inputLines() string {
	lines := make([]string, len(p.Inputs))
	for i, input := range p.Inputs {
		lines[i] = clip(input, 200)
	}
	return strings.Join(lines, "\n")
}

func formatWord(format string) string {
	switch format {
	case FormatCSV:
		return "CSV"
	case FormatJSON:
		return "a JSON array"
	case FormatNDJSON:
		return "NDJSON, one JSON value per line"
	}
	return "lines of text"
}

// A TryResult holds the result of running the first input.
type TryResult struct {
	Input  string          // as JSON; empty when there was no input
	Output string          // as JSON, if the task succeeded
	Error  *jobs.TaskError // the error, if the task failed
	Logs   []jobs.LogLine  // its log lines
	Took   time.Duration
}

// A NewJobForm holds the values of the form for a new job, as typed.
// [ParseNewJobForm] fills it from a request, [FormOf] from a submission,
// [Example] from an example. [NewJobForm.Spec] turns it into a submission.
type NewJobForm struct {
	JobFields
	Kind string // KindPython or KindCommand
	PythonFields
	CommandFields
	InputFields
	SourceJob
	PolicyFields

	// Errors are the messages by the violation's location, such as
	// "program.python.source", "inputs.items[3]" or "policy.timeout", with or
	// without a leading "body.". The uploaded file's location is "inputs.file".
	Errors map[string][]string
}

// JobFields describe the job as a whole. Tags are separated by spaces or commas.
type JobFields struct{ Name, Queue, Priority, Tags string }

// PythonFields describe a program of KindPython.
type PythonFields struct {
	Source, Function, Call, Interpreter string
	PythonEnv                           string // lines of NAME=value
}

// CommandFields describe a program of KindCommand.
type CommandFields struct {
	Command     string // words, quoted as in a shell
	Stdin       string // "on" or empty
	Output      string
	OKExitCodes string // separated by spaces or commas
	CommandEnv  string // lines of NAME=value
}

// InputFields describe the inputs.
type InputFields struct {
	Inputs       string // one of InputsLines …
	Lines, Items string
	RangeFields
	FileFields
}

// RangeFields bound the numbers of InputsRange.
type RangeFields struct{ RangeStart, RangeStop, RangeStep string }

// FileFields describe how to read the file of InputsFile.
type FileFields struct {
	FileFormat, CSVColumn, CSVHeader string
	FileName                         string // of this request's file, which must be chosen again
}

// A SourceJob identifies the job whose values filled the form.
type SourceJob struct {
	From      string // its id
	FromName  string
	FromCount int64 // number of its inputs
}

// PolicyFields describe how to run the tasks.
type PolicyFields struct {
	Processes, Threads, CoresPerProcess, ChunkSize string
	Timeout, MemoryLimit, MaxTasks                 string
	MaxAttempts, RetryBackoff, MaxFailures         string
}

// fields maps the names of the form's fields to their values.
func (f *NewJobForm) fields() map[string]*string {
	return map[string]*string{
		FieldName: &f.Name, FieldQueue: &f.Queue, FieldPriority: &f.Priority, FieldTags: &f.Tags,
		FieldKind: &f.Kind, FieldSource: &f.Source, FieldFunction: &f.Function, FieldCall: &f.Call,
		FieldInterpreter: &f.Interpreter, FieldPythonEnv: &f.PythonEnv,
		FieldCommand: &f.Command, FieldStdin: &f.Stdin, FieldOutput: &f.Output,
		FieldOKExitCodes: &f.OKExitCodes, FieldCommandEnv: &f.CommandEnv,
		FieldInputs: &f.Inputs, FieldLines: &f.Lines, FieldItems: &f.Items,
		FieldRangeStart: &f.RangeStart, FieldRangeStop: &f.RangeStop, FieldRangeStep: &f.RangeStep,
		FieldFileFormat: &f.FileFormat, FieldCSVColumn: &f.CSVColumn, FieldCSVHeader: &f.CSVHeader,
		FieldFrom: &f.From, FieldProcesses: &f.Processes, FieldThreads: &f.Threads,
		FieldCoresPerProcess: &f.CoresPerProcess, FieldMaxTasks: &f.MaxTasks, FieldChunkSize: &f.ChunkSize,
		FieldTimeout: &f.Timeout, FieldMemoryLimit: &f.MemoryLimit, FieldMaxAttempts: &f.MaxAttempts,
		FieldRetryBackoff: &f.RetryBackoff, FieldMaxFailures: &f.MaxFailures,
	}
}

// ParseNewJobForm reads the form's fields from a request. It converts CRLF to
// LF.
func ParseNewJobForm(values url.Values) NewJobForm {
	var f NewJobForm
	for name, value := range f.fields() {
		*value = strings.ReplaceAll(values.Get(name), "\r\n", "\n")
	}
	return f
}

// Reject adds the violations of a submission to the form.
func (f *NewJobForm) Reject(violations jobs.Invalid) {
	offered, typed := f.offer() != "", f.Kind == KindCommand && jobs.ShellSyntax(f.Command) != ""
	listed, more := violations.Brief()
	for i, v := range listed {
		if strings.HasPrefix(strings.TrimPrefix(v.Location, "body."), "program.command.argv[") {
			if typed {
				continue // the violation of the typed command is clearer
			}
			if offered { // the offered command replaces the JSON
				v.Message, _, _ = strings.Cut(v.Message, `: ["`)
			}
		}
		if f.Errors == nil {
			f.Errors = map[string][]string{}
		}
		f.Errors[v.Location] = append(f.Errors[v.Location], v.Message)
		if more > 0 && i == len(listed)-1 {
			f.Errors[v.Location] = append(f.Errors[v.Location], fmt.Sprintf("and %s more", thousands(int64(more))))
		}
	}
}

// A formField is a field with its value.
type formField struct{ name, value string }

// given returns the fields that are not empty, by name.
func (f NewJobForm) given() []formField {
	var out []formField
	for name, value := range f.fields() {
		if *value != "" {
			out = append(out, formField{name, *value})
		}
	}
	slices.SortFunc(out, func(a, b formField) int { return strings.Compare(a.name, b.name) })
	return out
}
