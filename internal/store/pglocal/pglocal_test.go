package pglocal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// childEnv makes the test binary a process that uses a private server: its
// value says how, childDir which one.
const (
	childEnv = "ALLCORES_PGLOCAL_CHILD"
	childDir = "ALLCORES_PGLOCAL_DIR"
)

func TestMain(m *testing.M) {
	if what := os.Getenv(childEnv); what != "" {
		if err := child(what); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(withReused{m})
}

// reused is the data directory of the tests that start from a cluster with no
// server: making one for each takes longer than most of them.
var reused string

type withReused struct{ m *testing.M }

func (w withReused) Run() int {
	defer func() { os.RemoveAll(reused) }()
	return w.m.Run()
}

// newCluster returns a data directory with a cluster in it, in which other
// tests have been, but no server.
func newCluster(t *testing.T) string {
	t.Helper()
	if reused == "" {
		dir, err := makeDir()
		if err != nil {
			t.Fatal(err)
		}
		reused = dir
		s, err := Start(t.Context(), Options{Dir: dir, Settings: unsafeButFast})
		if err != nil {
			t.Fatal(err)
		}
		closeServer(t, s)
	}
	t.Cleanup(func() { stopLeftServer(reused) })
	return reused
}

func child(what string) error {
	ctx := context.Background()
	if what == "connect" {
		conn, err := pgx.Connect(ctx, os.Getenv(childDir))
		if err != nil {
			return err
		}
		fmt.Println("connected")
		return conn.Close(ctx)
	}
	s, err := Start(ctx, Options{Dir: os.Getenv(childDir), Settings: unsafeButFast})
	if err != nil {
		return err
	}
	fmt.Println("up", s.URL())
	switch what {
	case "abandon": // as if killed: no Close
		return nil
	case "hold": // until our standard input ends
		io.Copy(io.Discard, os.Stdin)
	}
	return s.Close(ctx)
}

// startChild runs a child and waits until it says that its server is up.
func startChild(t *testing.T, what, dir string) (*exec.Cmd, io.Closer) {
	t.Helper()
	cmd := childCommand(what, dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if line, _ := bufio.NewReader(out).ReadString('\n'); !strings.HasPrefix(line, "up ") {
		t.Fatalf("the child said %q", line)
	}
	return cmd, in
}

func childCommand(what, dir string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+what, childDir+"="+dir)
	return cmd
}

var unsafeButFast = map[string]string{"fsync": "off"}

// newDir returns a data directory that the server's account can enter, and
// sees to it that no server is left in it.
func newDir(t *testing.T) string {
	t.Helper()
	dir, err := makeDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stopLeftServer(dir)
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func makeDir() (string, error) {
	dir, err := os.MkdirTemp("", "pglocal-")
	if err == nil {
		err = os.Chmod(dir, 0o711)
	}
	return dir, err
}

// stopLeftServer stops the server that a failed test has left.
func stopLeftServer(dir string) {
	if postmaster(dir) == 0 {
		return
	}
	if s, err := Start(context.Background(), Options{Dir: dir, Settings: unsafeButFast}); err == nil {
		s.Close(context.Background())
	}
}

func start(t *testing.T, opts Options) *Server {
	t.Helper()
	if opts.Settings == nil {
		opts.Settings = unsafeButFast
	}
	opts.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := Start(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeServer(t, s) })
	return s
}

func closeServer(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
}

// postmaster returns the process id of the running server, or 0.
func postmaster(dir string) int {
	text, err := os.ReadFile(filepath.Join(dir, "postgres", "data", "postmaster.pid"))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.SplitN(string(text), "\n", 2)[0])
	if err != nil || syscall.Kill(pid, 0) == syscall.ESRCH {
		return 0
	}
	return pid
}

// query runs a statement on a new connection and returns its one value.
func query(ctx context.Context, url, sql string) (v string, err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, sql, pgx.QueryExecModeSimpleProtocol).Scan(&v)
	return v, err
}

