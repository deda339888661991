package command

import (
	"errors"
	"syscall"

	"github.com/allcores/allcores/internal/jobs/executor/process"
)

// descriptors are the pipes of one command.
type descriptors struct {
	stdout, stderr int    // our ends, -1 once closed
	theirs         [3]int // the command's 0, 1 and 2
}

func (d *descriptors) open() bool { return d.stdout >= 0 || d.stderr >= 0 }

// pipes makes the pipes of a command; one for stdin only where the program reads it.
func (s *runner) pipes(stdin *input) (*descriptors, error) {
	d := &descriptors{stdout: -1, stderr: -1, theirs: [3]int{s.null, -1, -1}}
	var err error
	stdin.pipe = -1
	if d.stdout, d.theirs[1], err = process.Pipe(); err == nil {
		d.stderr, d.theirs[2], err = process.Pipe()
	}
	if err == nil {
		// Another reader of the pipe, which a command may be, can empty it before us.
		err = errors.Join(syscall.SetNonblock(d.stdout, true), syscall.SetNonblock(d.stderr, true))
	}
	if err == nil && s.program.Stdin {
		if d.theirs[0], stdin.pipe, err = process.Pipe(); err == nil {
			err = syscall.SetNonblock(stdin.pipe, true)
		} else {
			d.theirs[0] = s.null
		}
	}
	if err != nil {
		d.closeTheirs(s.null)
		d.closeOurs(stdin)
		return nil, err
	}
	return d, nil
}

func (d *descriptors) closeTheirs(null int) {
	for _, fd := range d.theirs {
		if fd >= 0 && fd != null {
			syscall.Close(fd)
		}
	}
}

func (d *descriptors) closeOurs(stdin *input) {
	for _, fd := range []*int{&d.stdout, &d.stderr, &stdin.pipe} {
		if *fd >= 0 {
			syscall.Close(*fd)
			*fd = -1
		}
	}
}

// input is the rest of a command's standard input.
type input struct {
	pipe int // our end, or -1
	rest []byte
}

// fd returns the descriptor to wait for, or -1 when all is written.
func (in *input) fd() int { return in.pipe }

// write writes what fits, and closes the pipe when that was all or its reader is gone.
func (in *input) write() {
	for len(in.rest) > 0 {
		n, err := syscall.Write(in.pipe, in.rest)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if errors.Is(err, syscall.EAGAIN) {
			return
		}
		if err != nil {
			break // the command has closed it
		}
		in.rest = in.rest[n:]
	}
	syscall.Close(in.pipe)
	in.pipe = -1
}

func errnoOf(err error) (syscall.Errno, bool) {
	var errno syscall.Errno
	ok := errors.As(err, &errno)
	return errno, ok
}

// rootCause returns the system's own message of an error.
func rootCause(err error) string {
	if errno, ok := errnoOf(err); ok {
		return errno.Error()
	}
	return err.Error()
}
