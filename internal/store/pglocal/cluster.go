package pglocal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A cluster is one private server's folder and, if we started the server, its
// process. All methods but url need the file lock named lock.
type cluster struct {
	base     string // <data directory>/postgres
	run      string // the socket's folder
	settings map[string]string
	log      *slog.Logger

	account account  // what the server runs under
	proc    *process // the server if we started it, also when it has ended
}

func (c *cluster) data() string { return filepath.Join(c.base, "data") }

// openCluster makes the folder around the cluster and finds out which account
// it belongs to.
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
	// One cluster, one name: the socket's folder may hang on it.
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

// socketDir returns the folder of the socket: run in base, or a short one
// where that would not fit into a socket address.
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
	// Not os.TempDir: every process must arrive at the same name, whatever its
	// environment, and a TMPDIR may be too long itself.
	return filepath.Join("/tmp", "allcores-"+hex.EncodeToString(sum[:])[:16])
}

// openFile opens a file of ours in base, making it with mode 0600 and, as
// root, with the owner of base, who may run the server without us another day.
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
		err = f.Chmod(0o644) // there is no secret in it, and another account reads it
	}
	if err == nil {
		err = c.likeBase(f)
	}
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(c.base, name))
	}
	return err
}

// makeOwned makes a folder that belongs to the server's account alone. One
// that exists must be such a folder: in /tmp it could be a stranger's.
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

// health is what a connection attempt says about the server.
type health int

const (
	down health = iota // nothing listens
	busy               // it listens but does not serve: starting, recovering, stopping
	up
	odd // it answers, and waiting will not change what
)

// probe tries to connect. The connection is not nil if and only if the server
// is up.
func (c *cluster) probe(ctx context.Context) (*pgx.Conn, health, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	config, err := pgx.ParseConfig(c.url("postgres"))
	if err != nil {
		return nil, odd, err
	}
	config.RuntimeParams = map[string]string{"application_name": "allcores supervision"}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err == nil {
		return conn, up, nil
	}
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused):
		switch refused.Code {
		case "57P03", "57P01", "57P02", "53300": // starting or stopping, stopping, crashed, too many connections
			return nil, busy, err
		}
		return nil, odd, err
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED):
		return nil, down, err
	case errors.Is(err, syscall.EACCES):
		return nil, odd, c.denied(err)
	}
	return nil, busy, err // cut or timed out in mid-handshake
}

// ensure returns a connection to the server, starting it if it does not run.
func (c *cluster) ensure(ctx context.Context) (*pgx.Conn, error) {
	const patience = time.Minute // without a deadline, for a server that does not even listen
	began := time.Now()
	var (
		started  bool      // a server by this call, which has not failed so far
		orphaned time.Time // when a dead server's backends were first in the way
		retry    time.Time // not to start another one before
		failure  error     // the last one
	)
	longest := 20 * time.Millisecond
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, longest) {
		if time.Since(began) > time.Second {
			longest = 100 * time.Millisecond // it recovers, and would log each attempt
		}
		conn, state, err := c.probe(ctx)
		switch state {
		case up:
			if started {
				c.log.Info("started the private PostgreSQL", "dir", c.base, "took", time.Since(began).Round(time.Millisecond))
			}
			return conn, nil
		case odd:
			return nil, fmt.Errorf("connecting to PostgreSQL in %s: %w", c.base, err)
		case busy:
			failure = err
		case down:
			if c.proc.running() {
				break // it has not come to listening yet
			}
			if started {
				started = false
				var obstacle obstacle
				if failure, obstacle = c.proc.failure(); obstacle == none {
					return nil, failure
				}
				retry = time.Now().Add(100 * time.Millisecond)
				if obstacle == backends {
					if orphaned.IsZero() {
						orphaned = time.Now()
					} else if time.Since(orphaned) > time.Second {
						c.endOrphans()
					}
				}
			}
			if _, bounded := ctx.Deadline(); !bounded && time.Since(began) > patience {
				return nil, failure
			}
			if time.Now().Before(retry) {
				break
			}
			if err := c.spawn(ctx); err != nil {
				return nil, err
			}
			started = true
			pause = 2 * time.Millisecond
		}
		var ended <-chan struct{}
		if started {
			ended = c.proc.ended()
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("starting PostgreSQL in %s: %w", c.base, errors.Join(context.Cause(ctx), failure))
		case <-ended:
		case <-time.After(pause):
		}
	}
}

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