func mustQuery(t *testing.T, url, sql string) string {
	t.Helper()
	v, err := query(t.Context(), url, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func mustExec(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// eventually calls ok until it is nil or the time is up.
func eventually(t *testing.T, within time.Duration, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %v", within, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestServerKeepsWhatIsCommitted(t *testing.T) {
	dir := newCluster(t)
	s := start(t, Options{Dir: dir})
	if got, want := mustQuery(t, s.URL(), "select current_user || '@' || current_database()"), Role+"@"+Database; got != want {
		t.Errorf("connected as %s, want %s", got, want)
	}
	mustExec(t, s.URL(), "drop table if exists t; create table t as select 42 as v")
	closeServer(t, s)
	if pid := postmaster(dir); pid > 0 {
		t.Fatalf("the server runs on after Close as process %d", pid)
	}
	goleak.VerifyNone(t)

	s = start(t, Options{Dir: dir})
	if v := mustQuery(t, s.URL(), "select v::text from t"); v != "42" {
		t.Errorf("found %s, want 42", v)
	}
	if v := mustQuery(t, s.URLFor("postgres"), "select current_database()::text"); v != "postgres" {
		t.Errorf("URLFor(postgres) leads to %s", v)
	}
}

func TestServerIsDurableAndPrivate(t *testing.T) {
	dir := newDir(t)
	s := start(t, Options{Dir: dir, Settings: map[string]string{"work_mem": "9MB"}})
	got := map[string]string{}
	for _, name := range []string{"fsync", "synchronous_commit", "full_page_writes", "listen_addresses", "server_encoding", "lc_collate", "work_mem"} {
		got[name] = mustQuery(t, s.URL(), "show "+name)
	}
	want := map[string]string{
		"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on",
		"listen_addresses": "", "server_encoding": "UTF8", "lc_collate": "C", "work_mem": "9MB",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("settings (-want +got):\n%s", d)
	}
	for _, name := range []string{"data", "run"} {
		info, err := os.Stat(filepath.Join(dir, "postgres", name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v, want 0700", name, info.Mode())
		}
	}
	sid, err := unix.Getsid(postmaster(dir))
	if err != nil {
		t.Fatal(err)
	}
	if own, _ := unix.Getsid(0); sid == own {
		t.Error("the server is in our session: a Ctrl-C would reach it")
	}
}

// Peer authentication stands even where the folder's mode does not.
func TestOtherAccountsAreRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can act as another account")
	}
	dir := newCluster(t)
	s := start(t, Options{Dir: dir})
	run := filepath.Join(dir, "postgres", "run")
	for path, mode := range map[string]os.FileMode{run: 0o711, filepath.Join(run, ".s.PGSQL.5432"): 0o777} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	cmd := asNobody(t, childCommand("connect", s.URL()))
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "Peer authentication failed") {
		t.Errorf("nobody connected with %v: %s", err, out)
	}
}

func TestLastOneOutStopsTheServer(t *testing.T) {
	dir := newCluster(t)
	first := start(t, Options{Dir: dir})
	pid := postmaster(dir)
	second := start(t, Options{Dir: dir})
	if got := postmaster(dir); got != pid {
		t.Fatalf("the second start found process %d, want %d", got, pid)
	}
	closeServer(t, first)
	if got := postmaster(dir); got != pid {
		t.Fatalf("process %d serves after the first Close, want %d", got, pid)
	}
	mustQuery(t, second.URL(), "select 1::text")
	closeServer(t, second)
	if got := postmaster(dir); got != 0 {
		t.Fatalf("process %d is there after the last Close", got)
	}
}

func TestProcessesShareTheServer(t *testing.T) {
	dir := newCluster(t)
	holder, in := startChild(t, "hold", dir)
	pid := postmaster(dir)
	s := start(t, Options{Dir: dir})
	if got := postmaster(dir); got != pid {
		t.Fatalf("found process %d, want the child's %d", got, pid)
	}
	closeServer(t, s)
	if got := postmaster(dir); got != pid {
		t.Fatal("our Close stopped the server under the child")
	}

	s = start(t, Options{Dir: dir})
	in.Close()
	if err := holder.Wait(); err != nil {
		t.Fatal(err)
	}
	mustQuery(t, s.URL(), "select 1::text")
	closeServer(t, s)
	if got := postmaster(dir); got != 0 {
		t.Fatalf("process %d is there after the last Close, of a server that another process started", got)
	}
}

func TestProcessesStartAtOnce(t *testing.T) {
	dir := newDir(t)
	const n = 4
	outputs := make(chan string, n)
	for range n {
		go func() {
			out, err := childCommand("close", dir).CombinedOutput()
			outputs <- fmt.Sprintf("%s%v", out, err)
		}()
	}
	for range n {
		if out := <-outputs; !strings.HasPrefix(out, "up ") || !strings.HasSuffix(out, "<nil>") {
			t.Errorf("a process said %q", out)
		}
	}
	if pid := postmaster(dir); pid != 0 {
		t.Errorf("process %d is left", pid)
	}
}

// A server whose users were killed is found again. That CombinedOutput returns
// at all shows that the server keeps no stream of ours.
func TestAbandonedServerIsReused(t *testing.T) {
	dir := newCluster(t)
	if out, err := childCommand("abandon", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	pid := postmaster(dir)
	if pid == 0 {
		t.Fatal("the server went with the process that started it")
	}
	s := start(t, Options{Dir: dir})
	if got := postmaster(dir); got != pid {
		t.Errorf("found process %d, want %d", got, pid)
	}
	closeServer(t, s)
	if got := postmaster(dir); got != 0 {
		t.Errorf("process %d is left", got)
	}
}

func TestKilledUserLetsGo(t *testing.T) {
	dir := newCluster(t)
	holder, _ := startChild(t, "hold", dir)
	s := start(t, Options{Dir: dir})
	holder.Process.Kill()
	holder.Wait()
	mustQuery(t, s.URL(), "select 1::text")
	closeServer(t, s)
	if got := postmaster(dir); got != 0 {
		t.Errorf("process %d is left: the dead child still counts as a user", got)
	}
}

func TestKilledServerComesBack(t *testing.T) {
	dir := newCluster(t)
	s := start(t, Options{Dir: dir})
	other := start(t, Options{Dir: dir}) // does not get in the way
	defer closeServer(t, other)
	mustExec(t, s.URL(), "drop table if exists t; create table t as select generate_series(1, 100000) as v")
	for range 2 {
		pid := postmaster(dir)
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, 5*time.Second, func() error {
			v, err := query(t.Context(), s.URL(), "select count(*)::text from t")
			if err == nil && v != "100000" {
				t.Fatalf("%s rows, want 100000", v)
			}
			return err
		})
		if got := postmaster(dir); got == pid {
			t.Fatal("the killed server serves")
		}
	}
}

// A backend in the middle of a statement outlives its killed server, and no
// server can start while it does.
func TestKilledServerComesBackDespiteBusyBackend(t *testing.T) {
	if _, err := os.Stat("/proc/self/cwd"); err != nil {
		t.Skip("needs /proc to find the backend")
	}
	dir := newCluster(t)
	s := start(t, Options{Dir: dir})
	busy := make(chan struct{})
	go func() {
		defer close(busy)
		query(context.Background(), s.URL(), "select count(*)::text from generate_series(1, 1e12) v")
	}()
	defer func() { <-busy }()
	eventually(t, 10*time.Second, func() error {
		v, err := query(t.Context(), s.URL(), "select count(*)::text from pg_stat_activity where query like '%1e12%' and state = 'active' and pid <> pg_backend_pid()")
		if err == nil && v != "1" {
			err = errors.New("the statement does not run yet")
		}
		return err
	})
	if err := syscall.Kill(postmaster(dir), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, func() error {
		_, err := query(t.Context(), s.URL(), "select 1::text")
		return err
	})
}

func TestCrashedBackend(t *testing.T) {
	dir := newCluster(t)
	s := start(t, Options{Dir: dir})
	pid := postmaster(dir)
	conn, err := pgx.Connect(t.Context(), s.URL())
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(int(conn.PgConn().PID()), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, func() error {
		if err := conn.Ping(t.Context()); err == nil {
			return errors.New("the killed backend answers")
		}
		_, err := query(t.Context(), s.URL(), "select 1::text")
		return err
	})
	conn.Close(t.Context())
	if got := postmaster(dir); got != pid {
		t.Errorf("process %d serves, want %d: a server that recovers by itself was replaced", got, pid)
	}
}

func TestCloseDuringRestart(t *testing.T) {
	dir := newCluster(t)
	s := start(t, Options{Dir: dir})
	if err := syscall.Kill(postmaster(dir), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	closeServer(t, s)
	eventually(t, 10*time.Second, func() error {
		if pid := postmaster(dir); pid != 0 {
			return fmt.Errorf("process %d is left", pid)
		}
		return nil
	})
}

func TestSocketPathTooLong(t *testing.T) {
	for _, name := range []string{strings.Repeat("deep/", 20) + "end", "with, a comma", `quo"ted`, `quo'ted %41?&`} {
		home := filepath.Join(newCluster(t), "postgres")
		inner := filepath.Join(newDir(t), name)
		if err := MakeDataDir(inner); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(home, filepath.Join(inner, "postgres")); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Rename(filepath.Join(inner, "postgres"), home) })
		s := start(t, Options{Dir: inner})
		mustQuery(t, s.URL(), "select 1::text")
		closeServer(t, s)
		os.Remove(s.c.run) // the short one
		if err := os.Rename(filepath.Join(inner, "postgres"), home); err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(s.URL())
		if err != nil {
			t.Fatal(err)
		}
		if host := u.Query().Get("host"); len(host)+len("/.s.PGSQL.5432") > 103 || strings.ContainsAny(host, `,"`) {
			t.Errorf("the socket is in %s", host)
		}
	}
}

