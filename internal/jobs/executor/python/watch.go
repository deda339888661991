package python

import (
	"fmt"
	"time"

	"github.com/allcores/allcores/internal/jobs/executor/flight"
)

const (
	// shortLoad is how long a program may always load, however short the timeout
	// of its tasks is, and longLoad how long where they have none.
	shortLoad, longLoad = 5 * time.Second, 5 * time.Minute
	// patience is how long a process of several tasks at once may take to show that
	// none of them blocks the others.
	patience = 200 * time.Millisecond
	// flushTime is how long a process has to send the outcomes before an overdue
	// task, until it is ended.
	flushTime = 5 * time.Millisecond
)

// A watch holds a session's observations of its process.
type watch struct {
	seen     []seen // by thread
	look     look
	broke    string // what the process did that no runner does, or empty
	load     loading
	overdue  overdue
	progress progress
}

// seen is since when a thread has run a task.
type seen struct {
	number int64
	since  time.Time
}

// loading is the observation of a program that loads.
type loading struct {
	late bool // it takes too long
	slow bool // the process is being ended for that
}

// overdue is the observation of a task past its timeout.
type overdue struct {
	culprit int64     // number of the task that ran out of time, or -1
	stuck   bool      // one did, but another may block it
	asked   time.Time // when the process was asked whether that is so; zero before
	answers int64     // what wordAnswers was then
	killAt  time.Time // when it will have sent the outcomes before the task; zero before
}

// progress is for how long a process that has tasks did nothing of use.
type progress struct {
	idle   time.Duration // ran no task
	quiet  time.Duration // ended no task
	looked time.Time     // when that was last looked at
	strays int           // what it sent of chunks that are not in flight
	empty  int           // chunks in a row that ended with no task done
}

// newWatch starts to watch a process of that many threads.
func newWatch(threads int) watch {
	return watch{seen: make([]seen, threads), overdue: overdue{culprit: -1}, progress: progress{looked: time.Now()}}
}

// decided reports whether the process is being ended for a task.
func (o *overdue) decided() bool { return o.culprit >= 0 || o.stuck }

// loadLimit is how long a program may load whose tasks have that timeout, or 0.
func loadLimit(timeout time.Duration) time.Duration {
	if timeout <= 0 {
		return longLoad
	}
	return max(timeout, shortLoad)
}

// watchLoad ends a process that loads its program for too long. It waits for one
// more tick, so that an acknowledgement in the pipe is read before, and longer for
// a process that shows that it has begun a task.
func (s *session) watchLoad() {
	load := &s.watch.load
	limit := loadLimit(s.lane.Timeout)
	if s.w.shared.load(wordHigh) > 0 {
		limit += s.pool.bounds.stall
	}
	switch {
	case s.w.loaded || load.slow || s.watch.broke != "":
	case time.Since(s.w.asked) <= limit:
	case !load.late:
		load.late = true
	default:
		load.slow = true
		s.w.kill()
	}
}

// watchTasks notes which tasks run, and ends the process when one has run for
// longer than its timeout.
func (s *session) watchTasks(now time.Time) {
	o := &s.watch.overdue
	if s.w == nil || o.decided() || s.watch.broke != "" {
		o.killAt = time.Time{}
		return
	}
	found := false
	for i := range s.watch.seen {
		mark := s.running(i)
		seen := &s.watch.seen[i]
		if mark < 0 || mark != seen.number || seen.since.IsZero() {
			seen.number, seen.since = mark, now
			continue
		}
		c := s.chunk(mark)
		c.ordered.slow = int(mark - c.base)
		if s.lane.Timeout <= 0 || now.Sub(seen.since) < s.lane.Timeout {
			continue
		}
		found = true
		ready, answered := s.mayKill(now)
		if !ready {
			return
		}
		if s.running(i) != mark {
			continue
		}
		if answered {
			o.culprit = mark
		} else {
			o.stuck = true
		}
		o.killAt = time.Time{}
		s.w.kill()
		return
	}
	if !found {
		o.asked, o.killAt = time.Time{}, time.Time{}
	}
}

// mayKill reports whether a process with an overdue task can be ended now: it has
// sent the outcomes before that, or, where tasks run at once, answered or used up
// its patience.
func (s *session) mayKill(now time.Time) (ready, answered bool) {
	o := &s.watch.overdue
	if s.lane.Threads > 1 {
		answered = s.answered(now)
		return answered || now.Sub(o.asked) >= patience, answered
	}
	switch {
	case o.killAt.IsZero() && s.unsent():
		s.w.flush()
		o.killAt = now.Add(flushTime)
		return false, true
	case now.Before(o.killAt):
		return false, true
	}
	o.killAt = time.Time{}
	return true, true
}

// answered reports whether an overdue task could have ended: another one may hold
// the interpreter lock, or the event loop. The first call asks the process, which
// answers when neither is held.
func (s *session) answered(now time.Time) bool {
	o := &s.watch.overdue
	answers := s.w.shared.load(wordAnswers)
	if o.asked.IsZero() {
		o.asked, o.answers = now, answers
		s.w.flush()
	}
	return answers != o.answers
}

// bounds are how long a process may do nothing of use.
type bounds struct {
	frame time.Duration // from the first byte of a frame to its last
	stall time.Duration // with tasks, but running none
	end   time.Duration // past twice the timeout of its tasks, without the end of one
}

var usualBounds = bounds{frame: 10 * time.Second, stall: 30 * time.Second, end: 30 * time.Second}

// progressed notes that the process went on with its tasks.
func (p *progress) progressed() { p.idle, p.quiet, p.strays = 0, 0, 0 }

// watchProgress ends a process that makes none: one that was stopped between
// tasks, whose loop has ended, or whose marks change without end so that no task
// is ever seen to take too long.
func (s *session) watchProgress(now time.Time) {
	p := &s.watch.progress
	// A late tick shows that this program stood still, not the process.
	passed := min(now.Sub(p.looked), time.Second)
	p.looked = now
	if s.watch.broke != "" || !s.w.loaded || len(s.chunks.List) == 0 || flight.Throttled(s.chunks.Updates) {
		return
	}
	p.idle += passed
	p.quiet += passed
	for i := range s.watch.seen {
		if s.running(i) >= 0 {
			p.idle = 0
		}
	}
	switch b := s.pool.bounds; {
	case p.idle > b.stall:
		s.breach(fmt.Sprintf("the process had tasks but ran none of them for %v", b.stall))
	case s.lane.Timeout > 0 && p.quiet > 2*s.lane.Timeout+b.end:
		s.breach(fmt.Sprintf("the process ended none of its tasks for %v, though each may take %v", p.quiet.Round(time.Second), s.lane.Timeout))
	}
}
