package process

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Pipe makes a pipe whose ends no child inherits by accident. Both ends block; see
// Ours.
func Pipe() (read, write int, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return -1, -1, fmt.Errorf("make pipe: %w", err)
	}
	return fds[0], fds[1], nil
}

// Enlarge asks the kernel for room for size bytes in a pipe, and returns the size
// that the pipe has. The kernel may refuse, as it bounds what an ordinary user has in
// all pipes together (pipe(7)).
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
// Where it is sealed (fcntl(2), F_ADD_SEALS) no process can change its size, so that
// reading a mapping of it never faults.
func Memory(size int) (file *os.File, sealed bool, err error) {
	fd, err := unix.MemfdCreate("allcores", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, false, fmt.Errorf("make shared memory: %w", err)
	}
	file = os.NewFile(uintptr(fd), "memfd")
	if err := file.Truncate(int64(size)); err != nil {
		file.Close()
		return nil, false, fmt.Errorf("make shared memory: %w", err)
	}
	_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	return file, err == nil, nil
}
