// Package updates queues an executor's updates. It passes them to the caller one
// after the other, on a goroutine that may block, while the executor goes on.
package updates

import (
	"sync"

	"github.com/allcores/allcores/internal/jobs/executor"
)

// A Queue passes updates on in their order. Its methods may be called from any
// goroutine.
type Queue struct {
	// Room receives a value, at most one at a time, after an update with Ended, or
	// with log lines, was passed on.
	Room chan struct{}

	mu      sync.Mutex
	waiting []executor.Update
	passing bool // updates that are not in waiting are not yet passed on
	ended   int  // updates with Ended that are not yet passed on
	logs    int  // bytes of log lines that are not yet passed on
	closed  bool // no more will come
	more    chan struct{}
	done    chan struct{}
}

// New starts a queue that calls receive for each update. Close must be called.
func New(receive func(executor.Update)) *Queue {
	q := &Queue{
		Room: make(chan struct{}, 1),
		more: make(chan struct{}, 1),
		done: make(chan struct{}),
	}
	go q.run(receive)
	return q
}

// Add queues an update. It never blocks.
func (q *Queue) Add(u executor.Update) {
	q.mu.Lock()
	q.waiting = append(q.waiting, u)
	if u.Ended {
		q.ended++
	}
	q.logs += logBytes(u)
	q.mu.Unlock()
	signal(q.more)
}

// LineCost is the size of a log line besides its text, in bytes.
const LineCost = 64

func logBytes(u executor.Update) (n int) {
	for _, l := range u.Logs {
		n += len(l.Line) + LineCost
	}
	return n
}

// LogBytes is about the size of the log lines that are not yet passed on.
func (q *Queue) LogBytes() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.logs
}

// Backlog is the number of ended chunks that are not yet passed on.
func (q *Queue) Backlog() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.ended
}

// Idle reports whether everything was passed on.
func (q *Queue) Idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting) == 0 && !q.passing
}

// Close returns when every queued update was passed on.
func (q *Queue) Close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	signal(q.more)
	<-q.done
}

func (q *Queue) run(receive func(executor.Update)) {
	defer close(q.done)
	for {
		q.mu.Lock()
		batch, closed := q.waiting, q.closed
		q.waiting, q.passing = nil, len(batch) > 0
		q.mu.Unlock()
		for _, u := range batch {
			receive(u)
			logs := logBytes(u)
			if !u.Ended && logs == 0 {
				continue
			}
			q.mu.Lock()
			if u.Ended {
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