// spawn starts the server, making the cluster first if there is none. It does
// not wait until the server answers.
func (c *cluster) spawn(ctx context.Context) error {
	major, err := c.major()
	if err != nil {
		return err
	}
	bin, err := binaries(major, c.data())
	if err != nil {
		return err
	}
	if err := c.makeOwned(c.run); err != nil {
		return fmt.Errorf("making the socket's folder: %w", err)
	}
	if major == 0 {
		if err := c.initdb(ctx, bin); err != nil {
			return fmt.Errorf("making the database cluster in %s: %w", c.base, err)
		}
	}
	if err := c.writeAccess(); err != nil {
		return fmt.Errorf("writing who may connect to PostgreSQL: %w", err)
	}
	log, from, err := c.openLog()
	if err != nil {
		return fmt.Errorf("opening PostgreSQL's log: %w", err)
	}
	defer log.Close()

	args := []string{
		"-D", c.data(),
		"-p", port,
		"-c", "listen_addresses=",
		"-c", `unix_socket_directories="` + c.run + `"`,
		"-c", "unix_socket_permissions=0700",
		"-c", "hba_file=" + filepath.Join(c.base, "hba.conf"),
		"-c", "ident_file=" + filepath.Join(c.base, "ident.conf"),
	}
	cmd := c.command(bin, "postgres", append(args, settings(c.settings)...)...)
	// Not our streams: whoever reads them to the end would wait for the server.
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting PostgreSQL as %s: %w", c.account.name, err)
	}
	c.proc = &process{cmd: cmd, log: log.Name(), from: from, done: make(chan struct{})}
	background(c.proc.reap)
	return nil
}

// command prepares a server program to run under the server's account, with
// nothing of our environment that could steer it.
func (c *cluster) command(bin, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(bin, name), args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + bin + ":/usr/bin:/bin", "LC_ALL=C", "HOME=/", "USER=" + c.account.name}
	for _, keep := range []string{"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZDIR"} {
		if v, ok := os.LookupEnv(keep); ok {
			cmd.Env = append(cmd.Env, keep+"="+v)
		}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: c.account.credential(),
		// Its own session: a Ctrl-C in our terminal is not for it.
		Setsid: true,
	}
	return cmd
}

// initdb makes the cluster under another name and renames it when it is
// complete and on disk, so that a folder data is always a whole cluster.
func (c *cluster) initdb(ctx context.Context, bin string) error {
	began := time.Now()
	leftovers, _ := filepath.Glob(filepath.Join(globQuote(c.base), "initdb-*"))
	for _, dir := range leftovers {
		// An initdb whose parent was killed may still be writing there; then
		// the next start removes it.
		if err := os.RemoveAll(dir); err != nil {
			c.log.Warn("removing an unfinished database cluster", "error", err)
		}
	}
	tmp, err := os.MkdirTemp(c.base, "initdb-")
	if err != nil {
		return c.denied(err)
	}
	defer os.RemoveAll(tmp) // after the rename there is nothing by that name
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

// globQuote makes a path match only itself.
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

// writeAccess lets in whoever the kernel says is root, the server's account or
// us, and nobody else.
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

// stop ends the server, whoever started it, and waits for its end.
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

// endOrphans tells backends whose server was killed to go. They go by
// themselves when their statement ends, but that may take long, and no server
// can start before. Only Linux tells who they are.
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
			syscall.Kill(pid, syscall.SIGQUIT) // it is gone already, or goes now
		}
	}
}

// A process is a server that we started. A nil process does not run.
type process struct {
	cmd  *exec.Cmd
	log  string // its log's path, and
	from int64  // where in it our server's lines begin
	done chan struct{}
	err  error // valid when done is closed
}

// reap waits for the process, which may outlive our hold on the server: a dead
// child that nobody waits for would still count as alive to the next server.
func (p *process) reap() {
	p.err = p.cmd.Wait()
	close(p.done)
}

func (p *process) running() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// ended is closed when the process has ended; nil, never ready, without one.
func (p *process) ended() <-chan struct{} {
	if p == nil {
		return nil
	}
	return p.done
}

// said returns the end of what the server logged.
func (p *process) said() []byte {
	f, err := os.Open(p.log)
	if err != nil {
		return nil
	}
	defer f.Close()
	out, _ := io.ReadAll(io.NewSectionReader(f, p.from, 64<<10))
	return out
}

// An obstacle is what is left of an earlier server and will go.
type obstacle int

const (
	none     obstacle = iota
	server            // it is still there itself
	backends          // it was killed, but some of its backends work on
)

// failure says why the ended process did not come up, and whether another
// attempt will fare better.
func (p *process) failure() (error, obstacle) {
	err, out := p.err, p.said()
	if err == nil {
		err = errors.New("exited at once")
	}
	err = fmt.Errorf("starting PostgreSQL: %w: %s (see %s)", err, oneLine(out), p.log)
	switch {
	case bytes.Contains(out, []byte("pre-existing shared memory block")):
		return err, backends
	case bytes.Contains(out, []byte(`lock file "`)) && bytes.Contains(out, []byte(`" already exists`)):
		return err, server
	}
	return err, none
}

// oneLine makes a program's complaint fit into an error: its last lines,
// joined.
func oneLine(out []byte) string {
	lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(string(out)), "\n"), func(l string) bool { return strings.TrimSpace(l) == "" })
	if len(lines) > 4 {
		lines = lines[len(lines)-4:]
	}
	for i, l := range lines {
		lines[i] = strings.TrimSpace(l)
	}
	return strings.Join(lines, "; ")
}
