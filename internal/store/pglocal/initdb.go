package pglocal

import (
	"bytes"
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

// major returns the version of the cluster on disk, or 0 if there is none.
func (c *cluster) major() (int, error) {
	text, err := os.ReadFile(filepath.Join(c.data(), "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(c.data()); errors.Is(err, fs.ErrNotExist) {
			return 0, nil
		}
		return 0, &DirError{filepath.Dir(c.base), fmt.Sprintf("%s is no PostgreSQL cluster: it has no PG_VERSION; move it away or choose another data directory", c.data())}
	}
	if err != nil {
		return 0, fmt.Errorf("reading the cluster's version: %w", err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("reading the cluster's version: %w", err)
	}
	return major, nil
}

// initdb creates the cluster under another name and renames it when it is complete and
// on disk, so that a folder data is always a whole cluster.
func (c *cluster) initdb(ctx context.Context, bin string) error {
	began := time.Now()
	leftovers, _ := filepath.Glob(filepath.Join(globQuote(c.base), "initdb-*"))
	for _, dir := range leftovers {
		// Fails while an initdb whose parent was killed still writes there; then the
		// next start removes it.
		if err := os.RemoveAll(dir); err != nil {
			c.log.Warn("removing an unfinished database cluster", "error", err)
		}
	}
	tmp, err := os.MkdirTemp(c.base, "initdb-")
	if err != nil {
		return c.denied(err)
	}
	defer os.RemoveAll(tmp) // after the rename nothing has that name
	if os.Geteuid() == 0 {
		if err := os.Lchown(tmp, c.account.uid, c.account.gid); err != nil {
			return err
		}
	}
	args := []string{
		"-D", tmp, "-U", Role, "-E", "UTF8", "--locale=C",
		"--auth-local=peer", "--auth-host=reject", "--no-instructions",
	}
	fsync := c.settings["fsync"] != "off"
	if !fsync {
		args = append(args, "--no-sync")
	}
	cmd := c.command(bin, "initdb", args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting initdb as %s: %w", c.account.name, err)
	}
	stop := context.AfterFunc(ctx, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	err = cmd.Wait()
	stop()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("initdb: %w: %s", err, oneLine(out.Bytes()))
	}
	if err := os.Rename(tmp, c.data()); err != nil {
		return err
	}
	if fsync {
		if err := syncDir(c.base); err != nil {
			return err
		}
	}
	c.log.Info("made the private PostgreSQL's cluster", "dir", c.base, "binaries", bin, "took", time.Since(began).Round(time.Millisecond))
	return nil
}
