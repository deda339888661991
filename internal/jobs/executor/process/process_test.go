package process

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func start(t *testing.T, argv ...string) *Process {
	t.Helper()
	path, err := Look(argv[0], os.Getenv("PATH"))
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	fd := int(null.Fd())
	p, err := Start(Spec{Path: path, Argv: argv, Env: Environ(1), Dir: "/", Files: []int{fd, fd, fd}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestExit(t *testing.T) {
	t.Parallel()
	e, err := start(t, "sh", "-c", "exit 3").Wait()
	if err != nil || e.Status.ExitStatus() != 3 || e.Peak != 0 {
		t.Errorf("%+v %v", e, err)
	}
	p := start(t, "sleep", "100")
	p.Kill()
	if e, err := p.Wait(); err != nil || SignalName(e.Status.Signal()) != "SIGKILL" {
		t.Errorf("%+v %v", e, err)
	}
	p.Kill() // harmless, whatever has the number now
	p.Terminate()
}

// TestPeak checks that a peak is that of the program itself, not of the one that
// started it.
func TestPeak(t *testing.T) {
	t.Parallel()
	const size = 200 << 20
	mine := make([]byte, size)
	for i := 0; i < len(mine); i += 4096 {
		mine[i] = 1
	}
	e, err := start(t, "sh", "-c", "kill -9 $$").Wait()
	if err != nil || e.Peak != 0 {
		t.Errorf("%+v %v", e, err)
	}
	runtime.KeepAlive(mine)
	e, err = start(t, "python3", "-c", "b = b'x' * (600 << 20)").Wait()
	if err != nil || e.Peak < 600<<20 || e.Peak > 700<<20 {
		t.Errorf("%+v %v", e, err)
	}
}

// TestStop checks that Stop waits for processes that handle SIGTERM, and no longer
// than they take.
func TestStop(t *testing.T) {
	t.Parallel()
	p := start(t, "sleep", "100")
	began := time.Now()
	go p.Stop(10 * time.Second)
	if e, err := p.Wait(); err != nil || e.Status.Signal() != syscall.SIGTERM {
		t.Errorf("%+v %v", e, err)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("it took %v", d)
	}
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	_, err := Start(Spec{Path: "/etc/passwd", Argv: []string{"x"}, Files: []int{0, 1, 2}})
	if !NotStarted(err) {
		t.Errorf("%v", err)
	}
}

func TestLook(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"run": 0o700, "plain": 0o600} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	closed := filepath.Join(dir, "closed")
	if err := os.Mkdir(closed, 0); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, path, want string
		err              error
	}{
		{"run", closed + ":" + dir, dir + "/run", nil},
		{"none", closed, "", fs.ErrNotExist}, // root could enter it
		{"run", dir, dir + "/run", nil},
		{"run", "relative:/nowhere:" + dir, dir + "/run", nil},
		{dir + "/run", "", dir + "/run", nil},
		{"plain", dir, "", fs.ErrPermission},
		{"none", dir, "", fs.ErrNotExist},
		{"./run", dir, "", fs.ErrNotExist},
		{dir, "", dir, fs.ErrPermission},
	} {
		got, err := Look(test.name, test.path)
		if err == nil && got != test.want || !errors.Is(err, test.err) {
			t.Errorf("%s in %s: %s, %v", test.name, test.path, got, err)
		}
	}
}

func TestEnviron(t *testing.T) {
	t.Parallel()
	env := Environ(4, map[string]string{"A": "1", "B": "1"}, map[string]string{"B": "2", "RAYON_NUM_THREADS": "9"})
	for _, want := range []string{"A=1", "B=2", "RAYON_NUM_THREADS=9", "OMP_NUM_THREADS=4", "PYTHONHASHSEED=" + hashSeed, "PATH=" + os.Getenv("PATH")} {
		if !slices.Contains(env, want) {
			t.Errorf("no %s in %q", want, env)
		}
	}
	for _, entry := range Environ(0) {
		if name, _, _ := strings.Cut(entry, "="); !slices.Contains(passed, name) && !slices.Contains(poolSizes, name) && !strings.HasPrefix(name, "LC_") && name != "PYTHONHASHSEED" {
			t.Errorf("%s is passed on", entry)
		}
	}
}

// TestGuardIsReplaced checks that a guard that is killed is replaced.
func TestGuardIsReplaced(t *testing.T) {
	start(t, "true").Wait()
	sentry.Lock()
	first := sentry.process.Pid
	sentry.process.Kill()
	sentry.process.Wait()
	sentry.Unlock()
	start(t, "true").Wait()
	sentry.Lock()
	defer sentry.Unlock()
	if sentry.process.Pid == first {
		t.Error("there is no new guard")
	}
	cmdline, err := os.ReadFile("/proc/" + strconv.Itoa(sentry.process.Pid) + "/cmdline")
	if err != nil || !bytes.HasPrefix(cmdline, []byte("allcores-guard")) {
		t.Errorf("the guard is %q, %v", cmdline, err)
	}
}
