package python

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// pipeSize is how many bytes a pipe of frames holds where the kernel allows it.
const pipeSize = 1 << 20

// A pipe is our end of a pipe that a worker process writes to. Reading waits for
// data until the process has ended; then it takes what is in the pipe and returns
// io.EOF, even where another process still has the other end. So everything that was
// written before the process ended is read before its exit is judged, however late
// this program gets to run.
type pipe struct {
	file *os.File
	conn syscall.RawConn

	mu    sync.Mutex
	ended bool // the process has ended
	left  int  // bytes that are still read after that
}

// errLate is the error of a read that lasted past its deadline.
var errLate = errors.New("the deadline of a read has passed")

func newPipe(file *os.File) (*pipe, error) {
	conn, err := file.SyscallConn()
	return &pipe{file: file, conn: conn}, err
}

// end makes reading end with what is in the pipe. It does not wait for what another
// process writes from now on, and reads at most what the pipe holds.
func (p *pipe) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended, p.left = true, pipeSize
	p.file.SetReadDeadline(time.Unix(1, 0))
}

// deadline bounds the next reads while the process lives; the zero time removes the
// bound.
func (p *pipe) deadline(t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.file.SetReadDeadline(t)
	}
}

// Read reads as io.Reader does. Its error is errLate when a deadline has passed.
func (p *pipe) Read(b []byte) (n int, err error) {
	take := func(fd uintptr) bool {
		n, err = readFD(int(fd), b)
		return !again(err)
	}
	switch waited := p.take(take); {
	case waited != nil:
		return 0, waited
	case err != nil:
		return 0, err
	case n <= 0:
		return 0, io.EOF
	}
	p.used(n)
	return n, nil
}

// take calls f, which reads once and reports whether it found something, until it
// does. It returns io.EOF when the pipe is empty and nothing more will come.
func (p *pipe) take(f func(fd uintptr) bool) error {
	err := p.conn.Read(f)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	p.mu.Lock()
	ended, left := p.ended, p.left
	p.mu.Unlock()
	if !ended {
		return errLate
	}
	found := false
	if left > 0 {
		// Unlike Read, Control ignores the deadline.
		err = p.conn.Control(func(fd uintptr) { found = f(fd) })
	}
	if !found {
		return io.EOF
	}
	return err
}

// used counts bytes that were read.
func (p *pipe) used(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		p.left -= n
	}
}

// readFD reads once from a descriptor that is ready, or fails with EAGAIN.
func readFD(fd int, buf []byte) (int, error) {
	for {
		n, err := syscall.Read(fd, buf)
		if !errors.Is(err, syscall.EINTR) {
			return n, err
		}
	}
}

func again(err error) bool { return errors.Is(err, syscall.EAGAIN) }