// A stranger who was first to make the short folder gets nothing.
func TestSocketFolderOfAStranger(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can act as another account")
	}
	dir := newDir(t)
	inner := filepath.Join(dir, strings.Repeat("deep/", 20)+"end")
	run := socketDir(filepath.Join(inner, "postgres"))
	if err := os.Mkdir(run, 0o777); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(run)
	if err := os.Chown(run, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), Options{Dir: inner, Settings: unsafeButFast})
	if err == nil || !strings.Contains(err.Error(), run+" is in the way") {
		t.Errorf("Start said %v", err)
	}
}

func TestInterruptedInitdb(t *testing.T) {
	dir := newDir(t)
	base := filepath.Join(dir, "postgres")
	cmd := childCommand("hold", dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, func() error {
		if found, _ := filepath.Glob(filepath.Join(base, "initdb-*", "PG_VERSION")); len(found) == 0 {
			return errors.New("initdb does not run yet")
		}
		return nil
	})
	cmd.Process.Kill()
	cmd.Wait()
	if _, err := os.Stat(filepath.Join(base, "data")); err == nil {
		t.Fatal("there is a cluster already")
	}

	s := start(t, Options{Dir: dir})
	mustQuery(t, s.URL(), "select 1::text")
	if pid := postmaster(dir); pid == 0 {
		t.Error("no server")
	}
	// One that the killed process's initdb was still writing to may be left.
	if found, _ := filepath.Glob(filepath.Join(base, "initdb-*")); len(found) > 1 {
		t.Errorf("left: %v", found)
	}
}

