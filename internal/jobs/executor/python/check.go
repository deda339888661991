package python

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor/process"
)

// checkResult is what a check found.
type checkResult []jobs.Violation

const (
	maxChecks    = 512             // results remembered
	checkTimeout = 5 * time.Second // of compiling one source
)

// Check compiles a program's source, never runs it, and says what is wrong with
// it: a syntax error, a function that the source does not have, or an
// interpreter that is missing or older than 3.8. What cannot be known without
// running the source is accepted. The error says why it could not be checked.
func (e *Executor) Check(ctx context.Context, p jobs.Python) ([]jobs.Violation, error) {
	name := p.Interpreter
	if name == "" {
		name = defaultInterpreter
	}
	interpreter, err := e.resolve(&p)
	if err != nil {
		why := "is not found on this node"
		if errors.Is(err, fs.ErrPermission) {
			why = "is not executable on this node"
		}
		return violation("interpreter", name+" "+why, name), nil
	}
	id := sha256.Sum256([]byte(interpreter + "\x00" + p.Function + "\x00" + p.Source))
	e.mu.Lock()
	found, ok := e.checks[id]
	e.mu.Unlock()
	if ok {
		return found, nil
	}

	select {
	case e.checking <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-e.checking }()
	found, err = e.check(ctx, interpreter, p)
	var unfit *unfitError
	switch {
	case errors.As(err, &unfit):
		// Not remembered: it may be installed in the meantime.
		return violation("interpreter", name+" "+unfit.Error(), name), nil
	case err != nil:
		return nil, fmt.Errorf("check source: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.checks[id]; !ok {
		e.checks[id] = found
		if e.checkOrder = append(e.checkOrder, id); len(e.checkOrder) > maxChecks {
			delete(e.checks, e.checkOrder[0])
			e.checkOrder = e.checkOrder[1:]
		}
	}
	return found, nil
}

func violation(field, message string, value any) []jobs.Violation {
	return []jobs.Violation{{Location: "program.python." + field, Message: message, Value: value}}
}

// unfitError says why an interpreter cannot be used.
type unfitError struct{ error }

// check asks the checker's process; checking must be held.
func (e *Executor) check(ctx context.Context, interpreter string, p jobs.Python) (checkResult, error) {
	if e.checker != nil && (e.checkerOf != interpreter || !e.checker.setIdle(false)) {
		old := e.checker
		e.checker = nil
		e.living.Go(old.retire)
	}
	if e.checker == nil {
		w, err := e.newChecker(ctx, interpreter, p)
		if err != nil {
			return nil, err
		}
		e.checker, e.checkerOf = w, interpreter
	}
	w := e.checker
	w.send(jsonFrame(frameCheck, map[string]string{"source": p.Source, "function": p.Function}))
	deadline := time.NewTimer(checkTimeout)
	defer deadline.Stop()
	drop := func() {
		e.checker = nil
		e.living.Go(w.destroy)
	}
	for {
		select {
		case <-w.more:
		case <-ctx.Done():
			drop()
			return nil, context.Cause(ctx)
		case <-deadline.C:
			drop()
			return violation("source", fmt.Sprintf("takes longer than %v to compile", checkTimeout), nil), nil
		}
		for _, event := range w.events() {
			switch {
			case event.exit != nil:
				drop()
				return violation("source", "makes Python's compiler fail: "+describeExit(event.exit.Status), nil), nil
			case event.kind == frameCheck:
				var found [][2]string
				if err := json.Unmarshal(event.body, &found); err != nil {
					drop()
					return nil, fmt.Errorf("read what Python found: %w", err)
				}
				var result checkResult
				for _, f := range found {
					result = append(result, jobs.Violation{Location: "program.python." + f[0], Message: f[1]})
				}
				w.setIdle(true)
				return result, nil
			}
		}
	}
}

// newChecker starts an interpreter that checks sources.
func (e *Executor) newChecker(ctx context.Context, interpreter string, p jobs.Python) (*worker, error) {
	// Without the program's own environment: the checker serves others too.
	w, err := e.spawn(process.Spec{Path: interpreter, Env: process.Environ(0)})
	if err != nil {
		if process.NotStarted(err) {
			return nil, &unfitError{errors.New("cannot be started on this node")}
		}
		return nil, err
	}
	if err := w.await(ctx); err != nil {
		e.living.Go(w.destroy)
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, &unfitError{err}
	}
	if len(p.Env) == 0 {
		e.learn(&p, w)
	}
	return w, nil
}
