package python

import (
	"sync"

	"github.com/allcores/allcores/internal/jobs/executor/process"
)

// maxQueued is how many bytes of frames an inbox takes before reading waits.
const maxQueued = 64 << 20

// An event is a message of a worker, or an observation of it.
type event struct {
	frame           // kind is 0 for the other events
	log   *logText  // written past sys.stdout
	bad   error     // it sent what no runner sends, and is being killed
	exit  *exitInfo // it has ended; the last event
}

type exitInfo struct {
	process.Exit
	err error // of waiting for it
}

// loaded reports whether the event acknowledges that the program is loaded.
func (e event) loaded() bool { return e.kind == frameLoaded && len(e.body) == 0 }

// An inbox queues the events of a worker for its owner. Its methods may be called
// from any goroutine.
type inbox struct {
	more chan struct{} // receives after events were queued

	mu     sync.Mutex
	queue  []event
	bytes  int        // of the frames in it
	room   *sync.Cond // there may be room for another frame
	idle   bool       // the worker has no session; its events are dropped
	loaded bool       // while idle it acknowledged that its program is loaded
}

func newInbox() *inbox {
	b := &inbox{more: make(chan struct{}, 1)}
	b.room = sync.NewCond(&b.mu)
	return b
}

// push queues an event.
func (b *inbox) push(e event) {
	b.mu.Lock()
	if !b.idle || e.exit != nil {
		b.queue = append(b.queue, e)
		b.bytes += len(e.body)
	} else if e.loaded() {
		b.loaded = true
	}
	b.mu.Unlock()
	select {
	case b.more <- struct{}{}:
	default:
	}
}

// take returns the events since the last call, in their order.
func (b *inbox) take() []event {
	b.mu.Lock()
	defer b.mu.Unlock()
	queue := b.queue
	b.queue, b.bytes = nil, 0
	b.room.Broadcast()
	return queue
}

// putBack queues events before all others.
func (b *inbox) putBack(events []event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queue = append(events, b.queue...)
}

// admit waits until there is room for another frame, so that a process cannot
// send more than its owner handles.
func (b *inbox) admit() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.bytes > maxQueued && !b.idle {
		b.room.Wait()
	}
}

// setIdle starts or ends the time in which events are dropped. It returns false
// when the process has ended, or sent something unexpected, before that.
func (b *inbox) setIdle(idle bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.idle = idle
	b.room.Broadcast()
	for _, e := range b.queue {
		if e.loaded() {
			b.loaded = true // its session ended before that
			continue
		}
		if e.exit != nil || e.bad != nil || e.kind != 0 && e.kind != frameLogs {
			return false
		}
	}
	b.queue, b.bytes = nil, 0
	return true
}

// loadedIdle reports whether the process acknowledged, without a session, that
// its program is loaded.
func (b *inbox) loadedIdle() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.loaded
}

// forgetLoaded forgets that, as the program is loaded anew.
func (b *inbox) forgetLoaded() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.loaded = false
}

// discard drops all further events but the end of the process.
func (b *inbox) discard() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.idle = true
	b.room.Broadcast()
}