func TestLeftoversOfInitdbAreRemoved(t *testing.T) {
	dir := newDir(t)
	base := filepath.Join(dir, "postgres")
	if err := MakeDataDir(base); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(base, "initdb-123", "base"), 0o700); err != nil {
		t.Fatal(err)
	}
	start(t, Options{Dir: dir})
	if found, _ := filepath.Glob(filepath.Join(base, "initdb-*")); len(found) > 0 {
		t.Errorf("left: %v", found)
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	dir := newDir(t)
	programs := fakePrograms(t, filepath.Join(dir, "bin"), "15.1")
	if err := os.WriteFile(filepath.Join(programs, "initdb"), []byte("#!/bin/sh\nsleep 600\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Run("while initdb hangs", func(t *testing.T) {
		t.Setenv("PG_BINDIR", programs)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		ended := make(chan error, 1)
		go func() {
			_, err := Start(ctx, Options{Dir: dir, Settings: unsafeButFast})
			ended <- err
		}()
		select {
		case err := <-ended:
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Start said %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("Start goes on")
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "postgres", "initdb-*")); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
	start(t, Options{Dir: dir})
}

func TestWrongSettingIsReported(t *testing.T) {
	dir := newCluster(t)
	_, err := Start(t.Context(), Options{Dir: dir, Settings: map[string]string{"max_connections": "many"}})
	if err == nil || !strings.Contains(err.Error(), `invalid value for parameter "max_connections": "many"`) || strings.Contains(err.Error(), "\n") {
		t.Errorf("Start said %v", err)
	}
}

// noPrograms hides every PostgreSQL of the machine.
func noPrograms(t *testing.T) {
	t.Helper()
	dirs := usualDirs
	usualDirs = nil
	t.Cleanup(func() { usualDirs = dirs })
	t.Setenv("PATH", t.TempDir())
	t.Setenv("PG_BINDIR", "")
}

func TestMissingPrograms(t *testing.T) {
	noPrograms(t)
	_, err := Start(t.Context(), Options{Dir: newDir(t)})
	missing := (*MissingError)(nil)
	if !errors.As(err, &missing) {
		t.Fatalf("Start said %v", err)
	}
	for _, want := range []string{"apt-get install postgresql", "dnf install postgresql-server", "apk add postgresql", "brew install postgresql", "PG_BINDIR", "DATABASE_URL"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not mention %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%q is more than a line", err)
	}
}

func TestMissingProgramsOfAnOldCluster(t *testing.T) {
	dir := newDir(t)
	acc, err := serverAccount()
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "postgres", "data")
	if err := MakeDataDir(data); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(data, acc.uid, acc.gid); err != nil {
		t.Fatal(err)
	}
	_, err = Start(t.Context(), Options{Dir: dir})
	missing := (*MissingError)(nil)
	if !errors.As(err, &missing) || missing.Major != 99 {
		t.Fatalf("Start said %v", err)
	}
	for _, want := range []string{data, "PostgreSQL 99", "apt-get install postgresql-99", "brew install postgresql@99"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not mention %q", err, want)
		}
	}
}

