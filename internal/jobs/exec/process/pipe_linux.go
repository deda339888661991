package process

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Pipe makes a pipe of which no child inherits an end by accident. Both ends
// block; see Ours.
func Pipe() (read, write int, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return -1, -1, fmt.Errorf("make pipe: %w", err)
	}
	return fds[0], fds[1], nil
}

// Enlarge asks for room for size bytes in a pipe. The kernel may refuse, as it
// bounds what an ordinary user has in pipes together (pipe(7)); then the pipe
// stays as it was. It returns the size that the pipe has.
func Enlarge(fd, size int) int {
	if n, err := unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, size); err == nil {
		return n
	}
	n, err := unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		return 4096
	}
	return n
}

// Memory makes an anonymous file of that size for sharing memory with a child.
func Memory(size int) (*os.File, error) {
	fd, err := unix.MemfdCreate("allcores", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make shared memory: %w", err)
	}
	file := os.NewFile(uintptr(fd), "memfd")
	if err := file.Truncate(int64(size)); err != nil {
		file.Close()
		return nil, fmt.Errorf("make shared memory: %w", err)
	}
	return file, nil
}
