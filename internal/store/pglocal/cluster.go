package pglocal

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

// A cluster is the folder of a private server and, if this process started it, its
// process. The caller of any method but url must hold the file lock named lock.
type cluster struct {
	base     string // <data directory>/postgres
	run      string // the socket's folder
	settings map[string]string
	log      *slog.Logger

	account account  // what the server runs under
	proc    *process // the server if we started it, also when it has ended
}

func (c *cluster) data() string { return filepath.Join(c.base, "data") }

// openCluster creates the folder around the cluster and determines the account that
// owns it.
func openCluster(dir string, settings map[string]string, log *slog.Logger) (*cluster, error) {
	if dir == "" {
		return nil, errors.New("starting PostgreSQL: no data directory given")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	base := filepath.Join(dir, "postgres")
	if err := MakeDataDir(base); err != nil {
		return nil, fmt.Errorf("making the data directory: %w", err)
	}
	// A cluster has one name, since the socket's folder may depend on it.
	if base, err = filepath.EvalSymlinks(base); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	c := &cluster{base: base, settings: settings, log: log}

	switch info, err := os.Stat(c.data()); {
	case errors.Is(err, fs.ErrNotExist):
		if c.account, err = serverAccount(); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, c.denied(fmt.Errorf("data directory: %w", err))
	default:
		uid := owner(info)
		if c.account, err = accountOf(uid); err != nil {
			return nil, fmt.Errorf("owner of %s: %w", c.data(), err)
		}
		if uid == 0 {
			return nil, &DirError{dir, fmt.Sprintf("%s belongs to root, under whose account PostgreSQL does not run: give it back to the account that made it, as with chown -R postgres %s", c.data(), c.data())}
		}
		if euid := os.Geteuid(); euid != 0 && euid != uid {
			return nil, &DirError{dir, fmt.Sprintf("the database in %s belongs to the account %s: run as that account or as root, or choose another data directory", c.data(), c.account.name)}
		}
	}
	if os.Geteuid() == 0 {
		if closed := c.account.closedDir(base); closed != "" {
			return nil, &DirError{dir, fmt.Sprintf("the data directory %s cannot be used by the account %s, under which PostgreSQL runs when started by root, because %s is closed to it: choose another data directory, or open that one with chmod o+x %s", dir, c.account.name, closed, closed)}
		}
	}
	c.run = socketDir(base)
	return c, nil
}

// denied explains a missing permission on our own files.
func (c *cluster) denied(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		dir := filepath.Dir(c.base)
		return &DirError{dir, fmt.Sprintf("no access to the data directory %s (%v): run as the account that made it, or choose another data directory", dir, err)}
	}
	return err
}