// fakePrograms makes a folder with programs that say they are a version.
func fakePrograms(t *testing.T, dir, version string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"postgres", "initdb", "pg_ctl"} {
		script := fmt.Sprintf("#!/bin/sh\necho '%s (PostgreSQL) %s'\n", name, version)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestWhichProgramsAreUsed(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	named := fakePrograms(t, filepath.Join(root, "named"), "14.2")
	inPath := fakePrograms(t, filepath.Join(root, "path"), "16.0 (Debian 16.0-1)")
	nine := fakePrograms(t, filepath.Join(root, "lib", "9.6", "bin"), "9.6.24")
	fifteen := fakePrograms(t, filepath.Join(root, "lib", "15", "bin"), "15.1")
	hundred := fakePrograms(t, filepath.Join(root, "lib", "100", "bin"), "100beta1")
	links := filepath.Join(root, "links") // as some people put them on PATH
	if err := os.Mkdir(links, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(fifteen, "postgres"), filepath.Join(links, "postgres")); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(root, "half") // a client's installation
	if err := os.Mkdir(half, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(half, "postgres"), nil, 0o755); err != nil {
		t.Fatal(err)
	}

	noPrograms(t)
	t.Setenv("PATH", "/usr/bin:/bin") // for the scripts' echo
	for _, tt := range []struct {
		name, bindir, path string
		major              int
		want               string
	}{
		{"the newest", "", "", 0, hundred},
		{"PATH before the usual folders", "", inPath, 0, inPath},
		{"PG_BINDIR before PATH", named, inPath, 0, named},
		{"a link leads to its folder", "", links, 0, fifteen},
		{"half an installation is none", "", half, 0, hundred},
		{"an old version does not count", nine, "", 0, hundred},
		{"the cluster's version before all", named, inPath, 15, fifteen},
		{"the cluster's version in PATH", named, inPath, 16, inPath},
		{"an old cluster", named, inPath, 9, nine},
		{"not there", named, inPath, 17, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			usualDirs = []string{filepath.Join(globQuote(root), "lib", "*", "bin")}
			t.Setenv("PG_BINDIR", tt.bindir)
			t.Setenv("PATH", tt.path+":/nowhere")
			got, err := binaries(tt.major, "")
			if got != tt.want || (err != nil) != (tt.want == "") {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestClosedDataDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root runs the server under another account")
	}
	closed := filepath.Join(newDir(t), "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(closed, "data")
	_, err := Start(t.Context(), Options{Dir: dir})
	wrong := (*DirError)(nil)
	if !errors.As(err, &wrong) || wrong.Dir != dir {
		t.Fatalf("Start said %v", err)
	}
	for _, want := range []string{dir, "chmod o+x " + closed} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not mention %q", err, want)
		}
	}
}

func TestSomethingElseInTheWay(t *testing.T) {
	dir := newDir(t)
	data := filepath.Join(dir, "postgres", "data")
	if err := MakeDataDir(data); err != nil {
		t.Fatal(err)
	}
	acc, err := serverAccount()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(data, acc.uid, acc.gid); err != nil {
		t.Fatal(err)
	}
	_, err = Start(t.Context(), Options{Dir: dir})
	if wrong := (*DirError)(nil); !errors.As(err, &wrong) || !strings.Contains(err.Error(), data+" is no PostgreSQL cluster") {
		t.Errorf("Start said %v", err)
	}
}

func TestDefaultDataDir(t *testing.T) {
	open := newDir(t)
	t.Setenv("HOME", open)
	for _, tt := range []struct{ name, xdg, want string }{
		{"home", "", filepath.Join(open, ".local", "share", "allcores")},
		{"XDG_DATA_HOME", filepath.Join(open, "xdg"), filepath.Join(open, "xdg", "allcores")},
		{"a relative XDG_DATA_HOME", "xdg", filepath.Join(open, ".local", "share", "allcores")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("XDG_DATA_HOME", tt.xdg)
			if got, err := DefaultDataDir(); got != tt.want || err != nil {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
	t.Run("a closed home", func(t *testing.T) {
		closed := filepath.Join(open, "closed")
		if err := os.Mkdir(closed, 0o700); err != nil {
			t.Fatal(err)
		}
		t.Setenv("HOME", closed)
		t.Setenv("XDG_DATA_HOME", "")
		want := filepath.Join(closed, ".local", "share", "allcores")
		if os.Geteuid() == 0 {
			want = "/var/lib/allcores"
		}
		if got, err := DefaultDataDir(); got != want || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	})
}

// asNobody makes a command of the test binary run under the account nobody,
// from a copy of the binary that this account can reach.
func asNobody(t *testing.T, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Skip("there is no account nobody")
	}
	acc, err := newAccount(u)
	if err != nil {
		t.Fatal(err)
	}
	dir := newDir(t)
	binary, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	cmd.Path = filepath.Join(dir, "pglocal.test")
	if err := os.WriteFile(cmd.Path, binary, 0o755); err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(dir, "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(home, acc.uid, acc.gid); err != nil {
		t.Fatal(err)
	}
	cmd.Args[0] = cmd.Path
	cmd.Dir = home
	cmd.Env = slices.DeleteFunc(slices.Clone(cmd.Environ()), func(kv string) bool { return strings.HasPrefix(kv, "XDG_") })
	cmd.Env = append(cmd.Env, "HOME="+home, "TMPDIR="+home, "USER=nobody")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(acc.uid), Gid: uint32(acc.gid)}}
	return cmd
}

// An ordinary user gets the same.
func TestOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can act as another account")
	}
	names := []string{
		"TestServerKeepsWhatIsCommitted", "TestServerIsDurableAndPrivate", "TestProcessesShareTheServer", "TestAbandonedServerIsReused",
		"TestKilledServerComesBack", "TestKilledServerComesBackDespiteBusyBackend", "TestSocketPathTooLong", "TestDefaultDataDir",
	}
	out, err := asNobody(t, exec.Command(os.Args[0], "-test.v", "-test.run=^("+strings.Join(names, "|")+")$")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, name := range names {
		if !strings.Contains(string(out), "--- PASS: "+name) {
			t.Errorf("%s did not pass", name)
		}
	}
}

// A sequence goes on after a crash where it was, also one that was used in the
// transaction that made it.
func TestSequencesSurviveACrash(t *testing.T) {
	dir := newCluster(t)
	s := start(t, Options{Dir: dir})
	const add = "insert into made default values"
	mustExec(t, s.URL(), "drop table if exists made; create table made (id int primary key generated by default as identity); "+add)
	mustExec(t, s.URL(), add)
	if err := syscall.Kill(postmaster(dir), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, func() error {
		_, err := query(t.Context(), s.URL(), "select count(*)::text from made")
		return err
	})
	mustExec(t, s.URL(), add)
}
