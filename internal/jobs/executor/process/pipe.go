package process

import (
	"fmt"
	"os"
	"syscall"
)

// Ours makes an end of a pipe a file on which this program waits without occupying
// a thread. The other end still blocks, as a child expects.
func Ours(fd int, name string) (*os.File, error) {
	if err := syscall.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("set up %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}
