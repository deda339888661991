package views

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/allcores/allcores/internal/jobs"
)

// firstSource is the program of an empty form. Its tasks take some milliseconds
// each, so that its job gains from every core.
const firstSource = `def work(x):
    """Sum the squares of the numbers below 1,000 x."""
    return sum(n * n for n in range(1_000 * x))
`

// NewForm returns the form with its first values.
func NewForm() NewJobForm {
	return NewJobForm{
		JobFields:     JobFields{Queue: "cpu", Priority: "2"},
		Kind:          KindPython,
		PythonFields:  PythonFields{Source: firstSource, Function: "work", Call: jobs.CallValue},
		CommandFields: CommandFields{Output: jobs.OutputText},
		InputFields: InputFields{
			Inputs:      InputsRange,
			RangeFields: RangeFields{RangeStart: "0", RangeStop: "300", RangeStep: "1"},
			FileFields:  FileFields{FileFormat: FormatAuto, CSVColumn: "1", CSVHeader: "on"},
		},
	}
}

// FormOf returns a form that submits s again.
func FormOf(s jobs.Spec) NewJobForm {
	f := NewForm()
	f.Source, f.Function = "", ""
	f.Name, f.Tags = s.Name, strings.Join(s.Tags, " ")
	if s.Queue != "" {
		f.Queue = s.Queue
	}
	if s.Priority != 0 {
		f.Priority = strconv.Itoa(s.Priority)
	}
	f.setProgram(s.Program)
	f.setInputs(s.Inputs)
	f.setPolicy(s.Policy)
	return f
}

// FormOfJob returns a form that runs j again. Values that equal their defaults
// stay empty, so that they follow later defaults. inputs are j's inputs if they
// are few enough to edit; for nil the form offers to take the inputs from j.
func FormOfJob(j *jobs.Job, inputs *jobs.Inputs) NewJobForm {
	f := FormOf(jobs.Spec{
		Name: j.GivenName(), Program: j.Program, Queue: j.Queue, Priority: j.Priority, Policy: j.Policy, Tags: j.Tags,
	})
	if f.Function == lastFunction(f.Source) {
		f.Function = ""
	}
	f.From, f.FromName, f.FromCount = j.ID, j.Name, j.Counts.Total
	switch {
	case inputs != nil:
		f.setInputs(*inputs)
	case j.Inputs.Range != nil:
		f.setInputs(jobs.Inputs{Range: j.Inputs.Range})
	default:
		f.Inputs = InputsSame
	}
	return f
}

func (f *NewJobForm) setProgram(p jobs.Program) {
	if py := p.Python; py != nil {
		f.Kind, f.Source, f.Function, f.Interpreter = KindPython, py.Source, py.Function, py.Interpreter
		f.PythonEnv = envLines(py.Env)
		if py.Call != "" {
			f.Call = py.Call
		}
	}
	if c := p.Command; c != nil {
		f.Kind, f.Command, f.CommandEnv = KindCommand, joinWords(c.Argv), envLines(c.Env)
		if c.Stdin {
			f.Stdin = "on"
		}
		if c.Output != "" {
			f.Output = c.Output
		}
		if !slices.Equal(c.OKExitCodes, []int{0}) {
			f.OKExitCodes = strings.Trim(fmt.Sprint(c.OKExitCodes), "[]")
		}
	}
}

func (f *NewJobForm) setInputs(in jobs.Inputs) {
	switch {
	case in.Range != nil:
		f.Inputs = InputsRange
		f.RangeStart = strconv.FormatInt(in.Range.Start, 10)
		f.RangeStop = strconv.FormatInt(in.Range.Stop, 10)
		f.RangeStep = strconv.FormatInt(in.Range.Step, 10)
	case in.Lines != nil:
		f.Inputs, f.Lines = InputsLines, *in.Lines
	case in.Items != nil:
		f.Inputs, f.Items = InputsItems, itemsText(in.Items)
	}
}

// itemsText formats a JSON array on one line if short, else with one item per
// line.
func itemsText(items []json.RawMessage) string {
	line := "[" + string(bytes.Join(rawBytes(items), []byte(", "))) + "]"
	if len(line) <= 80 {
		return line
	}
	return "[\n  " + string(bytes.Join(rawBytes(items), []byte(",\n  "))) + "\n]"
}

func rawBytes(items []json.RawMessage) [][]byte {
	out := make([][]byte, len(items))
	for i, item := range items {
		out[i] = item
	}
	return out
}

func (f *NewJobForm) setPolicy(p jobs.Policy) {
	for field, n := range map[*string]*int{
		&f.Processes: p.Processes, &f.Threads: p.Threads, &f.CoresPerProcess: p.CoresPerProcess,
		&f.MaxTasks: p.MaxTasksPerProcess, &f.ChunkSize: p.ChunkSize, &f.MaxAttempts: p.MaxAttempts,
	} {
		if n != nil {
			*field = strconv.Itoa(*n)
		}
	}
	for field, text := range map[*string]*string{
		&f.Timeout: (*string)(p.Timeout), &f.RetryBackoff: (*string)(p.RetryBackoff),
		&f.MemoryLimit: (*string)(p.MemoryLimit), &f.MaxFailures: (*string)(p.MaxFailures),
	} {
		if text != nil {
			*field = *text
		}
	}
}

func envLines(env map[string]string) string {
	var lines []string
	for name, value := range env {
		lines = append(lines, name+"="+value)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
