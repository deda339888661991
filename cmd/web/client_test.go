package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/allcores/allcores/static"
)

// A client runs Python programs that import the client of a server.
type client struct {
	*server
	dir string // has allcores.py
}

// newClient places the client's file into a directory of its own.
func newClient(t testing.TB, s *server) client {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "allcores.py"), static.PythonClient(), 0o600); err != nil {
		t.Fatal(err)
	}
	return client{s, dir}
}

// command returns a run of an interpreter that finds the client and the server.
func (c client) command(t testing.TB, python string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, python, args...)
	cmd.Env = append(os.Environ(), "ALLCORES_URL="+c.url, "ALLCORES_TOKEN="+c.token, "PYTHONPATH="+c.dir, "PYTHONDONTWRITEBYTECODE=1", "TERM=xterm")
	cmd.Dir = t.TempDir()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGQUIT) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// run runs the command line of the client and returns both outputs and the exit status.
func (c client) run(t testing.TB, stdin string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := c.command(t, "python3", append([]string{filepath.Join(c.dir, "allcores.py")}, args...)...)
	var out, errors bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errors
	_ = cmd.Run() // its status follows
	return out.String(), errors.String(), cmd.ProcessState.ExitCode()
}

// script runs a program of testdata/client, which ends with status 0 if all it checks holds.
func (c client) script(t testing.TB, python, name string, args ...string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", "client", name))
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.command(t, python, append([]string{path}, args...)...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v\n%s", python, name, err, out)
	}
	return string(out)
}

// pythons returns the interpreters of this machine that have a module: python3, that of
// the system, and with ALLCORES_TEST_PYTHONS=1 those of pyenv too.
func pythons(t testing.TB, module string) []string {
	t.Helper()
	paths := []string{"python3"}
	if first, err := exec.LookPath("python3"); err == nil && first != "/usr/bin/python3" {
		paths = append(paths, "/usr/bin/python3")
	}
	if os.Getenv("ALLCORES_TEST_PYTHONS") != "" {
		for _, pattern := range []string{".pyenv/versions/3.[89].*/bin/python3", ".pyenv/versions/3.1?.*/bin/python3"} {
			found, err := filepath.Glob(filepath.Join(os.Getenv("HOME"), pattern))
			if err != nil {
				t.Fatal(err)
			}
			paths = append(paths, found...)
		}
	}
	var have []string
	for _, path := range paths {
		find := fmt.Sprintf("import importlib.util as u, sys; sys.exit(u.find_spec(%q) is None)", module)
		if exec.Command(path, "-c", find).Run() == nil {
			have = append(have, path)
		}
	}
	if have == nil {
		t.Skip("no Python here has " + module)
	}
	return have
}

// TestPythonPool runs CPython's own tests of multiprocessing.Pool against the client's.
func TestPythonPool(t *testing.T) {
	interpreters := pythons(t, "test._test_multiprocessing")
	c := newClient(t, serve(t, dataDir(t)))
	for _, python := range interpreters {
		t.Run(filepath.Base(filepath.Dir(filepath.Dir(python))), func(t *testing.T) { c.script(t, python, "pool_suite.py") })
	}
}

// TestPythonJoblib runs joblib's own tests against the client's backend: all with
// ALLCORES_TEST_PYTHONS=1, else those of errors, pickling and nesting.
func TestPythonJoblib(t *testing.T) {
	interpreters := pythons(t, "joblib")
	c := newClient(t, serve(t, dataDir(t)))
	for _, python := range interpreters {
		c.script(t, python, "joblib_more.py")
		if exec.Command(python, "-c", "import pytest").Run() != nil {
			continue
		}
		var some []string
		if os.Getenv("ALLCORES_TEST_PYTHONS") == "" {
			some = []string{"-k", "error_capture or parallel_pickling or timeout_fail or nested_parallel_warnings or unpicklable_functions"}
		}
		c.script(t, python, "joblib_suite.py", some...)
	}
}

// TestPythonJob checks Job, and what Pool adds to multiprocessing's.
func TestPythonJob(t *testing.T) {
	c := newClient(t, serve(t, dataDir(t)))
	for _, python := range pythons(t, "json") {
		for _, name := range []string{"job.py", "pool.py"} {
			t.Run(name, func(t *testing.T) { c.script(t, python, name) })
		}
	}
}

// freeAddress returns an address that a server can listen on again after it was killed.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestPythonClientsSurviveAKilledServer kills the server twice while a program submits, maps,
// waits and follows. The program ends well if nothing was lost or doubled.
func TestPythonClientsSurviveAKilledServer(t *testing.T) {
	address, data := freeAddress(t), dataDir(t)
	s := serve(t, data, "-addr", address)
	c := newClient(t, s)
	path, err := filepath.Abs("testdata/client/survive.py")
	if err != nil {
		t.Fatal(err)
	}
	cmd := c.command(t, "python3", path)
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// The program writes a byte when its work is a third and two thirds done.
	for range 2 {
		if _, err := out.Read(make([]byte, 1)); err != nil {
			break
		}
		if err := s.Process.Kill(); err != nil {
			t.Error(err)
		}
		if err := s.Wait(); err == nil {
			t.Error("the killed server ended in order")
		}
		s = serve(t, data, "-addr", address)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, log.String())
	}
}
