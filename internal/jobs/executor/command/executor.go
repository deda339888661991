package command

import (
	"context"
	"errors"
	"io/fs"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/cgroup"
	"github.com/allcores/allcores/internal/jobs/executor/process"
)

// An Executor runs commands. The zero value is ready.
type Executor struct {
	Groups *cgroup.Tree // to hold memory limits; nil to limit each process by itself
}

// Run runs the chunks of a turn, as executor.Executor requires.
func (e *Executor) Run(ctx context.Context, lane executor.Lane, in <-chan executor.Chunk, send func(executor.Update)) error {
	if program := lane.Program.Command; program == nil || len(program.Argv) == 0 {
		return errors.New("not a command")
	}
	p, err := newPlan(lane, e.Groups)
	return run(ctx, p, err, in, send)
}

// Check lists what is wrong with a command on this node: its program does not
// exist or is not executable. It accepts a program whose name depends on the input.
func (e *Executor) Check(_ context.Context, p jobs.Command) ([]jobs.Violation, error) {
	if len(p.Argv) == 0 || !parse(p.Argv, p.Stdin).literal() {
		return nil, nil
	}
	if _, err := process.Look(p.Argv[0], process.Path(p.Env)); err != nil {
		return []jobs.Violation{{Location: "program.command.argv[0]", Message: notFound(p.Argv[0], err).Message, Value: p.Argv[0]}}, nil
	}
	return nil, nil
}

func notFound(name string, err error) *jobs.TaskError {
	if errors.Is(err, fs.ErrPermission) {
		return &jobs.TaskError{Kind: jobs.KindExit, Type: "not executable", Message: name + ": it is not an executable file"}
	}
	return &jobs.TaskError{Kind: jobs.KindExit, Type: "not found", Message: name + ": no such command on this node; a file must be given by its absolute path"}
}

// A plan is shared by all commands of a session.
type plan struct {
	lane     executor.Lane
	program  *jobs.Command
	template template
	path     string // of the executable, where it is the same for every task
	lookPath string // the commands' PATH
	env      []string
	groups   *cgroup.Tree
}

// newPlan prepares a lane's commands. The error is a *executor.LoadError when
// this node lacks the program.
func newPlan(lane executor.Lane, groups *cgroup.Tree) (*plan, error) {
	program := lane.Program.Command
	p := &plan{
		lane: lane, program: program, groups: groups,
		template: parse(program.Argv, program.Stdin),
		lookPath: process.Path(program.Env),
		env:      process.Environ(lane.CoreCount, program.Env, lane.Environ()),
	}
	if !p.template.literal() {
		return p, nil
	}
	path, err := process.Look(program.Argv[0], p.lookPath)
	if err != nil {
		return p, &executor.LoadError{TaskError: *notFound(program.Argv[0], err)}
	}
	p.path = path
	return p, nil
}
