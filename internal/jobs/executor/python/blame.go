package python

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/process"
)

// A blame is which tasks may have caused the end of their process.
type blame struct {
	alone   int64   // the culprit, or -1
	running []int64 // else one of these is the culprit
	begun   int64   // else one of those below without an outcome is; -1 where none is
}

// blame decides which tasks may have caused the end of the process. Where the only
// possible culprit had ended before, it says so in the failure.
func (s *session) blame(exit *exitInfo, failure *jobs.TaskError, high int64) blame {
	if s.ctx.Err() != nil || s.err != nil {
		return blame{alone: -1, begun: -1}
	}
	var running []int64
	for i := range s.watch.seen {
		if m := s.running(i); m >= 0 && !slices.Contains(running, m) {
			running = append(running, m)
		}
	}
	switch {
	case s.watch.broke != "" && failure.Kind == jobs.KindCrash:
		// Not the running task, but one before it, may have written what was read.
	case exit.Status.Exited() && exit.Status.ExitStatus() == statusBroken:
		// Not the running task, but one before it, may have broken the runner.
	case s.watch.overdue.culprit >= 0:
		return blame{alone: s.watch.overdue.culprit, begun: -1}
	case len(running) == 1:
		return blame{alone: running[0], begun: -1}
	case len(running) > 0:
		return blame{alone: -1, running: running, begun: -1}
	}
	// While no task runs, one that has begun may still be the culprit: it closed
	// what the process needs, or left something behind.
	if !s.w.loaded || s.accident(exit, failure) {
		return blame{alone: -1, begun: -1}
	}
	only, n := s.unfinished(high)
	if n != 1 {
		return blame{alone: -1, begun: high}
	}
	if failure.Kind == jobs.KindCrash && s.watch.broke == "" {
		failure.Message = "the process died after the task: " + describeExit(exit.Status)
	}
	return blame{alone: only, begun: -1}
}

// accident reports whether the process may have been killed from outside, which is
// no failure of its program unless it happens again and again.
func (s *session) accident(exit *exitInfo, failure *jobs.TaskError) bool {
	return killedFromOutside(exit) && failure.Kind == jobs.KindCrash && s.watch.broke == "" && !s.watch.load.slow && s.deaths+1 < maxDeaths
}

// reached returns the number below which tasks have begun. Where the process cannot
// be trusted in that, or too many have died before they showed a task, it is the end
// of the first chunk in flight.
func (s *session) reached() int64 {
	high := s.high()
	if len(s.chunks.List) == 0 || !s.w.loaded || high > s.chunks.List[0].base {
		return high
	}
	if s.watch.broke != "" || s.deaths+1 >= maxDeaths {
		return s.chunks.List[0].end
	}
	return high
}

// unfinished counts the tasks below a number that the process has and that have no
// outcome, and returns the last of them.
func (s *session) unfinished(below int64) (last int64, n int) {
	for _, c := range s.chunks.List {
		for i := c.base; i < min(c.cut(), below); i++ {
			if !c.has(i) {
				last = i
				n++
			}
		}
	}
	return last, n
}

// verdict returns the failure of the task that caused the end of its process.
func (s *session) verdict(exit *exitInfo) *jobs.TaskError {
	status := exit.Status
	switch {
	case s.watch.overdue.culprit >= 0 || s.watch.overdue.stuck:
		return &jobs.TaskError{
			Kind: jobs.KindTimeout, Type: "timeout",
			Message: fmt.Sprintf("still running after %v", s.lane.Timeout),
		}
	case s.watch.broke != "":
		return &jobs.TaskError{Kind: jobs.KindCrash, Type: "protocol", Message: s.watch.broke}
	case s.w.lackedMemory(exit):
		return &jobs.TaskError{
			Kind: jobs.KindMemory, Type: exitType(exit),
			Message: fmt.Sprintf("it reached %s: %s", executor.MemoryLimit(s.w.memory, s.w.process.Grouped()), describeExit(status)),
		}
	}
	return &jobs.TaskError{
		Kind: jobs.KindCrash, Type: exitType(exit),
		Message: "the process died under the task: " + describeExit(status), Traceback: stackOf(exit, s.w.shared.trace()),
	}
}

// spent returns for how long a task was seen running.
func (s *session) spent(number int64) time.Duration {
	for _, s := range s.watch.seen {
		if s.number == number && !s.since.IsZero() {
			return time.Since(s.since)
		}
	}
	return 0
}

// stackOf returns where the process was when a signal came that faulthandler
// catches: the innermost call first, down to the program's function.
func stackOf(exit *exitInfo, trace string) string {
	if !exit.Status.Signaled() {
		return ""
	}
	switch exit.Status.Signal() {
	case syscall.SIGSEGV, syscall.SIGFPE, syscall.SIGABRT, syscall.SIGBUS, syscall.SIGILL:
	default:
		return ""
	}
	const head = "Stack (most recent call first):\n"
	_, trace, found := strings.Cut(trace[max(strings.LastIndex(trace, head), 0):], head)
	if !found {
		return ""
	}
	var b strings.Builder
	for line := range strings.Lines(trace) {
		if !strings.HasPrefix(line, "  File ") || strings.Contains(line, "/allcores_runner/") {
			break
		}
		b.WriteString(line)
	}
	if b.Len() == 0 {
		return "" // no Python code was running
	}
	return head + b.String()
}

// killedFromOutside reports whether the process was killed by SIGKILL, which a
// program hardly sends to itself.
func killedFromOutside(exit *exitInfo) bool {
	return exit.Status.Signaled() && exit.Status.Signal() == syscall.SIGKILL
}

func exitType(exit *exitInfo) string {
	if exit.Status.Signaled() {
		return process.SignalName(exit.Status.Signal())
	}
	return fmt.Sprintf("exit %d", exit.Status.ExitStatus())
}
