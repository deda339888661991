package python

import (
	"fmt"
	"slices"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// statusBroken is the exit status of a runner that cannot go on, as in runner.
const statusBroken = 70

// statusStale is the exit status of a runner that cannot be as new for another job
// than the one before: that left something behind, or the program cannot be loaded
// twice in one process.
const statusStale = 71

// maxDeaths is how many processes may end one after the other with no task running
// and none done.
const maxDeaths = 3

// exited decides what the end of the process means for the tasks in flight. Chunks
// that it had not begun go to another process.
func (s *session) exited(exit *exitInfo) {
	w := s.w
	for _, l := range w.shared.unsent(w.logged) {
		w.lines.add(false, s.dated(l), s.log)
	}
	w.lines.finish(w.next, s.log)
	failure := s.verdict(exit)
	stale := w.uses > 1 && !w.loaded && exit.Status.Exited() && exit.Status.ExitStatus() == statusStale
	high := s.reached()
	blame := s.blame(exit, failure, high)
	s.exitError(exit, failure, stale)
	progress := s.divide(exit, failure, blame, high)
	s.w, s.settleAt = nil, time.Time{}
	s.pool.living.Go(w.bury)
	switch {
	case progress:
		s.deaths = 0
	case stale:
		// No task is the cause.
	default:
		s.deaths++
	}
	if s.deaths >= maxDeaths && s.mayGoOn() {
		s.err = &executor.LoadError{TaskError: jobs.TaskError{
			Kind: failure.Kind, Type: failure.Type,
			Message: fmt.Sprintf("the process ended %d times before a task began: %s", s.deaths, describeExit(exit.Status)),
		}}
	}
	if len(s.chunks.List) > 0 && s.mayGoOn() && s.start() {
		for _, c := range s.chunks.List {
			c.Begun = time.Time{}
			s.send(c)
		}
	}
}

// mayGoOn reports whether the session has neither failed nor been cancelled.
func (s *session) mayGoOn() bool { return s.err == nil && s.ctx.Err() == nil }

// exitError sets the session's error where the end of the process is one.
func (s *session) exitError(exit *exitInfo, failure *jobs.TaskError, stale bool) {
	switch loaded := s.w.loaded; {
	case !s.mayGoOn():
	case !loaded && (stale || s.accident(exit, failure)):
		// Another process loads the program.
	case !loaded:
		s.err = s.loadDeath(exit, failure)
	case exit.err != nil:
		s.err = fmt.Errorf("run Python: %w", exit.err)
	}
}

// divide ends the chunks of a process that has ended, except those that it had not
// begun. high is the number below which tasks have begun. It reports whether
// the process had got anywhere.
func (s *session) divide(exit *exitInfo, failure *jobs.TaskError, b blame, high int64) bool {
	progress := s.chunk(b.alone) != nil || len(b.running) > 0
	for _, c := range slices.Clone(s.chunks.List) {
		if s.mayGoOn() && !c.Over && high <= c.base && c.received == 0 {
			continue
		}
		progress = progress || c.received > 0
		if s.chunk(b.alone) == c {
			c.addOne(outcome{number: b.alone, spent: s.spent(b.alone), failed: true, line: outcomes.AppendFailure(nil, failure)})
		}
		progress = s.abandon(c, b, exit) || progress
	}
	return progress
}

// loadDeath returns the error of a program whose process ended while it loaded.
func (s *session) loadDeath(exit *exitInfo, failure *jobs.TaskError) error {
	e := jobs.TaskError{
		Kind: failure.Kind, Type: failure.Type, Traceback: failure.Traceback,
		Message: "the process ended while the program was loaded: " + describeExit(exit.Status),
	}
	switch {
	case s.watch.load.slow:
		e = jobs.TaskError{Kind: jobs.KindTimeout, Type: "timeout", Message: loadTimeout(s.lane.Timeout)}
	case s.watch.broke != "":
		e.Message = s.watch.broke + ", while the program was loaded"
	case failure.Kind == jobs.KindMemory:
		e.Message = "the process ended while the program was loaded: " + failure.Message
	}
	return &executor.LoadError{TaskError: e}
}

// loadTimeout returns the message of a program that loads for too long.
func loadTimeout(timeout time.Duration) string {
	text := fmt.Sprintf("the program was still loading after %v", loadLimit(timeout))
	switch {
	case timeout <= 0:
		return text + "; a longer timeout of its tasks is the limit of loading, too"
	case timeout < shortLoad:
		return text + fmt.Sprintf("; loading may take as long as a task, %v, but at least %v", timeout, shortLoad)
	}
	return text + ", the timeout of its tasks"
}

// abandon ends a chunk whose process has ended: outcomes are kept, tasks that ran
// and may be to blame are suspects, those that had begun are lost, the rest goes
// back. It reports whether any is lost.
func (s *session) abandon(c *chunk, b blame, exit *exitInfo) bool {
	var suspects []int64
	suspect := make(map[int64]bool)
	for _, n := range b.running {
		if n >= c.base && n < c.cut() {
			suspects = append(suspects, c.index(n))
			suspect[n] = true
		}
	}
	begun := c.First
	if c.end > 0 { // it was sent to the process
		begun = c.index(b.begun)
	}
	lost, back := cutSpans(c.missing(suspect), begun)
	s.chunks.End(c, executor.Update{
		Outcomes: c.outcomes(), Back: back, Suspects: suspects, Lost: lost, Usage: s.usageAtExit(c, exit),
	})
	return len(lost) > 0
}

// usageAtExit returns what a chunk took whose process has ended.
func (s *session) usageAtExit(c *chunk, exit *exitInfo) (usage executor.Usage) {
	if now := time.Now(); !c.Begun.IsZero() {
		usage = executor.Usage{
			StartedAt: c.Begun, FinishedAt: now,
			User: max(exit.User-s.w.user, 0), System: max(exit.System-s.w.system, 0),
			InTasks: now.Sub(c.Begun), PeakMemory: exit.Peak,
		}
	}
	s.w.user, s.w.system = exit.User, exit.System
	return usage
}

// cutSpans divides ascending spans into what is before an index and the rest.
func cutSpans(spans []executor.Span, at int64) (before, after []executor.Span) {
	for _, s := range spans {
		if n := min(max(at-s.First, 0), int64(s.Count)); n > 0 {
			before = append(before, executor.Span{First: s.First, Count: int(n)})
			s.First, s.Count = s.First+n, s.Count-int(n)
		}
		if s.Count > 0 {
			after = append(after, s)
		}
	}
	return before, after
}
