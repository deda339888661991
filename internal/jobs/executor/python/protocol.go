package python

import (
	"encoding/json"
	"fmt"
	"runtime"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
)

// A program shares its process with the runner: it can write to the descriptors
// of the frames and into the cells whatever it likes. So nothing that comes from
// the process is believed that the chunks in flight do not bear out. A process
// that says what no runner says is killed, and the task that made it so fails as a
// crash: at once where it was alone, else as soon as it is (see blame).

// maxStrays is how many frames in a row may speak of tasks that are not in flight:
// chunks that were given back as a whole are spoken of for a while.
const maxStrays = 1000

// maxEmpty is how many chunks in a row may end with no task done.
const maxEmpty = 3

// breach ends a process that does what no runner of ours does. why is a sentence.
func (t *session) breach(why string) {
	if t.broke == "" && t.culprit < 0 && !t.stuck && !t.slow && t.w != nil {
		t.broke = why
		t.w.kill()
	}
}

func brokeProtocol(err error) string { return fmt.Sprintf("the process broke the protocol: %v", err) }

// frame takes in a frame of the process. The error says what no runner sends.
func (t *session) frame(f frame) error {
	if !t.w.loaded && f.kind != frameLoaded && f.kind != frameLogs {
		return fmt.Errorf("%w: its type is %q before the program is loaded", errFrame, f.kind)
	}
	switch f.kind {
	case frameLoaded:
		return t.loaded(f.body)
	case frameOutcomes, frameInts, frameFloats:
		o, err := parseOutcomes(f)
		if err != nil {
			return err
		}
		c := t.chunk(o.first)
		if c == nil {
			return t.stray(o.first)
		}
		t.progressed()
		return c.add(o)
	case frameOutcome:
		return t.outcomes(f.body)
	case frameLogs:
		return t.printed(f.body)
	case frameEnd:
		e, err := parseEnding(f.body)
		if err != nil {
			return err
		}
		return t.ended(e)
	}
	return fmt.Errorf("%w: its type is %q", errFrame, f.kind)
}

// stray counts what is said of a task that is not in flight: its chunk was given
// back.
func (t *session) stray(number int64) error {
	if number < 0 || number >= t.w.next {
		return fmt.Errorf("%w: it is of task %d of %d", errFrame, number, t.w.next)
	}
	if t.strays++; t.strays > maxStrays {
		return fmt.Errorf("%w: %d of them are of tasks that were taken back", errFrame, t.strays)
	}
	return nil
}

