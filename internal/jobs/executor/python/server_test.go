package python_test

import (
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs/executor/executortest"
	"github.com/allcores/allcores/internal/jobs/executor/python"
)

// TestCancelKillsGrandchildren checks that a cancellation also ends processes that
// the task started, however they tried to escape.
func TestCancelKillsGrandchildren(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := lane(fmt.Sprintf(`
import os, signal, subprocess, sys, time
def note(name):
    with open(os.path.join(%q, name + ".tmp"), "w") as file:
        file.write(str(os.getpid()))
    os.rename(file.name, file.name[:-4])
def f(x):
    subprocess.Popen(["sleep", "1000"], start_new_session=True)
    subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 1000"])
    if os.fork() == 0:          # forked twice, of another session, deaf to TERM
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if os.fork() == 0:
            note("grandchild")
            time.sleep(1000)
        os._exit(0)
    os.wait()
    note("task")
    time.sleep(1000)
`, dir))
	b := executortest.Begin(t, shared, l)
	b.Give(executortest.Numbers(1, 0, 1))
	var pids []int
	for _, name := range []string{"task", "grandchild"} {
		executortest.Eventually(t, name+" runs", func() bool {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				return false
			}
			pid, _ := strconv.Atoi(string(data))
			pids = append(pids, pid)
			return true
		})
	}
	mark := markOf(t, pids[0])
	if n := len(carrying(mark)); n < 5 {
		t.Fatalf("%d processes carry the mark before, want 5 or 6", n)
	}
	began := time.Now()
	b.Cancel()
	b.Wait()
	executortest.Eventually(t, "nothing is left", func() bool { return len(carrying(mark)) == 0 })
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("it took %v", d)
	}
}

// markOf returns the mark in a process's environment.
func markOf(t *testing.T, pid int) string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range strings.Split(string(data), "\x00") {
		if strings.HasPrefix(entry, "ALLCORES_PROCESS=") {
			return entry
		}
	}
	t.Fatal("no mark")
	return ""
}

// carrying lists the processes with that entry in their environment.
func carrying(entry string) []int {
	var found []int
	dirs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range dirs {
		if data, err := os.ReadFile(file); err == nil && strings.Contains(string(data), entry) {
			pid, _ := strconv.Atoi(strings.Split(file, "/")[2])
			found = append(found, pid)
		}
	}
	return found
}

// TestServer is no test by itself: it is the server that TestKilledServer kills.
func TestServer(t *testing.T) {
	if os.Getenv("TEST_SERVER") == "" {
		t.Skip("run by TestKilledServer")
	}
	e := python.New(python.Options{Groups: executortest.Groups(t)[0]})
	l := lane(`
import os, subprocess, time
def f(x):
    p = subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 1000"], start_new_session=True)
    print("ready")
    time.sleep(1000)
`)
	l.MemoryLimit = 1 << 30
	b := executortest.Begin(t, e, l)
	b.Give(executortest.Numbers(1, 0, 1))
	b.Await("it runs", func() bool { return len(b.Logs) > 0 })
	dirs, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, file := range dirs {
		if data, err := os.ReadFile(file); err == nil && strings.Contains(string(data), fmt.Sprintf("PPid:\t%d\n", os.Getpid())) {
			pid, _ := strconv.Atoi(strings.Split(file, "/")[2])
			if data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid)); strings.Contains(string(data), "ALLCORES_PROCESS=") {
				mark, _, _ := strings.Cut(markOf(t, pid), ".")
				fmt.Println("MARK", mark)
				time.Sleep(time.Minute)
			}
		}
	}
	t.Fatal("no child found")
}

// TestKilledServer checks that a server that is killed leaves no process or
// directory.
func TestKilledServer(t *testing.T) {
	t.Parallel()
	server := osexec.Command(os.Args[0], "-test.run=^TestServer$", "-test.v")
	server.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "ALLCORES") }), "TEST_SERVER=1")
	var out strings.Builder
	pipe, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer server.Process.Kill()
	mark := ""
	for buf := make([]byte, 4096); mark == ""; {
		n, err := pipe.Read(buf)
		out.Write(buf[:n])
		if _, after, ok := strings.Cut(out.String(), "MARK "); ok && strings.Contains(after, "\n") {
			mark, _, _ = strings.Cut(after, "\n")
		} else if err != nil {
			t.Fatalf("the server ended: %s", out.String())
		}
	}
	if n := len(carrying(mark)); n < 3 {
		t.Fatalf("%d processes before", n)
	}
	groups := func() []string { return nil }
	if tree := executortest.Groups(t)[0]; tree != nil {
		groups = func() []string {
			left, _ := filepath.Glob(filepath.Join(tree.Dir(), fmt.Sprintf("allcores-%d-*", server.Process.Pid)))
			return left
		}
		if len(groups()) != 1 {
			t.Errorf("before it has the control groups %v, want one", groups())
		}
	}
	server.Process.Kill()
	server.Wait()
	executortest.Eventually(t, "its control group is gone", func() bool { return len(groups()) == 0 })
	executortest.Eventually(t, "nothing is left", func() bool { return len(carrying(mark)) == 0 })
	run := strings.TrimPrefix(mark, "ALLCORES_PROCESS=")
	executortest.Eventually(t, "its scratch directory is gone", func() bool {
		_, err := os.Stat(filepath.Join(os.TempDir(), "allcores-"+run[:12]))
		return os.IsNotExist(err)
	})
}
