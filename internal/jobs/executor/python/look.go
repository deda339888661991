package python

import "time"

// A look is how a session finds out that the process has something to send while it
// runs a task: outcomes, or what was printed. A process that goes from one task to the
// next sends them by itself, after 75 ms.
type look struct {
	due    time.Time // when the next one is due, beside those of the ticks; zero for none
	served int64     // outcome frames when the last one looked
	mark   int64     // the task that ran then
}

// lookAgain is how long after a tick that found something unsent the session looks once
// more, to see whether the same task still runs.
const lookAgain = 10 * time.Millisecond

// from makes the session look at a chunk that it has just taken before the next tick,
// which may be a calm one.
func (l *look) from(now time.Time, c *chunk) {
	if l.due.IsZero() && c.several() {
		l.due = now.Add(tick)
	}
}

// look asks the process for what it has not sent, if it has sent no outcome since the
// last look. Otherwise it looks again soon.
func (s *session) look(now time.Time) {
	l := &s.watch.look
	served, mark, unsent := s.w.receiver.served.Load(), s.w.shared.mark(0), s.unsent()
	switch {
	case !unsent:
		l.due = time.Time{}
	case served == l.served:
		l.due = time.Time{}
		if mark == l.mark {
			s.slow(mark)
		}
		s.w.flush()
	default:
		l.due = now.Add(lookAgain)
	}
	l.served, l.mark = served, mark
}

// slow notes that a task has been running for a while.
func (s *session) slow(number int64) {
	if c := s.chunk(number); c != nil && !c.has(number) {
		c.ordered.slow = int(number - c.base)
	}
}

// lookDue looks again. It asks the process where the same task still runs, or tasks
// run at once; what a process sends that goes from task to task need not be asked for.
func (s *session) lookDue(now time.Time) {
	l := &s.watch.look
	if l.due.IsZero() || now.Before(l.due) {
		return
	}
	l.due = time.Time{}
	if s.w == nil || !s.w.loaded || !s.unsent() {
		return
	}
	switch mark := s.w.shared.mark(0); {
	case s.lane.Threads > 1:
		s.w.flush()
	case mark == l.mark:
		s.slow(mark)
		s.w.flush()
	default:
		l.mark, l.due = mark, now.Add(lookAgain)
	}
}
