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
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// statusBroken is the exit status of a runner that cannot go on, as in runner.
const statusBroken = 70

// statusStale is the exit status of a runner that cannot be as new for another job
// than the one before: that left something behind, or the program cannot be loaded
// twice in one process.
const statusStale = 71

// exited finds out what the end of the process means for the tasks in flight.
func (t *session) exited(exit *exitInfo) {
	w := t.w
	cells := w.shared
	for _, l := range cells.unsent(w.logged) {
		w.printedLines(false, t.dated(l), t.log)
	}
	w.finishLines(w.next, t.log)
	high := t.begun()
	failure := t.verdict(exit)
	accident := t.accident(exit, failure)
	blame := t.blame(exit, failure, high)
	stale := w.turns > 1 && !w.loaded && exit.Status.Exited() && exit.Status.ExitStatus() == statusStale
	if t.err == nil && t.ctx.Err() == nil {
		switch {
		case stale:
			// Another process loads the program.
		case !w.loaded && accident:
			// That says nothing of the program: another process loads it again.
		case !w.loaded:
			t.err = t.loadDeath(exit, failure)
		case exit.err != nil:
			t.err = fmt.Errorf("run Python: %w", exit.err)
		}
	}
	progress := t.chunk(blame.alone) != nil || len(blame.inHand) > 0
	var waiting []*chunk
	for _, c := range t.flight {
		if t.err == nil && t.ctx.Err() == nil && !c.over && high <= c.base && c.received == 0 {
			waiting = append(waiting, c)
			continue
		}
		progress = progress || c.received > 0
		if t.chunk(blame.alone) == c {
			c.addOne(outcome{number: blame.alone, spent: t.spent(blame.alone), failed: true, line: outcomes.AppendFailure(nil, failure)})
		}
		progress = t.abandon(c, blame, exit) || progress
	}
	t.flight = waiting
	t.w = nil
	t.e.living.Go(w.bury)
	if progress {
		t.deaths = 0
	} else if stale {
		// No task is the reason.
	} else if t.deaths++; t.deaths >= maxDeaths && t.err == nil && t.ctx.Err() == nil {
		t.err = &executor.LoadError{TaskError: jobs.TaskError{
			Kind: failure.Kind, Type: failure.Type,
			Message: fmt.Sprintf("the process ended %d times before a task began: %s", t.deaths, describeExit(exit.Status)),
		}}
	}
	if len(t.flight) > 0 && t.err == nil && t.ctx.Err() == nil && t.start() {
		for _, c := range t.flight {
			c.begun = time.Time{}
			t.send(c)
		}
	}
}

// loadDeath is why a program cannot be loaded whose process ended meanwhile.
func (t *session) loadDeath(exit *exitInfo, failure *jobs.TaskError) error {
	e := jobs.TaskError{
		Kind: failure.Kind, Type: failure.Type, Traceback: failure.Traceback,
		Message: "the process ended while the program was loaded: " + describeExit(exit.Status),
	}
	switch {
	case t.slow:
		e = jobs.TaskError{Kind: jobs.KindTimeout, Type: "timeout", Message: loadTimeout(t.lane.Timeout)}
	case t.broke != "":
		e.Message = t.broke + ", while the program was loaded"
	case failure.Kind == jobs.KindMemory:
		e.Message = "the process ended while the program was loaded: " + failure.Message
	}
	return &executor.LoadError{TaskError: e}
}

// loadTimeout is the message of a program that loads for too long.
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

// A blame is which tasks may be the reason for the end of their process.
type blame struct {
	alone  int64   // the one that is, or -1
	inHand []int64 // else those of which one is
	begun  int64   // else it is one of those below that have no outcome; -1 where none is
}

// blame finds out which tasks may be the reason for the end of the process. Of
// the last one that can be it tells in the failure if it had ended before.
func (t *session) blame(exit *exitInfo, failure *jobs.TaskError, high int64) blame {
	if t.ctx.Err() != nil || t.err != nil {
		return blame{alone: -1, begun: -1}
	}
	var inHand []int64
	for i := range t.seen {
		if m := t.inHand(i); m >= 0 && !slices.Contains(inHand, m) {
			inHand = append(inHand, m)
		}
	}
	switch {
	case t.broke != "" && failure.Kind == jobs.KindCrash:
		// It need not be the one in hand that wrote what was read by now.
	case exit.Status.Exited() && exit.Status.ExitStatus() == statusBroken:
		// Whatever it was that a task broke, it need not be the one in hand.
	case t.culprit >= 0:
		return blame{alone: t.culprit, begun: -1}
	case len(inHand) == 1:
		return blame{alone: inHand[0], begun: -1}
	case len(inHand) > 0:
		return blame{alone: -1, inHand: inHand, begun: -1}
	}
	// With no task in hand, one that has begun may still be the reason: it closed
	// what the process needs, or left something behind.
	if !t.w.loaded || t.accident(exit, failure) {
		return blame{alone: -1, begun: -1}
	}
	only, n := t.unfinished(high)
	if n != 1 {
		return blame{alone: -1, begun: high}
	}
	if failure.Kind == jobs.KindCrash && t.broke == "" {
		failure.Message = "the process died after the task: " + describeExit(exit.Status)
	}
	return blame{alone: only, begun: -1}
}

