package python

import (
	"encoding/json"
	"fmt"
	"runtime"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
)

// A program shares its process with the runner: it can write anything to the
// descriptors of the frames and into the shared memory. So what the process sends
// counts only as far as the chunks in flight bear it out. A process that sends what
// no runner sends is killed, and the task that caused it fails as a crash: at once
// where it ran alone, else once it does (see blame).

// maxStrays is how many frames in a row may be of tasks that are not in flight:
// frames of chunks that were given back as a whole still come for a while.
const maxStrays = 1000

// maxEmpty is how many chunks in a row may end with no task done.
const maxEmpty = 3

// breach kills a process that does what no runner does. why is a sentence.
func (s *session) breach(why string) {
	if s.watch.broke == "" && !s.watch.overdue.decided() && !s.watch.load.slow && s.w != nil {
		s.watch.broke = why
		s.w.kill()
	}
}

func brokeProtocol(err error) string { return fmt.Sprintf("the process broke the protocol: %v", err) }

// frame handles a frame of the process. The error is of what no runner sends.
func (s *session) frame(f frame) error {
	if !s.w.loaded && f.kind != frameLoaded && f.kind != frameLogs {
		return fmt.Errorf("%w: its type is %q before the program is loaded", errFrame, f.kind)
	}
	switch f.kind {
	case frameLoaded:
		return s.loaded(f.body)
	case frameOutcomes, frameInts, frameFloats:
		o, err := parseOutcomes(f)
		if err != nil {
			return err
		}
		c := s.chunk(o.first)
		if c == nil {
			return s.stray(o.first)
		}
		s.watch.progress.progressed()
		return c.add(o)
	case frameOutcome:
		return s.outcomes(f.body)
	case frameLogs:
		return s.printed(f.body)
	case frameEnd:
		e, err := parseEnding(f.body)
		if err != nil {
			return err
		}
		return s.ended(e)
	}
	return fmt.Errorf("%w: its type is %q", errFrame, f.kind)
}

// stray counts a frame of a task that is not in flight, as its chunk was given back.
func (s *session) stray(number int64) error {
	if number < 0 || number >= s.w.next {
		return fmt.Errorf("%w: it is of task %d of %d", errFrame, number, s.w.next)
	}
	if s.watch.progress.strays++; s.watch.progress.strays > maxStrays {
		return fmt.Errorf("%w: %d of them are of tasks that were taken back", errFrame, s.watch.progress.strays)
	}
	return nil
}

// loaded handles that the program is loaded, or why it could not be.
func (s *session) loaded(body []byte) error {
	switch {
	case s.w.loaded:
		return fmt.Errorf("%w: the program is loaded for the second time", errFrame)
	case len(body) == 0:
		s.w.loaded = true
		s.watch.progress.progressed()
		if len(s.chunks.List) > 0 {
			s.chunks.List[0].Begun = time.Now()
		}
		return nil
	case !isFailure(body):
		return errFrame
	}
	var failure jobs.TaskError
	if err := json.Unmarshal(body[1:], &failure); err != nil {
		return fmt.Errorf("%w: %w", errFrame, err)
	}
	if failure.Kind != jobs.KindMemory {
		failure.Kind = jobs.KindException
	}
	s.err = &executor.LoadError{TaskError: failure}
	return nil
}

// outcomes handles outcomes of single tasks.
func (s *session) outcomes(body []byte) error {
	r := reader{rest: body}
	for len(r.rest) > 0 {
		o, err := r.outcome()
		if err != nil {
			return err
		}
		c := s.chunk(o.number)
		switch {
		case c == nil:
			if err := s.stray(o.number); err != nil {
				return err
			}
			continue
		case c.received > 0 && c.single == nil:
			return fmt.Errorf("%w: it has a single outcome after %d in their order", errFrame, c.received)
		case c.has(o.number):
			return fmt.Errorf("%w: task %d ends for the second time", errFrame, o.number)
		}
		s.watch.progress.progressed()
		c.addOne(o)
	}
	return nil
}

// printed handles log records.
func (s *session) printed(body []byte) error {
	r := reader{rest: body}
	logged := r.i64()
	if r.bad {
		return errFrame
	}
	s.w.logged = logged
	for len(r.rest) > 0 {
		l, err := r.log()
		if err != nil {
			return err
		}
		s.w.lines.add(false, s.dated(l), s.log)
	}
	return nil
}

// dated returns l with a time of the process's life.
func (s *session) dated(l logText) logText {
	l.at = within(l.at, s.w.born)
	return l
}