// loaded takes in that the program is loaded, or why it could not be.
func (t *session) loaded(body []byte) error {
	switch {
	case t.w.loaded:
		return fmt.Errorf("%w: the program is loaded for the second time", errFrame)
	case len(body) == 0:
		t.w.loaded = true
		t.progressed()
		if len(t.flight) > 0 {
			t.flight[0].begun = time.Now()
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
	t.err = &executor.LoadError{TaskError: failure}
	return nil
}

// outcomes takes in outcomes of single tasks.
func (t *session) outcomes(body []byte) error {
	r := reader{rest: body}
	for len(r.rest) > 0 {
		o, err := r.outcome()
		if err != nil {
			return err
		}
		c := t.chunk(o.number)
		switch {
		case c == nil:
			if err := t.stray(o.number); err != nil {
				return err
			}
			continue
		case c.outputs != nil:
			return fmt.Errorf("%w: it has a single outcome after %d in their order", errFrame, c.received)
		case c.has(o.number):
			return fmt.Errorf("%w: task %d ends for the second time", errFrame, o.number)
		}
		t.progressed()
		c.addOne(o)
	}
	return nil
}

// printed takes in what was printed.
func (t *session) printed(body []byte) error {
	r := reader{rest: body}
	logged := r.i64()
	if r.bad {
		return errFrame
	}
	t.w.logged = logged
	for len(r.rest) > 0 {
		l, err := r.log()
		if err != nil {
			return err
		}
		t.w.printedLines(false, t.dated(l), t.log)
	}
	return nil
}

// dated is l with a time of the process's life.
func (t *session) dated(l logText) logText {
	l.at = within(l.at, t.w.born)
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

// ended finishes the chunk of which the process says that it has ended.
func (t *session) ended(e ending) error {
	w := t.w
	for i, c := range t.flight {
		if c.base != e.base {
			continue
		}
		if err := t.mayEnd(c, e.done); err != nil {
			return err
		}
		usage := t.usage(c, e)
		w.finishLines(c.base+e.done, t.log)
		t.flight = append(t.flight[:i:i], t.flight[i+1:]...)
		t.giveBack(c, c.base+e.done)
		t.end(c, usage)
		t.deaths = 0
		if len(t.flight) > 0 && t.flight[0].begun.IsZero() {
			t.flight[0].begun = time.Now()
		}
		return nil
	}
	return t.stray(e.base) // one that was given back as a whole has left the flight
}

// mayEnd reports why a chunk cannot end now with that many of its tasks done, if
// it cannot.
func (t *session) mayEnd(c *chunk, done int64) error {
	if done > int64(c.Count) || done != int64(c.received) || !c.complete(int(done)) {
		return fmt.Errorf("%w: a chunk ends with %d tasks done, but %d have an outcome", errFrame, done, c.received)
	}
	for i := range t.seen {
		if mark := t.w.shared.mark(i); mark >= c.base && mark < c.end {
			return fmt.Errorf("%w: a chunk ends while a task of it runs", errFrame)
		}
	}
	if done > 0 {
		t.empty = 0
		t.progressed()
		return nil
	}
	// The limit may have been lowered between HIGH was raised and the limit read.
	if t.empty++; !c.over || t.empty > maxEmpty {
		return fmt.Errorf("%w: a chunk ends with no task done", errFrame)
	}
	return nil
}

// usage is what running a chunk took, as far as it can be true.
func (t *session) usage(c *chunk, e ending) executor.Usage {
	w, now := t.w, time.Now()
	life := now.Sub(w.born)
	busy := func(d time.Duration, most int) time.Duration { return min(max(d, 0), life*time.Duration(most)) }
	user, system := busy(e.user, runtime.NumCPU()), busy(e.system, runtime.NumCPU())
	usage := executor.Usage{
		StartedAt: within(e.began, c.sent), FinishedAt: now,
		User: max(user-w.user, 0), System: max(system-w.system, 0),
		InTasks: busy(e.inTasks, t.lane.Threads), Moving: busy(e.moving, t.lane.Threads),
		PeakMemory: min(max(e.peak, 0), maxPeak),
	}
	w.user, w.system = max(user, w.user), max(system, w.system)
	return usage
}

// maxPeak is more memory than a process has, in bytes.
const maxPeak = 1 << 50

// inHand is the number of the task that thread i has in hand, or -1. A mark that
// leads to no task in flight, or to one that has ended, is none.
func (t *session) inHand(i int) int64 {
	mark := t.w.shared.mark(i)
	if c := t.chunk(mark); c == nil || c.has(mark) {
		return -1
	}
	return mark
}

// high is the number below which tasks may have begun: what the process says, but
// no less than the outcomes and the tasks in hand show, and no more than it was
// sent.
func (t *session) high() int64 {
	// The marks are read first: a task in hand is below the cell that is read then.
	var least int64
	for i := range t.seen {
		least = max(least, t.inHand(i)+1)
	}
	for _, c := range t.flight {
		if c.received > 0 {
			least = max(least, c.base+int64(c.received))
		}
	}
	return max(least, min(t.w.shared.load(wordHigh), t.w.next))
}

// bounds are how long a process may do nothing of use.
type bounds struct {
	frame time.Duration // from the first byte of a frame to its last one
	stall time.Duration // with tasks, but none in hand
	end   time.Duration // past twice the timeout of its tasks, without the end of one
}

var usualBounds = bounds{frame: 10 * time.Second, stall: 30 * time.Second, end: 30 * time.Second}

// progressed notes that the process went on with its tasks.
func (t *session) progressed() { t.idle, t.quiet, t.strays = 0, 0, 0 }

// stall ends a process that goes on with nothing: one that was stopped between
// tasks, whose loop has ended, or whose marks change without end so that no task
// is ever seen to take too long.
func (t *session) stall(now time.Time) {
	// A tick that comes late says nothing of the process: this program stood still.
	passed := min(now.Sub(t.looked), time.Second)
	t.looked = now
	if t.broke != "" || !t.w.loaded || len(t.flight) == 0 || t.throttled {
		return
	}
	t.idle += passed
	t.quiet += passed
	for i := range t.seen {
		if t.inHand(i) >= 0 {
			t.idle = 0
		}
	}
	switch b := t.e.bounds; {
	case t.idle > b.stall:
		t.breach(fmt.Sprintf("the process had tasks but ran none of them for %v", b.stall))
	case t.lane.Timeout > 0 && t.quiet > 2*t.lane.Timeout+b.end:
		t.breach(fmt.Sprintf("the process ended none of its tasks for %v, though each may take %v", t.quiet.Round(time.Second), t.lane.Timeout))
	}
}
