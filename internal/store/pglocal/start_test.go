package pglocal

import (
	"context"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

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

// TestOtherAccountsAreRefused checks that peer authentication refuses other accounts,
// even if the folder's mode admits them.
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
		t.Errorf("the account nobody connected with %v: %s", err, out)
	}
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

// TestSocketFolderOfAStranger checks that Start fails where another account has made
// the short folder.
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
	// A folder may be left if the killed process's initdb was still writing to it.
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

// TestSequencesSurviveACrash checks that a sequence does not go back in a crash, also
// if the transaction that created it has used it.
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

// TestOrdinaryUser runs other tests as an ordinary user.
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
