package flight

import (
	"context"
	"maps"
	"time"

	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/updates"
)

const (
	// Max is how many chunks are in flight: one that runs, one that waits.
	Max = 2
	// maxBacklog is how many ended chunks may wait to be recorded before no
	// further chunk is taken.
	maxBacklog = 2
	// MaxLogs is how many bytes of log lines may wait to be recorded before a
	// session is throttled.
	MaxLogs = 32 << 20
)

// A Session runs the chunks of one call of executor.Executor.Run.
type Session interface {
	// Status reports what Run waits for next.
	Status() Status
	// Take puts a chunk in flight.
	Take(executor.Chunk)
	// Halt lets no further task start; Status reports Stopped afterwards.
	Halt()
	// Recall gives back tasks of a chunk that have not started. It reports false where
	// the chunk is not in flight.
	Recall(executor.Recall) bool
	// Cancel ends the session; Status reports Failed afterwards.
	Cancel()
	// Handle handles what Status.Events announced.
	Handle()
	// Due does what Status.Due was set for.
	Due()
	// Tick looks after the tasks that run.
	Tick()
	// NextTick is how long it is until the next Tick.
	NextTick() time.Duration
}

// Status is the state of a session.
type Status struct {
	InFlight int             // chunks
	Over     bool            // one of them starts no further task
	Stopped  bool            // no task starts: chunks go back
	Failed   bool            // the session ends with an error
	Events   <-chan struct{} // receives when there is something to handle; nil for none
	Due      time.Time       // when Due must be called; zero for never
}

// Earliest returns the Earliest of the times that are not zero, or zero.
func Earliest(times ...time.Time) (first time.Time) {
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// Run serves the session until it fails, or in is closed and no chunk is in
// flight. Where lane.Halt is closed or ctx done, it calls Halt or Cancel once.
func Run(ctx context.Context, lane executor.Lane, in <-chan executor.Chunk, queue *updates.Queue, s Session) {
	halt := lane.Halt
	var early recalls
	tick := time.NewTimer(s.NextTick())
	defer tick.Stop()
	due := time.NewTimer(time.Hour)
	defer due.Stop()
	var armed time.Time
	cancelled := ctx.Done()
	for {
		status := s.Status()
		if status.Failed || in == nil && status.InFlight == 0 {
			return
		}
		if armed != status.Due {
			armed = status.Due
			arm(due, armed)
		}
		w := waitFor(status, in, queue, len(early) > 0)
		select {
		case <-cancelled:
			cancelled = nil
			s.Cancel()
		case <-halt:
			halt = nil
			s.Halt()
		case r := <-lane.Recall:
			if !s.Recall(r) && in != nil {
				early = early.with(r)
			}
		case c, ok := <-w.in:
			switch {
			case !ok:
				in = nil
				early = nil
			case status.Stopped || ctx.Err() != nil:
				queue.Add(executor.Update{Chunk: c.ID, Ended: true, Back: []executor.Span{{First: c.First, Count: c.Count}}})
			default:
				s.Take(c)
				if r, recalled := early.take(c.ID); recalled {
					s.Recall(r)
				}
			}
		case <-w.events:
			s.Handle()
		case <-w.room:
		case <-tick.C:
			s.Tick()
			tick.Reset(s.NextTick())
		case <-due.C:
			armed = time.Time{}
			s.Due()
		}
	}
}

// recalls are recalls of chunks that are not in flight, by chunk: of chunks that the
// session has yet to take, or that have ended.
type recalls map[int64]executor.Recall

// with adds a recall. One from an earlier task on replaces another.
func (m recalls) with(r executor.Recall) recalls {
	if m == nil {
		m = make(recalls)
	}
	if other, ok := m[r.Chunk]; !ok || r.First < other.First {
		m[r.Chunk] = r
	}
	return m
}

// take removes the recall of a chunk, and those of chunks before it.
func (m recalls) take(chunk int64) (executor.Recall, bool) {
	r, ok := m[chunk]
	maps.DeleteFunc(m, func(id int64, _ executor.Recall) bool { return id <= chunk })
	return r, ok
}

// arm sets the timer to a time, or stops it for the zero time.
func arm(timer *time.Timer, at time.Time) {
	if at.IsZero() {
		timer.Stop()
		return
	}
	timer.Reset(time.Until(at))
}

// A wait has the channels that Run selects from; nil ones are never ready.
type wait struct {
	in     <-chan executor.Chunk
	events <-chan struct{}
	room   <-chan struct{} // of the queue of updates
}

// waitFor decides what a session in a state waits for. A recalled chunk is taken
// although it could only wait.
func waitFor(s Status, in <-chan executor.Chunk, queue *updates.Queue, recalled bool) wait {
	w := wait{in: in, events: s.Events}
	if Throttled(queue) {
		w.events, w.room = nil, queue.Room
	}
	switch {
	case s.Stopped: // what comes goes back at once
	case s.InFlight >= Max || s.Over && !recalled:
		w.in = nil
	case queue.Backlog() > maxBacklog:
		w.in, w.room = nil, queue.Room
	}
	return w
}

// Throttled reports whether so many log lines wait to be recorded that a session
// handles no events.
func Throttled(queue *updates.Queue) bool { return queue.LogBytes() > MaxLogs }
