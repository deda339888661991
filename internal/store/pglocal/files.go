package pglocal

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

// socketDir returns the folder of the socket: run in base, or a short one if that does
// not fit into a socket address.
func socketDir(base string) string {
	limit := 103 // macOS and the BSDs
	if runtime.GOOS == "linux" {
		limit = 107
	}
	dir := filepath.Join(base, "run")
	// A comma would separate two hosts in a database URL, a quote two settings.
	if len(dir)+len("/.s.PGSQL."+port) <= limit && !strings.ContainsAny(dir, `,"`) {
		return dir
	}
	sum := sha256.Sum256([]byte(base))
	// Not os.TempDir: every process must find the same name, whatever its environment,
	// and a TMPDIR may be too long itself.
	return filepath.Join("/tmp", "allcores-"+hex.EncodeToString(sum[:])[:16])
}

// openFile opens a file in base. It creates a missing one with mode 0600 and, as root,
// gives it to the owner of base, who may run the server later without root.
func (c *cluster) openFile(name string, flag int) (*os.File, error) {
	path := filepath.Join(c.base, name)
	f, err := os.OpenFile(path, flag|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = os.OpenFile(path, flag|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
		if err == nil {
			err = c.likeBase(f)
		}
	}
	if err != nil {
		return nil, c.denied(err)
	}
	return f, nil
}

func (c *cluster) likeBase(f *os.File) error {
	info, err := os.Stat(c.base)
	if err != nil || os.Geteuid() != 0 || owner(info) == 0 {
		return err
	}
	return f.Chown(owner(info), -1)
}

// writeConf replaces a configuration file that the server reads.
func (c *cluster) writeConf(name, content string) error {
	f, err := os.CreateTemp(c.base, name+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err = f.WriteString(content); err == nil {
		err = f.Chmod(0o644) // has no secret, and another account reads it
	}
	if err == nil {
		err = c.likeBase(f)
	}
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(c.base, name))
	}
	return err
}

// makeOwned creates a folder that only the server's account may use. An existing one
// must be such a folder: in /tmp it could be another user's.
func (c *cluster) makeOwned(dir string) error {
	switch err := os.Mkdir(dir, 0o700); {
	case err == nil:
		if os.Geteuid() == 0 {
			return os.Lchown(dir, c.account.uid, c.account.gid)
		}
		return nil
	case !errors.Is(err, fs.ErrExist):
		return c.denied(err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if os.Geteuid() == 0 && info.IsDir() && owner(info) == 0 {
		// A start that was killed between the two steps above left it.
		if err := os.Lchown(dir, c.account.uid, c.account.gid); err != nil {
			return err
		}
	} else if !info.IsDir() || owner(info) != c.account.uid {
		return fmt.Errorf("%s is in the way: it should be a folder of the account %s", dir, c.account.name)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return os.Chmod(dir, 0o700)
	}
	return nil
}

// writeAccess allows connections from root, the server's account and our own, as
// reported by the kernel, and no others.
func (c *cluster) writeAccess() error {
	names := map[string]bool{"root": true, c.account.name: true}
	if us, err := user.Current(); err == nil {
		names[us.Username] = true
	}
	var ident strings.Builder
	for _, name := range slices.Sorted(maps.Keys(names)) {
		fmt.Fprintf(&ident, "private %q %s\n", name, Role)
	}
	if err := c.writeConf("ident.conf", ident.String()); err != nil {
		return err
	}
	return c.writeConf("hba.conf", "local all all peer map=private\n")
}

// maxLog is the size in bytes at which a start begins a new server log.
const maxLog = 1 << 20

// openLog opens the server's log to append, and returns its size.
func (c *cluster) openLog() (*os.File, int64, error) {
	path := filepath.Join(c.base, "server.log")
	if info, err := os.Lstat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, 0, err
		}
	}
	f, err := c.openFile("server.log", os.O_WRONLY|os.O_APPEND)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// globQuote quotes a path for filepath.Glob.
func globQuote(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
