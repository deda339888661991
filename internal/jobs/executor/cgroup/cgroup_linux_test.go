package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if os.Getenv("ALLCORES_TEST_OWNER") != "" {
		own()
	}
	os.Exit(m.Run())
}

// open returns a tree, or nil where none can be made; the test then cannot try the
// kernel.
func open(t *testing.T) *Tree {
	t.Helper()
	tree, err := Open()
	if err != nil {
		t.Logf("not tried, as no control group can be made here: %v", err)
		return nil
	}
	return tree
}

// start runs a shell script in a group.
func start(t *testing.T, g *Group, script string) int {
	t.Helper()
	attr := syscall.SysProcAttr{Setpgid: true}
	pid, err := g.Start(&attr, func() (int, error) {
		return syscall.ForkExec("/bin/sh", []string{"sh", "-c", script}, &syscall.ProcAttr{
			Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: &attr,
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func wait(t *testing.T, pid int) syscall.WaitStatus {
	t.Helper()
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(pid, &status, 0, nil)
		if err == nil {
			return status
		}
		if !errors.Is(err, syscall.EINTR) {
			t.Fatal(err)
		}
	}
}

// eats returns a script that takes that many megabytes of memory, and then prints so.
func eats(megabytes int) string {
	return fmt.Sprintf("head -c %dM /dev/zero | tail -c %dM >/dev/null && exit 5", megabytes, megabytes)
}

func TestGroup(t *testing.T) {
	t.Parallel()
	tree := open(t)
	if tree == nil {
		return
	}
	for _, test := range []struct {
		script   string
		exceeded bool
		status   string
	}{
		{eats(20), false, "exit 5"},
		{eats(200), true, "killed"},
		{"(" + eats(200) + "); sleep 100", true, "killed"},               // a child's is counted, and all end
		{"setsid sh -c '" + eats(200) + "' & sleep 100", true, "killed"}, // whatever its session
		{"kill -KILL $$", false, "killed"},
	} {
		g := tree.Make(60 << 20)
		if g == nil {
			t.Fatal("no group")
		}
		began := time.Now()
		status := wait(t, start(t, g, test.script))
		exceeded, err := g.Close()
		if err != nil {
			t.Error(err)
		}
		got := "killed"
		if status.Exited() {
			got = fmt.Sprintf("exit %d", status.ExitStatus())
		}
		if exceeded != test.exceeded || got != test.status {
			t.Errorf("%s: exceeded %v, %s", test.script, exceeded, got)
		}
		if d := time.Since(began); d > 20*time.Second {
			t.Errorf("%s: it took %v", test.script, d)
		}
		if _, err := os.Stat(g.dir); !os.IsNotExist(err) {
			t.Errorf("%s is still there", g.dir)
		}
	}
}

// TestCloseKills checks that closing a group ends its processes, also those in groups
// that a task made below it.
func TestCloseKills(t *testing.T) {
	t.Parallel()
	tree := open(t)
	if tree == nil {
		return
	}
	g := tree.Make(60 << 20)
	if g == nil {
		t.Fatal("no group")
	}
	if err := os.Mkdir(filepath.Join(g.dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	wait(t, start(t, g, fmt.Sprintf("setsid sleep 1000 & setsid sleep 1000 & echo $! > %s/sub/cgroup.procs; exit 0", g.dir)))
	pids, err := members(g.dir)
	if err != nil {
		t.Fatal(err)
	}
	inside, err := members(filepath.Join(g.dir, "sub"))
	if err != nil || len(pids) != 1 || len(inside) != 1 {
		t.Fatalf("in the group: %v, below: %v, %v", pids, inside, err)
	}
	if _, err := g.Close(); err != nil {
		t.Error(err)
	}
	for _, pid := range append(pids, inside...) {
		if s, err := stat(pid); err == nil && !s.dead {
			t.Errorf("%d is still there", pid)
		}
	}
}

// own runs a server that dies and leaves a group.
func own() {
	tree, err := Open()
	if err != nil {
		fmt.Println("none:", err)
		os.Exit(0)
	}
	g := tree.Make(60 << 20)
	var attr syscall.SysProcAttr
	pid, err := g.Start(&attr, func() (int, error) {
		return syscall.ForkExec("/bin/sleep", []string{"sleep", "1000"}, &syscall.ProcAttr{Sys: &attr})
	})
	fmt.Println(g.dir, pid, err)
	time.Sleep(time.Minute)
}

// TestTidy checks that the next server removes the groups of a dead one, but not
// those of a living one.
func TestTidy(t *testing.T) {
	t.Parallel()
	tree := open(t)
	if tree == nil {
		return
	}
	owner := exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), "ALLCORES_TEST_OWNER=1")
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	defer owner.Process.Kill()
	line, err := bufio.NewReader(out).ReadString('\n')
	fields := strings.Fields(line)
	if err != nil || len(fields) != 3 {
		t.Fatalf("the owner said %q, %v", line, err)
	}
	dir := fields[0]
	pid, err := strconv.Atoi(fields[1])
	if err != nil {
		t.Fatal(err)
	}
	open(t)
	if pids, err := members(dir); err != nil || len(pids) != 1 || pids[0] != pid {
		t.Errorf("while its owner lives, %s has %v, %v", dir, pids, err)
	}
	owner.Process.Kill()
	owner.Wait()
	open(t)
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir, err)
	}
	if s, err := stat(pid); err == nil && !s.dead {
		t.Errorf("process %d is still there", pid)
	}
}

// TestMakeFails checks that Make returns nil, and no error, where it cannot make
// groups any more.
func TestMakeFails(t *testing.T) {
	t.Parallel()
	var none *Tree
	if none.Make(1<<30) != nil {
		t.Error("a group without a tree")
	}
	gone := &Tree{place: place{dir: t.TempDir() + "/gone"}}
	if gone.Make(1<<30) != nil {
		t.Error("a group nowhere")
	}
	// A directory that is no control group.
	plain := &Tree{place: place{dir: t.TempDir()}}
	if plain.Make(1<<30) != nil {
		t.Error("a group in a plain directory")
	}
	if entries, err := os.ReadDir(plain.dir); err != nil || len(entries) > 0 {
		t.Errorf("it left %v, %v", entries, err)
	}
}
