package python

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// errNoMemory is the error of an interpreter that needs more than its memory
// limit only to start.
var errNoMemory = errors.New("does not start within its memory limit")

// startMemory is more than any interpreter needs to start, in bytes. One that does
// not start within a resource limit below that lacks memory, whatever its message.
const startMemory = 64 << 20

// helloTimeout is how long an interpreter may take to start: it may lie on a
// slow network disk.
const helloTimeout = 30 * time.Second

// awaitHello waits for the hello of a new process, which a cancellation kills.
func (w *worker) awaitHello(ctx context.Context) error {
	stop := context.AfterFunc(ctx, w.kill)
	defer stop()
	if err := w.hello(helloTimeout); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	return nil
}

// hello waits for the frame in which a new process reports its version and path.
func (w *worker) hello(timeout time.Duration) error {
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	var printed strings.Builder
	for {
		select {
		case <-w.inbox.more:
		case <-deadline.C:
			return fmt.Errorf("is not a Python interpreter: it does not answer")
		}
		events := w.inbox.take()
		for i, e := range events {
			switch {
			case e.log != nil && printed.Len() < 1000:
				printed.Write(e.log.text)
			case e.exit != nil:
				return w.noHello(e.exit, strings.TrimSpace(printed.String()))
			case e.kind == frameHello:
				w.version, w.interpreter, _ = strings.Cut(string(e.body), "\n")
				w.inbox.putBack(events[i+1:])
				if w.interpreter == "" {
					return fmt.Errorf("is Python %s; 3.8 or newer is needed", w.version)
				}
				return nil
			}
		}
	}
}

// noHello returns why a process ended before its hello.
func (w *worker) noHello(exit *exitInfo, printed string) error {
	if w.lackedMemory(exit) || w.memory > 0 && !w.process.Grouped() && w.memory < startMemory {
		return errNoMemory
	}
	if printed == "" {
		printed = describeExit(exit.Status)
	}
	return fmt.Errorf("is not a Python interpreter: %s", printed)
}

// lackedMemory reports whether the process ended because of its memory limit.
// Under a resource limit the program decides how it ends when it gets no more
// memory, so the limit counts as the cause when nearly all of it was used.
func (w *worker) lackedMemory(exit *exitInfo) bool {
	return exit.Exceeded || w.memory > 0 && !w.process.Grouped() && exit.Peak >= w.memory/10*9
}
