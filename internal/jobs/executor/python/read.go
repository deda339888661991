package python

import (
	"bytes"
	"syscall"
)

// readFD reads once, as the caller must know that nothing was there before.
func readFD(fd int, buf []byte) (int, error) {
	for {
		n, err := syscall.Read(fd, buf)
		if err != syscall.EINTR {
			return n, err
		}
	}
}

func again(err error) bool { return err == syscall.EAGAIN }

func indexByte(b []byte, c byte) int { return bytes.IndexByte(b, c) }
