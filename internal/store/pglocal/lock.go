package pglocal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// A fileLock is an advisory lock of the kernel on an open file. The kernel releases it
// when the process ends, in whatever way.
type fileLock struct{ f *os.File }

// openLock opens the lock's file, or creates it. The file is never removed: a lock on a
// removed file would exclude nobody.
func (c *cluster) openLock(name string) (*fileLock, error) {
	f, err := c.openFile(name, os.O_RDWR)
	if err != nil {
		return nil, err
	}
	return &fileLock{f}, nil
}

func (l *fileLock) flock(how int) error {
	for {
		err := syscall.Flock(int(l.f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// exclusive waits for the lock until ctx ends. It polls, because a thread blocked in
// the kernel's own wait cannot be interrupted.
func (l *fileLock) exclusive(ctx context.Context) error {
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		err := l.flock(syscall.LOCK_EX | syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("locking %s: %w", l.f.Name(), err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the lock on %s: %w", l.f.Name(), context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}

// shared takes the lock together with other shared holders, without waiting.
func (l *fileLock) shared() error {
	if err := l.flock(syscall.LOCK_SH | syscall.LOCK_NB); err != nil {
		return fmt.Errorf("locking %s: %w", l.f.Name(), err)
	}
	return nil
}

// alone turns a shared lock into an exclusive one if nobody shares it, and reports
// whether it did. If not, the lock may be lost, so call it only to leave.
func (l *fileLock) alone() bool {
	return l.flock(syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

func (l *fileLock) unlock() { l.flock(syscall.LOCK_UN) }

func (l *fileLock) close() { l.f.Close() }
