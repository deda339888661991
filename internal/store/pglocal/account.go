package pglocal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// An account is the account of the machine that the server runs under.
type account struct {
	name     string
	uid, gid int
}

// credential returns what a child process needs to run under the account; nil if it
// does anyway.
func (a account) credential() *syscall.Credential {
	if os.Geteuid() != 0 {
		return nil
	}
	return &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
}

// serverAccount returns the account for a new cluster: our own, or as root that of the
// distribution's package, else nobody.
func serverAccount() (account, error) {
	if uid := os.Geteuid(); uid != 0 {
		return accountOf(uid)
	}
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			return newAccount(u)
		}
	}
	return account{}, errors.New("PostgreSQL does not run as root, and there is no account postgres or nobody to run it under: make one, or set DATABASE_URL")
}

func accountOf(uid int) (account, error) {
	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		return account{}, fmt.Errorf("PostgreSQL needs an account with a name: %w", err)
	}
	return newAccount(u)
}

func newAccount(u *user.User) (account, error) {
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return account{}, fmt.Errorf("account %s: %w", u.Username, err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return account{}, fmt.Errorf("account %s: %w", u.Username, err)
	}
	return account{u.Username, uid, gid}, nil
}

// A DirError reports that the data directory cannot be used as it is. Its message is
// one line that names the directory and the remedy.
type DirError struct {
	Dir     string // the data directory
	Message string
}

func (e *DirError) Error() string { return e.Message }

// DefaultDataDir returns the data directory to use when none was given:
// $XDG_DATA_HOME/allcores, else ~/.local/share/allcores. As root it is
// /var/lib/allcores if the server's account cannot enter that one, as is usual for
// root's home. It creates nothing. It fails if there is neither a home directory nor
// $XDG_DATA_HOME.
func DefaultDataDir() (string, error) {
	const system = "/var/lib/allcores"
	root := os.Geteuid() == 0
	base := os.Getenv("XDG_DATA_HOME")
	if !filepath.IsAbs(base) { // the specification says to ignore a relative one
		home, err := os.UserHomeDir()
		switch {
		case err == nil:
			base = filepath.Join(home, ".local", "share")
		case root:
			return system, nil
		default:
			return "", fmt.Errorf("choosing a data directory: %w", err)
		}
	}
	dir := filepath.Join(base, "allcores")
	if root {
		acc, err := serverAccount()
		if err == nil && acc.closedDir(dir) != "" {
			return system, nil
		}
	}
	return dir, nil
}

// MakeDataDir creates the data directory and missing directories above it. As root it
// lets everybody enter the new directories, but not list them, since the server runs
// under another account; otherwise only the user may use them. An existing directory
// stays as it is.
func MakeDataDir(dir string) error {
	mode := fs.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o711
	}
	return makeDirs(filepath.Clean(dir), mode)
}

func makeDirs(dir string, mode fs.FileMode) error {
	info, err := os.Stat(dir)
	switch {
	case err == nil && !info.IsDir():
		return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if parent := filepath.Dir(dir); parent != dir {
		if err := makeDirs(parent, mode); err != nil {
			return err
		}
	}
	switch err := os.Mkdir(dir, mode); {
	case errors.Is(err, fs.ErrExist):
		return nil // another process was faster
	case err != nil:
		return err
	}
	return os.Chmod(dir, mode) // whatever the umask took away
}

// closedDir returns the topmost directory on the way to dir, dir included,
// that the account may not enter by its mode, or "". Missing directories count as open.
func (a account) closedDir(dir string) string {
	for {
		real, err := filepath.EvalSymlinks(dir)
		if err == nil {
			dir = real
			break
		}
		parent := filepath.Dir(dir)
		if !errors.Is(err, fs.ErrNotExist) || parent == dir {
			break
		}
		dir = parent
	}
	closed := ""
	for ; ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && !a.mayEnter(info) {
			closed = dir
		}
		if dir == filepath.Dir(dir) {
			return closed
		}
	}
}

func (a account) mayEnter(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return true
	}
	switch mode := info.Mode().Perm(); {
	case a.uid == 0:
		return true
	case int(st.Uid) == a.uid:
		return mode&0o100 != 0
	case int(st.Gid) == a.gid:
		return mode&0o010 != 0
	default:
		return mode&0o001 != 0
	}
}

// owner returns the uid that owns a file.
func owner(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}
