package jobs

import (
	"path/filepath"
	"strings"
)

// A Program runs for each input of a job. Exactly one of its fields is set.
type Program struct {
	Python  *Python  `json:"python,omitempty"`
	Command *Command `json:"command,omitempty"`
}

// How a Python function receives its input.
const (
	CallValue  = "value"  // f(input)
	CallArgs   = "args"   // f(*input)
	CallKwargs = "kwargs" // f(**input)
)

// Python is a program that calls one function of a module given as source.
type Python struct {
	Source      string            `json:"source" doc:"A Python module, run once in each worker process." minLength:"1" maxLength:"1048576"`
	Function    string            `json:"function" doc:"Name of a top-level function of the source." minLength:"1" maxLength:"255"`
	Call        string            `json:"call,omitempty" enum:"value,args,kwargs" default:"value" doc:"value: f(input); args: f(*input); kwargs: f(**input)."`
	Env         map[string]string `json:"env,omitempty" doc:"Environment variables for the worker process."`
	Interpreter string            `json:"interpreter,omitempty" doc:"Python 3.8 or newer on the node, a name or a path; default python3." maxLength:"4096"`
}

// Forms of a command's output.
const (
	OutputText  = "text"  // a string, one trailing newline removed
	OutputJSON  = "json"  // the JSON value that it printed
	OutputLines = "lines" // an array of strings
)

// Command is a program that starts one process per task. It involves no shell
// unless Argv names one.
type Command struct {
	Argv        []string          `json:"argv" doc:"The program and its arguments; {} {#} {.} {/} {//} {/.} are replaced. No shell is involved unless argv names it; its script must take the input as an argument, not contain it: sh -c 'sort \"$1\"' sh {}." minItems:"1" maxItems:"1000" nullable:"false"`
	Stdin       bool              `json:"stdin,omitempty" doc:"Write the input to standard input."`
	Env         map[string]string `json:"env,omitempty" doc:"Environment variables for the process."`
	Output      string            `json:"output,omitempty" enum:"text,json,lines" default:"text" doc:"Form of the output. A task fails whose standard output is larger than 1 MiB, not UTF-8, or, for json, not a JSON value."`
	OKExitCodes []int             `json:"ok_exit_codes,omitempty" doc:"Exit codes that mean success; default: only 0." maxItems:"256"`
}

// Kind returns "python" or "command".
func (p Program) Kind() string {
	switch {
	case p.Python != nil:
		return "python"
	case p.Command != nil:
		return "command"
	}
	return ""
}

// Title returns one line that describes the program: a call or an argv.
func (p Program) Title() string {
	switch {
	case p.Python != nil:
		arg := map[string]string{CallArgs: "*input", CallKwargs: "**input"}[p.Python.Call]
		if arg == "" {
			arg = "input"
		}
		return p.Python.Function + "(" + arg + ")"
	case p.Command != nil:
		return strings.Join(p.Command.Argv, " ")
	}
	return ""
}

// SearchText returns the text that searches match: the function's name, or the
// arguments.
func (p Program) SearchText() string {
	if p.Python != nil {
		return p.Python.Function
	}
	return p.Title()
}

// withDefaults returns p with its defaults.
func (p Program) withDefaults() Program {
	if p.Python != nil {
		python := *p.Python
		if python.Call == "" {
			python.Call = CallValue
		}
		p.Python = &python
	}
	if p.Command != nil {
		command := *p.Command
		if command.Output == "" {
			command.Output = OutputText
		}
		if len(command.OKExitCodes) == 0 {
			command.OKExitCodes = []int{0}
		}
		p.Command = &command
	}
	return p
}

// defaultName returns the name of a job submitted without one.
func (p Program) defaultName() string {
	switch {
	case p.Python != nil:
		return p.Python.Function
	case p.Command != nil && len(p.Command.Argv) > 0:
		return filepath.Base(p.Command.Argv[0])
	}
	return "job"
}
