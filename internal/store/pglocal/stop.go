package pglocal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// stop ends the server, whichever process started it, and waits for its end.
func (c *cluster) stop(ctx context.Context) error {
	began := time.Now()
	if c.proc.running() {
		if err := c.proc.cmd.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("stopping PostgreSQL in %s: %w", c.base, err)
		}
		select {
		case <-c.proc.ended():
		case <-ctx.Done():
			return fmt.Errorf("waiting for PostgreSQL in %s to stop: %w", c.base, context.Cause(ctx))
		}
		c.log.Info("stopped the private PostgreSQL", "dir", c.base, "took", time.Since(began).Round(time.Millisecond))
		return nil
	}
	conn, state, err := c.probe(ctx)
	switch state {
	case down:
		return nil
	case odd:
		return fmt.Errorf("stopping PostgreSQL in %s: %w", c.base, err)
	case up:
		conn.Close(ctx)
	case busy:
	}
	major, err := c.major()
	if err != nil {
		return err
	}
	bin, err := binaries(major, c.data())
	if err != nil {
		return err
	}
	// pg_ctl sends the signal with the account's rights: the process id comes
	// from a file that the account can write.
	if out, err := c.command(bin, "pg_ctl", "stop", "-D", c.data(), "-m", "fast", "-W").CombinedOutput(); err != nil {
		return fmt.Errorf("stopping PostgreSQL in %s: %w: %s", c.base, err, oneLine(out))
	}
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		// The server removes the file as its last act.
		if _, err := os.Lstat(filepath.Join(c.data(), "postmaster.pid")); errors.Is(err, fs.ErrNotExist) {
			c.log.Info("stopped the private PostgreSQL", "dir", c.base, "took", time.Since(began).Round(time.Millisecond))
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for PostgreSQL in %s to stop: %w", c.base, context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}

// endOrphans ends backends whose server was killed. They end by themselves when their
// statement ends, but that may take long, and no server can start before. They can be
// found on Linux only.
func (c *cluster) endOrphans() {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil || owner(info) != c.account.uid {
			continue
		}
		cwd, err := os.Readlink(filepath.Join(dir, "cwd"))
		if err != nil || cwd != c.data() {
			continue
		}
		exe, err := os.Readlink(filepath.Join(dir, "exe"))
		if err != nil || filepath.Base(strings.TrimSuffix(exe, " (deleted)")) != "postgres" {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			c.log.Warn("ending a backend left behind by a killed PostgreSQL", "pid", pid)
			syscall.Kill(pid, syscall.SIGQUIT) // fails only if it has ended already
		}
	}
}
