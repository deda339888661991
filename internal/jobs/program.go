package jobs

import (
	"path/filepath"
	"strings"
)

// A Program is what a job runs for each input: exactly one of its fields is set.
type Program struct {
	Python  *Python  `json:"python,omitempty"`
	Command *Command `json:"command,omitempty"`
}

// How a Python function takes its input.
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

// What a command's standard output becomes.
const (
	OutputText  = "text"  // a string, one trailing newline removed
	OutputJSON  = "json"  // the JSON value it printed
	OutputLines = "lines" // an array of strings
)

// Command is a program that starts one process a task. No shell is involved
// unless Argv names one.
type Command struct {
	Argv        []string          `json:"argv" doc:"The program and its arguments; {} {#} {.} {/} {//} {/.} are replaced. No shell is involved unless it is named; its script must not have the input in it, but take it as an argument: sh -c 'sort \"$1\"' sh {}." minItems:"1" maxItems:"1000" nullable:"false"`
	Stdin       bool              `json:"stdin,omitempty" doc:"Write the input to standard input."`
	Env         map[string]string `json:"env,omitempty" doc:"Environment variables for the process."`
	Output      string            `json:"output,omitempty" enum:"text,json,lines" default:"text" doc:"What standard output becomes. A task whose output is larger than 1 MiB, is not UTF-8, or is no JSON value where one is asked for, fails."`
	OKExitCodes []int             `json:"ok_exit_codes,omitempty" doc:"Exit codes that mean success; default 0 alone." maxItems:"256"`
}

// Kind is the program's word: "python" or "command".
func (p Program) Kind() string {
	switch {
	case p.Python != nil:
		return "python"
	case p.Command != nil:
		return "command"
	}
	return ""
}

// Title is a line that tells the program to a reader: a call or an argv.
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

// SearchText is what words of a search are looked for in: the function's name, or
// the arguments.
func (p Program) SearchText() string {
	if p.Python != nil {
		return p.Python.Function
	}
	return p.Title()
}

// withDefaults fills in what was left out.
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

// defaultName is the name of a job that was given none.
func (p Program) defaultName() string {
	switch {
	case p.Python != nil:
		return p.Python.Function
	case p.Command != nil && len(p.Command.Argv) > 0:
		return filepath.Base(p.Command.Argv[0])
	}
	return "job"
}
