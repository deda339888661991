// Package reports takes reports off an executor's hands: it hands them to the
// caller one after the other on a goroutine that may block, while the executor
// goes on.
package reports

import (
	"sync"

	"github.com/allcores/allcores/internal/jobs/executor"
)

// A Queue hands reports on in their order. Its methods may be called from any
// goroutine.
type Queue struct {
	// Room receives a value, at most one at a time, after a report with Ended, or
	// with log lines, was handed on.
	Room chan struct{}

	mu      sync.Mutex
	waiting []executor.Report
	ended   int  // reports with Ended that are not yet handed on
	logs    int  // bytes of log lines that are not yet handed on
	closed  bool // no more will come
	more    chan struct{}
	done    chan struct{}
}

// New starts a queue that hands its reports to report.
func New(report func(executor.Report)) *Queue {
	q := &Queue{
		Room: make(chan struct{}, 1),
		more: make(chan struct{}, 1),
		done: make(chan struct{}),
	}
	go q.run(report)
	return q
}

// Add queues a report. It never blocks.
func (q *Queue) Add(r executor.Report) {
	q.mu.Lock()
	q.waiting = append(q.waiting, r)
	if r.Ended {
		q.ended++
	}
	q.logs += logBytes(r)
	q.mu.Unlock()
	signal(q.more)
}

// LineCost is what a log line takes besides its text, in bytes.
const LineCost = 64

func logBytes(r executor.Report) (n int) {
	for _, l := range r.Logs {
		n += len(l.Line) + LineCost
	}
	return n
}

// LogBytes is about the size of the log lines that are not yet handed on.
func (q *Queue) LogBytes() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.logs
}

// Backlog is the number of ended chunks that are not yet handed on.
func (q *Queue) Backlog() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.ended
}

// Close returns when everything queued has been handed on.
func (q *Queue) Close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	signal(q.more)
	<-q.done
}

func (q *Queue) run(report func(executor.Report)) {
	defer close(q.done)
	for {
		q.mu.Lock()
		batch, closed := q.waiting, q.closed
		q.waiting = nil
		q.mu.Unlock()
		for _, r := range batch {
			report(r)
			logs := logBytes(r)
			if !r.Ended && logs == 0 {
				continue
			}
			q.mu.Lock()
			if r.Ended {
				q.ended--
			}
			q.logs -= logs
			q.mu.Unlock()
			signal(q.Room)
		}
		if len(batch) > 0 {
			continue
		}
		if closed {
			return
		}
		<-q.more
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
