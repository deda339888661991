//go:build !linux

package process

import (
	"fmt"
	"os"
	"syscall"
)

// Pipe makes a pipe whose ends no child inherits by accident. Both ends block; see
// Ours.
func Pipe() (read, write int, err error) {
	var fds [2]int
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := syscall.Pipe(fds[:]); err != nil {
		return -1, -1, fmt.Errorf("make pipe: %w", err)
	}
	syscall.CloseOnExec(fds[0])
	syscall.CloseOnExec(fds[1])
	return fds[0], fds[1], nil
}

// Enlarge does nothing here: pipes grow by themselves.
func Enlarge(fd, size int) int { return 16 << 10 }

// Memory makes an unlinked file of that size for sharing memory with a child. It
// is not sealed: a process that has it can cut it, after which reading a mapping of it
// faults.
func Memory(size int) (file *os.File, sealed bool, err error) {
	file, err = os.CreateTemp("", "allcores")
	if err != nil {
		return nil, false, fmt.Errorf("make shared memory: %w", err)
	}
	os.Remove(file.Name())
	if err := file.Truncate(int64(size)); err != nil {
		file.Close()
		return nil, false, fmt.Errorf("make shared memory: %w", err)
	}
	return file, false, nil
}