// within returns the time from a start until now that is nearest to at.
func within(at, start time.Time) time.Time {
	if now := time.Now(); at.After(now) {
		return now
	}
	if at.Before(start) {
		return start
	}
	return at
}

// ended ends a chunk when the process reports its end.
func (s *session) ended(e ending) error {
	w := s.w
	for _, c := range s.chunks.List {
		if c.base != e.base {
			continue
		}
		if err := s.mayEnd(c, e.done); err != nil {
			return err
		}
		usage := s.usage(c, e)
		w.lines.finish(c.base+e.done, s.log)
		if c.recalled < notRecalled {
			s.answerRecall(c, c.base+e.done)
		}
		s.giveBack(c, c.base+e.done)
		w.ran += e.done
		s.end(c, usage)
		s.deaths = 0
		if len(s.chunks.List) > 0 && s.chunks.List[0].Begun.IsZero() {
			s.chunks.List[0].Begun = time.Now()
		}
		return nil
	}
	return s.stray(e.base) // a chunk that was given back as a whole is not in flight
}

// mayEnd returns an error when a chunk cannot end now with that many of its tasks
// done.
func (s *session) mayEnd(c *chunk, done int64) error {
	if done > int64(c.Count) || done != int64(c.received) || !c.complete(int(done)) {
		return fmt.Errorf("%w: a chunk ends with %d tasks done, but %d have an outcome", errFrame, done, c.received)
	}
	for i := range s.watch.seen {
		if mark := s.w.shared.mark(i); mark >= c.base && mark < c.end {
			return fmt.Errorf("%w: a chunk ends while a task of it runs", errFrame)
		}
	}
	if done > 0 {
		s.watch.progress.empty = 0
		s.watch.progress.progressed()
		return nil
	}
	// The limit may have been lowered between HIGH was raised and the limit read.
	if s.watch.progress.empty++; !c.Over || s.watch.progress.empty > maxEmpty {
		return fmt.Errorf("%w: a chunk ends with no task done", errFrame)
	}
	return nil
}

// usage returns what a chunk took, as far as that can be true.
func (s *session) usage(c *chunk, e ending) executor.Usage {
	w, now := s.w, time.Now()
	life := now.Sub(w.born)
	busy := func(d time.Duration, most int) time.Duration { return min(max(d, 0), life*time.Duration(most)) }
	user, system := busy(e.user, runtime.NumCPU()), busy(e.system, runtime.NumCPU())
	usage := executor.Usage{
		StartedAt: within(e.began, c.sent), FinishedAt: now,
		User: max(user-w.user, 0), System: max(system-w.system, 0),
		InTasks: busy(e.inTasks, s.lane.Threads), Moving: busy(e.moving, s.lane.Threads),
		PeakMemory: min(max(e.peak, 0), maxPeak),
	}
	w.user, w.system = max(user, w.user), max(system, w.system)
	return usage
}

// maxPeak is more memory than a process has, in bytes.
const maxPeak = 1 << 50

// running returns the number of the task that thread i runs, or -1. It ignores a
// mark of a task that is not in flight or has ended.
func (s *session) running(i int) int64 {
	mark := s.w.shared.mark(i)
	if c := s.chunk(mark); c == nil || c.has(mark) {
		return -1
	}
	return mark
}

// begun is high of a chunk alone, at least its base. Where tasks run at once, the next
// chunk may begin while tasks of this one have not started.
func (s *session) begun(c *chunk) int64 {
	if s.lane.Threads == 1 {
		return max(s.high(), c.base)
	}
	least := c.base
	for i := range s.watch.seen {
		if mark := s.running(i); mark >= c.base && mark < c.end {
			least = max(least, mark+1)
		}
	}
	for i := len(c.single) - 1; i >= 0; i-- {
		if c.single[i].line != nil {
			least = max(least, c.base+int64(i)+1)
			break
		}
	}
	return max(least, min(s.w.shared.load(wordBegun+c.limit), c.end))
}

// high returns the number below which tasks may have begun: what the process
// reports, but no less than the outcomes and the running tasks show, and no more
// than it was sent.
func (s *session) high() int64 {
	// The marks are read first: a running task is below the word that is read then.
	var least int64
	for i := range s.watch.seen {
		least = max(least, s.running(i)+1)
	}
	for _, c := range s.chunks.List {
		if c.received > 0 {
			least = max(least, c.base+int64(c.received))
		}
	}
	return max(least, min(s.w.shared.load(wordHigh), s.w.next))
}
