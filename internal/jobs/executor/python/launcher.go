package python

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor/cgroup"
	"github.com/allcores/allcores/internal/jobs/executor/process"
)

const defaultInterpreter = "python3"

// A launcher starts workers and waits for their end.
type launcher struct {
	log    *slog.Logger
	groups *cgroup.Tree
	bounds bounds
	onRead func()         // see receiver
	living sync.WaitGroup // workers, and what starts or ends them

	mu           sync.Mutex
	interpreters map[string]string // path of an interpreter's name, to the path that it reports
}

// spawn starts a process that Close waits for.
func (l *launcher) spawn(s process.Spec) (*worker, error) {
	s.Groups = l.groups
	w, err := spawn(s, l.bounds.frame, l.onRead)
	if err != nil {
		return nil, fmt.Errorf("start Python: %w", err)
	}
	l.living.Go(func() { <-w.gone })
	return w, nil
}

// newSpare starts an interpreter without a program, for the time idle.
func (l *launcher) newSpare() (*worker, error) {
	p := &jobs.Python{}
	interpreter, err := l.resolve(p)
	if err != nil {
		return nil, err
	}
	w, err := l.spawn(process.Spec{Path: interpreter, Env: process.Environ(0)})
	if err != nil {
		return nil, err
	}
	if err := w.awaitHello(context.Background()); err != nil {
		w.destroy()
		return nil, err
	}
	l.learn(p, w)
	if !w.setIdle(true) {
		w.retire()
		return nil, errors.New("the interpreter ended")
	}
	return w, nil
}

// resolve finds the interpreter of a program. Names often lead to a launcher
// script; once a process has reported its own path, that is used.
func (l *launcher) resolve(p *jobs.Python) (string, error) {
	name := interpreterOf(p)
	path, err := process.Look(name, process.Path(p.Env))
	if err != nil {
		return "", fmt.Errorf("python interpreter %s: %w", name, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if real, ok := l.interpreters[path]; ok && sparable(&jobs.Python{Env: p.Env}) {
		if _, err := process.Look(real, ""); err == nil {
			return real, nil
		}
	}
	return path, nil
}

// learn remembers where the interpreter that the program names really is.
func (l *launcher) learn(p *jobs.Python, w *worker) {
	if !sparable(&jobs.Python{Env: p.Env}) {
		return
	}
	path, err := process.Look(interpreterOf(p), process.Path(p.Env))
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.interpreters[path] = w.interpreter
}

// interpreterOf returns the name of a program's interpreter.
func interpreterOf(p *jobs.Python) string {
	if p.Interpreter == "" {
		return defaultInterpreter
	}
	return p.Interpreter
}

// sparable reports whether a program can use an interpreter that was started
// before the program was known.
func sparable(p *jobs.Python) bool {
	if p.Interpreter != "" && p.Interpreter != defaultInterpreter {
		return false
	}
	for name := range p.Env {
		// These act when a process starts.
		for _, prefix := range []string{"PYTHON", "LD_", "DYLD_", "MALLOC_", "GLIBC_", "PATH", "LC_", "LANG", "PYENV", "TZ"} {
			if strings.HasPrefix(name, prefix) {
				return false
			}
		}
	}
	return true
}