// accident reports whether the process may have been killed by somebody else,
// which says nothing of its program unless it comes again and again.
func (t *session) accident(exit *exitInfo, failure *jobs.TaskError) bool {
	return killedFromOutside(exit) && failure.Kind == jobs.KindCrash && t.broke == "" && !t.slow && t.deaths+1 < maxDeaths
}

// begun is the number below which tasks have begun. Where the process cannot be
// believed in that, or too many have died of what they never showed, it is the end
// of the first chunk in flight.
func (t *session) begun() int64 {
	high := t.high()
	if len(t.flight) == 0 || !t.w.loaded || high > t.flight[0].base {
		return high
	}
	if t.broke != "" || t.deaths+1 >= maxDeaths {
		return t.flight[0].end
	}
	return high
}

// unfinished counts the tasks below a number that are at the process and have no
// outcome, and gives the last of them.
func (t *session) unfinished(below int64) (last int64, n int) {
	for _, c := range t.flight {
		for i := c.base; i < min(c.cut, below); i++ {
			if !c.has(i) {
				last = i
				n++
			}
		}
	}
	return last, n
}

// abandon ends a chunk whose process has ended: what has an outcome keeps it,
// what may be to blame is suspect, or lost where it was not in hand, the rest goes
// back. It reports whether any is lost.
func (t *session) abandon(c *chunk, b blame, exit *exitInfo) bool {
	var suspects []int64
	suspect := make(map[int64]bool)
	for _, n := range b.inHand {
		if n >= c.base && n < c.cut {
			suspects = append(suspects, c.index(n))
			suspect[n] = true
		}
	}
	now := time.Now()
	usage := executor.Usage{
		StartedAt: c.begun, FinishedAt: now,
		User: max(exit.User-t.w.user, 0), System: max(exit.System-t.w.system, 0),
		InTasks: now.Sub(c.begun), PeakMemory: exit.Peak,
	}
	if c.begun.IsZero() {
		usage = executor.Usage{}
	}
	t.w.user, t.w.system = exit.User, exit.System
	at := c.First
	if c.end > 0 { // it was handed to the process
		at = c.index(b.begun)
	}
	lost, back := cutSpans(c.missing(suspect), at)
	t.updates.Add(executor.Update{
		Chunk: c.ID, Ended: true,
		Outcomes: c.runs(), Back: back, Suspects: suspects, Lost: lost, Logs: c.logs, Usage: usage,
	})
	return len(lost) > 0
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

// spent is how long a task has been in hand, as far as it was seen.
func (t *session) spent(number int64) time.Duration {
	for _, s := range t.seen {
		if s.number == number && !s.since.IsZero() {
			return time.Since(s.since)
		}
	}
	return 0
}

// verdict is the failure of the task that is to blame for the end of its process.
func (t *session) verdict(exit *exitInfo) *jobs.TaskError {
	status := exit.Status
	switch {
	case t.culprit >= 0 || t.stuck:
		return &jobs.TaskError{
			Kind: jobs.KindTimeout, Type: "timeout",
			Message: fmt.Sprintf("still running after %v", t.lane.Timeout),
		}
	case t.broke != "":
		return &jobs.TaskError{Kind: jobs.KindCrash, Type: "protocol", Message: t.broke}
	case t.w.lackedMemory(exit):
		return &jobs.TaskError{
			Kind: jobs.KindMemory, Type: exitType(exit),
			Message: fmt.Sprintf("it reached %s: %s", executor.MemoryLimit(t.w.memory, t.w.process.Grouped()), describeExit(status)),
		}
	}
	return &jobs.TaskError{
		Kind: jobs.KindCrash, Type: exitType(exit),
		Message: "the process died under the task: " + describeExit(status), Traceback: t.w.stack(exit),
	}
}

// stack is where the process was when one of the signals came that faulthandler
// catches, the innermost call first, down to the program's function.
func (w *worker) stack(exit *exitInfo) string {
	if !exit.Status.Signaled() {
		return ""
	}
	switch exit.Status.Signal() {
	case syscall.SIGSEGV, syscall.SIGFPE, syscall.SIGABRT, syscall.SIGBUS, syscall.SIGILL:
	default:
		return ""
	}
	const head = "Stack (most recent call first):\n"
	trace := w.shared.trace()
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

// lackedMemory reports whether the process ended because of its memory limit. A
// resource limit leaves it to the program to end when it gets no more memory, so
// then that it had nearly all of it is taken for the cause.
func (w *worker) lackedMemory(exit *exitInfo) bool {
	return exit.Exceeded || w.memory > 0 && !w.process.Grouped() && exit.Peak >= w.memory/10*9
}

// killedFromOutside reports whether the process ended in the one way of which a
// program is hardly the cause itself.
func killedFromOutside(exit *exitInfo) bool {
	return exit.Status.Signaled() && exit.Status.Signal() == syscall.SIGKILL
}

func exitType(exit *exitInfo) string {
	if exit.Status.Signaled() {
		return process.SignalName(exit.Status.Signal())
	}
	return fmt.Sprintf("exit %d", exit.Status.ExitStatus())
}
