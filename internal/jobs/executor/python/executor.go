package python

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/cgroup"
)

// Options configure an Executor. The zero value is usable.
type Options struct {
	Logger  *slog.Logger  // for errors that no caller gets; default slog.Default()
	Keep    time.Duration // how long an idle process is kept; default 10 s
	MaxUses int           // how many sessions a process serves; default 100,000
	Groups  *cgroup.Tree  // to hold memory limits; nil to limit each process by itself
}

// An Executor runs Python programs. Close must be called.
type Executor struct {
	*launcher
	pool    *pool
	checker *checker
}

// New makes an executor. It starts no process before it is needed; see Warm.
func New(o Options) *Executor {
	l := &launcher{log: o.Logger, groups: o.Groups, bounds: usualBounds, interpreters: make(map[string]string)}
	if l.log == nil {
		l.log = slog.Default()
	}
	p := &pool{launcher: l, keep: o.Keep, maxUses: o.MaxUses}
	if p.keep == 0 {
		p.keep = 10 * time.Second
	}
	if p.maxUses == 0 {
		p.maxUses = 100_000
	}
	return &Executor{launcher: l, pool: p, checker: newChecker(l)}
}

// Warm starts, in the background, the interpreter that the first new program
// takes over, so that the program need not wait for one to start.
func (e *Executor) Warm() { e.pool.respare() }

// Close ends all processes that no session is using and returns when they are
// gone. Sessions must have ended.
func (e *Executor) Close() {
	var closing sync.WaitGroup
	closing.Go(e.pool.close)
	closing.Go(e.checker.close)
	closing.Wait()
	e.living.Wait()
}

// Run runs the chunks of a turn, as executor.Executor requires.
func (e *Executor) Run(ctx context.Context, lane executor.Lane, in <-chan executor.Chunk, send func(executor.Update)) error {
	if lane.Program.Python == nil {
		return errors.New("not a Python program")
	}
	lane.Threads = min(max(lane.Threads, 1), maxThreads)
	return run(ctx, e.pool, lane, in, send)
}
