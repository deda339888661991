package python

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor/process"
)

const (
	maxChecks    = 512             // results remembered
	checkTimeout = 5 * time.Second // of compiling one source
)

// A checker compiles sources in a process of its own, one at a time.
type checker struct {
	*launcher
	busy chan struct{} // held while the process is used

	w           *worker // nil when there is none; busy must be held
	interpreter string  // of w

	results checkResults
}

// checkResults remembers what the last maxChecks checks found.
type checkResults struct {
	mu    sync.Mutex
	found map[[sha256.Size]byte][]jobs.Violation
	order [][sha256.Size]byte
}

func newChecker(l *launcher) *checker {
	return &checker{
		launcher: l, busy: make(chan struct{}, 1),
		results: checkResults{found: make(map[[sha256.Size]byte][]jobs.Violation)},
	}
}

// Check compiles a program's source, never runs it, and lists what is wrong with
// it: a syntax error, a function that the source does not have, or an interpreter
// that is missing or older than 3.8. It accepts what it cannot know without running
// the source. The error is why it could not check.
func (e *Executor) Check(ctx context.Context, p jobs.Python) ([]jobs.Violation, error) {
	return e.checker.check(ctx, p)
}

func (c *checker) check(ctx context.Context, p jobs.Python) ([]jobs.Violation, error) {
	name := interpreterOf(&p)
	interpreter, err := c.resolve(&p)
	if err != nil {
		why := "is not found on this node"
		if errors.Is(err, fs.ErrPermission) {
			why = "is not executable on this node"
		}
		return violation("interpreter", name+" "+why, name), nil
	}
	id := sha256.Sum256([]byte(interpreter + "\x00" + p.Function + "\x00" + p.Source))
	if found, ok := c.results.get(id); ok {
		return found, nil
	}
	select {
	case c.busy <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-c.busy }()
	found, err := c.compile(ctx, interpreter, p)
	var unfit *unfitError
	switch {
	case errors.As(err, &unfit):
		// Not remembered: it may be installed in the meantime.
		return violation("interpreter", name+" "+unfit.Error(), name), nil
	case err != nil:
		return nil, fmt.Errorf("check source: %w", err)
	}
	c.results.put(id, found)
	return found, nil
}

func (r *checkResults) get(id [sha256.Size]byte) (found []jobs.Violation, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	found, ok = r.found[id]
	return found, ok
}

func (r *checkResults) put(id [sha256.Size]byte, found []jobs.Violation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.found[id]; ok {
		return
	}
	r.found[id] = found
	if r.order = append(r.order, id); len(r.order) > maxChecks {
		delete(r.found, r.order[0])
		r.order = r.order[1:]
	}
}

func violation(field, message string, value any) []jobs.Violation {
	return []jobs.Violation{{Location: "program.python." + field, Message: message, Value: value}}
}

// unfitError is why an interpreter cannot be used.
type unfitError struct{ error }

// compile has the checker's process compile a source. busy must be held.
func (c *checker) compile(ctx context.Context, interpreter string, p jobs.Python) ([]jobs.Violation, error) {
	if err := c.prepare(ctx, interpreter, p); err != nil {
		return nil, err
	}
	w := c.w
	w.outbox.send(jsonFrame(frameCheck, map[string]string{"source": p.Source, "function": p.Function}))
	deadline := time.NewTimer(checkTimeout)
	defer deadline.Stop()
	for {
		select {
		case <-w.inbox.more:
		case <-ctx.Done():
			c.drop()
			return nil, context.Cause(ctx)
		case <-deadline.C:
			c.drop()
			return violation("source", fmt.Sprintf("takes longer than %v to compile", checkTimeout), nil), nil
		}
		for _, event := range w.inbox.take() {
			switch {
			case event.exit != nil:
				c.drop()
				return violation("source", "makes Python's compiler fail: "+describeExit(event.exit.Status), nil), nil
			case event.kind == frameCheck:
				return c.answer(event.body)
			}
		}
	}
}

// answer reads what the process found, and leaves the process idle.
func (c *checker) answer(body []byte) (result []jobs.Violation, err error) {
	var found [][2]string
	if err := json.Unmarshal(body, &found); err != nil {
		c.drop()
		return nil, fmt.Errorf("read what Python found: %w", err)
	}
	for _, f := range found {
		result = append(result, jobs.Violation{Location: "program.python." + f[0], Message: f[1]})
	}
	c.w.setIdle(true)
	return result, nil
}

// prepare makes the checker's process one of the interpreter.
func (c *checker) prepare(ctx context.Context, interpreter string, p jobs.Python) error {
	if c.w != nil && (c.interpreter != interpreter || !c.w.setIdle(false)) {
		c.living.Go(c.w.retire)
		c.w = nil
	}
	if c.w != nil {
		return nil
	}
	w, err := c.start(ctx, interpreter, p)
	if err != nil {
		return err
	}
	c.w, c.interpreter = w, interpreter
	return nil
}

// drop ends the checker's process.
func (c *checker) drop() {
	c.living.Go(c.w.destroy)
	c.w = nil
}

// start starts an interpreter that checks sources.
func (c *checker) start(ctx context.Context, interpreter string, p jobs.Python) (*worker, error) {
	// Without the program's own environment: the checker serves others too.
	w, err := c.spawn(process.Spec{Path: interpreter, Env: process.Environ(0)})
	if err != nil {
		if process.NotStarted(err) {
			return nil, &unfitError{errors.New("cannot be started on this node")}
		}
		return nil, err
	}
	if err := w.awaitHello(ctx); err != nil {
		c.living.Go(w.destroy)
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, &unfitError{err}
	}
	if len(p.Env) == 0 {
		c.learn(&p, w)
	}
	return w, nil
}

// close retires the checker's process once it is not used, and waits for its end.
func (c *checker) close() {
	c.busy <- struct{}{}
	defer func() { <-c.busy }()
	if c.w != nil {
		c.w.retire()
		c.w = nil
	}
}
