package python

import (
	"bufio"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A receiver reads what a worker writes, and queues it in its inbox.
type receiver struct {
	pipes  [3]*pipe // frames, standard output, standard error
	shared *sharedMemory
	inbox  *inbox
	kill   func() // ends the process

	frameTime time.Duration // from the first byte of a frame to its last
	onRead    func()        // called before each frame is read; nil except in tests
	served    atomic.Int64  // outcome frames read

	// taking is held for reading from before output is taken from its pipe until
	// it is in the inbox.
	taking sync.RWMutex
}

// readFrames reads frames until the process has ended.
func (r *receiver) readFrames() {
	in := bufio.NewReaderSize(r.pipes[0], 64<<10)
	bound := func(begun bool) {
		var until time.Time
		if begun {
			until = time.Now().Add(r.frameTime)
		}
		r.pipes[0].deadline(until)
	}
	for {
		if r.onRead != nil {
			r.onRead()
		}
		f, err := readFrame(in, bound)
		if errors.Is(err, errFrame) {
			r.inbox.push(event{bad: err})
			r.kill()
			return
		}
		if err != nil {
			return
		}
		r.inbox.admit()
		if slices.Contains(outcomeFrames, f.kind) {
			r.served.Add(1)
		}
		if f.kind == frameEnd {
			// The process saw the output pipes empty before it sent this. What was
			// in them must be in the inbox before the end of the chunk is.
			r.taking.Lock()
			r.inbox.push(event{frame: f})
			r.taking.Unlock()
			continue
		}
		r.inbox.push(event{frame: f})
	}
}

// readOutput reads what the process, and what it started, write to a descriptor.
// The runner moves the mark only when the pipe is empty, so the mark seen *before*
// a read that finds something belongs to it.
func (r *receiver) readOutput(p *pipe, stream string) {
	buf := make([]byte, 16<<10)
	task, kept := int64(-1), 0
	for {
		mark, n, ok := r.takeOutput(p, buf)
		if !ok {
			return
		}
		if mark < 0 {
			mark = task // written late by the task before
		}
		if mark != task {
			task, kept = mark, 0
		}
		text := buf[:n]
		switch {
		case kept > maxTaskLog:
			p.used(n)
			r.taking.RUnlock()
			continue
		case kept+n > maxTaskLog:
			text = append(text[:maxTaskLog-kept:maxTaskLog-kept], "\n[cut: a task keeps 256 KiB of "+stream+"]\n"...)
		}
		kept += n
		p.used(n)
		r.inbox.push(event{log: &logText{number: mark, stream: stream, at: time.Now(), text: slices.Clone(text)}})
		r.taking.RUnlock()
	}
}

// takeOutput reads once, when there is something, and returns the mark of then.
// Where ok is true taking is held for reading; else nothing more will come.
func (r *receiver) takeOutput(p *pipe, buf []byte) (mark int64, n int, ok bool) {
	var readErr error
	err := p.take(func(fd uintptr) bool {
		r.taking.RLock()
		mark = r.shared.oldest()
		n, readErr = readFD(int(fd), buf)
		if again(readErr) {
			r.taking.RUnlock()
			return false
		}
		return true
	})
	if err != nil {
		return 0, 0, false
	}
	if readErr != nil || n <= 0 {
		r.taking.RUnlock()
		return 0, 0, false
	}
	if mark >= 0 {
		r.shared.store(wordRaw, r.shared.load(wordRaw)+1)
	}
	return mark, n, true
}
