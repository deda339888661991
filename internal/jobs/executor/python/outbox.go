package python

import (
	"errors"
	"os"
	"sync/atomic"
	"syscall"
)

// maxUnread is how many frames may wait for a process to read them. At most two
// chunks and the start of a session are on their way to one that does.
const maxUnread = 16

// An outbox writes frames to a worker without waiting for it.
type outbox struct {
	pipe    *os.File
	frames  chan []byte   // that did not fit in the pipe
	waiting atomic.Int64  // how many those are
	ended   chan struct{} // closed when the process reads no more
}

func newOutbox() *outbox {
	return &outbox{frames: make(chan []byte, maxUnread), ended: make(chan struct{})}
}

// send writes what fits in the pipe at once, and leaves the rest to run. It
// returns false when the process reads nothing. Only its owner may call it.
func (b *outbox) send(data []byte) bool {
	if b.waiting.Load() == 0 {
		// An error means that the process has ended, which its exit event reports.
		if data = data[writeSome(b.pipe, data):]; len(data) == 0 {
			return true
		}
	}
	if b.waiting.Add(1) > maxUnread {
		return false
	}
	select {
	case b.frames <- data:
	case <-b.ended:
	}
	return true
}

// run writes the frames that did not fit until the outbox is closed.
func (b *outbox) run() {
	for {
		select {
		case data := <-b.frames:
			b.pipe.Write(data)
			b.waiting.Add(-1)
		case <-b.ended:
			return
		}
	}
}

// close ends run, also while it writes. It must be called once.
func (b *outbox) close() {
	b.pipe.Close()
	close(b.ended)
}

// writeSome writes what fits in the pipe now, and returns how many bytes that was.
func writeSome(pipe *os.File, data []byte) (n int) {
	conn, err := pipe.SyscallConn()
	if err != nil {
		return 0
	}
	conn.Write(func(fd uintptr) bool {
		for n < len(data) {
			m, err := syscall.Write(int(fd), data[n:])
			if errors.Is(err, syscall.EINTR) {
				continue
			}
			if m <= 0 || err != nil {
				break
			}
			n += m
		}
		return true
	})
	return n
}
