package python_test

import (
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/executortest"
	"github.com/allcores/allcores/internal/jobs/executor/python"
)

// A task that kills its process fails alone, and is the only one that does.
func TestCrash(t *testing.T) {
	t.Parallel()
	const here = "Stack (most recent call first):\n  File \"program.py\", line 3 in f\n"
	for _, test := range []struct{ body, kind, trace string }{
		{"os._exit(7)", "exit 7", ""},
		{"os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV", here},
		{"ctypes.string_at(0)", "SIGSEGV", " in string_at\n  File \"program.py\", line 3 in f\n"},
		{"os.abort()", "SIGABRT", here},
		{"os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL", ""},
		// A child's crash is not taken for its parent's.
		{"os.fork() or os.abort(); os.wait(); os._exit(7)", "exit 7", ""},
		{"os.fork() or ctypes.string_at(0); os.wait(); os.abort()", "SIGABRT", here},
	} {
		r := must(t, lane("import os, signal, ctypes\ndef f(x):\n    if x == 700: "+test.body+"\n    return x\n"),
			executortest.Numbers(1, 0, 1000), executortest.Numbers(2, 1000, 10))
		if e := r.Failed[700]; len(r.Failed) != 1 || e.Kind != jobs.KindCrash || e.Type != test.kind {
			t.Errorf("%s: %v", test.body, r.Failed)
		} else if trace := e.Traceback; !strings.HasSuffix(trace, test.trace) || test.trace == "" && trace != "" {
			t.Errorf("%s: traceback %q, want %q", test.body, trace, test.trace)
		}
		if strings.Contains(test.body, "os.fork()") && !strings.Contains(strings.Join(r.Text(), "\n"), "700 stderr Fatal Python error: ") {
			t.Errorf("%s: what became of the child is not printed: %q", test.body, r.Text())
		}
		for i := range int64(1010) {
			if _, done := r.Outputs[i]; done && i > 700 && i < 1000 || !done && (i >= 1000 || !r.Back[i] && i != 700) {
				t.Errorf("%s: task %d: done %v, back %v", test.body, i, done, r.Back[i])
			}
		}
	}
}

// With several tasks in hand those are suspects; the rest is nobody's fault.
func TestCrashWithThreads(t *testing.T) {
	t.Parallel()
	l := lane(`
import os, threading, time
all_there = threading.Barrier(3)
def f(x):
    if x < 7 or x >= 100:
        return x
    all_there.wait(10)
    if x == 8:
        os._exit(1)
    time.sleep(60)
`)
	l.Threads = 3
	r := must(t, l, executortest.Numbers(1, 0, 50), executortest.Numbers(2, 100, 50))
	if !r.Suspects[7] || !r.Suspects[8] || !r.Suspects[9] || len(r.Suspects) < 3 || len(r.Failed) > 0 && r.Failed[0].Kind == "" {
		t.Errorf("suspects %v, failed %v", r.Suspects, r.Failed)
	}
}

// A process that is killed from outside while nothing is in hand is replaced.
func TestKilledBetweenChunks(t *testing.T) {
	t.Parallel()
	e := python.New(python.Options{})
	defer e.Close()
	b := executortest.Begin(t, e, lane("import os\ndef f(x):\n    return os.getpid()"))
	b.Give(executortest.Numbers(1, 0, 1))
	b.Await("the first chunk ends", func() bool { return len(b.Outputs) == 1 })
	pid, err := strconv.Atoi(b.Outputs[0])
	if err != nil {
		t.Fatal(err)
	}
	syscall.Kill(pid, syscall.SIGKILL)
	executortest.Eventually(t, "it is gone", func() bool { return syscall.Kill(pid, 0) != nil })
	b.Give(executortest.Numbers(2, 1, 1))
	if err := b.End(); err != nil {
		t.Fatal(err)
	}
	if len(b.Failed) > 0 || b.Outputs[1] == b.Outputs[0] {
		t.Errorf("%v %v", b.Outputs, b.Failed)
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	for _, threads := range []int{1, 3} {
		for _, body := range []string{
			"time.sleep(60)",
			"while True: pass",
			"ctypes.PyDLL(None).sleep(60)",         // with the interpreter lock
			"re.match('(a|aa)+$', 'a' * 60 + 'b')", // the same, and busy
			"subprocess.run(['sleep', '60'])",      // in a child
			"[os.fork() for i in range(3)]; time.sleep(60)",
		} {
			l := lane("import ctypes, os, re, signal, subprocess, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ndef f(x):\n    if x == 40:\n        " + body + "\n    return x\n")
			l.Timeout = 200 * time.Millisecond
			l.Threads = threads
			began := time.Now()
			r := must(t, l, executortest.Numbers(1, 0, 100))
			if d := time.Since(began); d > 5*time.Second {
				t.Errorf("%s: it took %v", body, d)
			}
			if threads > 1 && r.Suspects[40] && len(r.Failed) == 0 && !strings.HasPrefix(body, "time") {
				continue // it held up others that were in hand
			}
			if e := r.Failed[40]; len(r.Failed) != 1 || e.Kind != jobs.KindTimeout || e.Message != "still running after 200ms" {
				t.Errorf("%s: %v", body, r.Failed)
			}
			if d := r.Spent[40]; d < 200*time.Millisecond || d > 1200*time.Millisecond {
				t.Errorf("%s: it ran for %v", body, d)
			}
			if len(r.Suspects) > 0 {
				t.Errorf("%s: suspects %v though the culprit is known", body, r.Suspects)
			}
		}
	}
}

// A task that could not end because another holds the interpreter lock, or the
// event loop, is not blamed: which one it was shows when they are run alone.
func TestTimeoutOfAnother(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]string{
		"lock": `
import ctypes, threading, time
both = threading.Barrier(2)
def f(x):
    both.wait(10)
    if x == 0:
        time.sleep(0.1)
    else:
        time.sleep(0.03)
        ctypes.PyDLL(None).sleep(60)
`,
		"loop": `
import asyncio, time
async def f(x):
    if x == 0:
        await asyncio.sleep(0.1)
    else:
        await asyncio.sleep(0.03)
        time.sleep(60)
`,
	} {
		l := lane(source)
		l.Threads = 2
		l.Timeout = 400 * time.Millisecond
		began := time.Now()
		r := must(t, l, executortest.Numbers(1, 0, 2))
		if len(r.Failed) > 0 || !r.Suspects[0] || !r.Suspects[1] {
			t.Errorf("%s: failed %v, suspects %v", name, r.Failed, r.Suspects)
		}
		if d := time.Since(began); d > 3*time.Second {
			t.Errorf("%s: it took %v", name, d)
		}
	}
	// One that cannot but be the cause is.
	l := lane("import ctypes\ndef f(x): ctypes.PyDLL(None).sleep(60)")
	l.Threads, l.Timeout = 2, 200*time.Millisecond
	r := must(t, l, executortest.Numbers(1, 0, 1))
	if e := r.Failed[0]; e.Kind != jobs.KindTimeout || r.Spent[0] > 1200*time.Millisecond {
		t.Errorf("%+v after %v", e, r.Spent[0])
	}
}

// What a task that ran out of time had started ends with it.
func TestTimeoutKillsGrandchildren(t *testing.T) {
	t.Parallel()
	for _, threads := range []int{1, 3} {
		file := filepath.Join(t.TempDir(), "pid")
		l := lane(fmt.Sprintf(`
import os, signal, subprocess, time
def f(x):
    subprocess.Popen(["sh", "-c", "trap '' TERM; echo $$ > %s.tmp; mv %s.tmp %s; sleep 1000"], start_new_session=True)
    while not os.path.exists(%q):
        time.sleep(0.01)
    time.sleep(1000)
`, file, file, file, file))
		l.Timeout = 2 * time.Second // time enough for the shell to start
		l.Threads = threads
		r := must(t, l, executortest.Numbers(1, 0, 1))
		if e := r.Failed[0]; e.Kind != jobs.KindTimeout || r.Spent[0] > 3*time.Second {
			t.Errorf("%+v after %v", e, r.Spent[0])
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		executortest.Eventually(t, "the grandchild is gone", func() bool {
			cmdline, err := os.ReadFile("/proc/" + strings.TrimSpace(string(data)) + "/cmdline")
			return err != nil || len(cmdline) == 0
		})
	}
}

// What a killed process had not begun is back, or runs in another process,
// within a second, even when something of it lives on.
func TestKilledFromOutside(t *testing.T) {
	t.Parallel()
	for _, threads := range []int{1, 3} {
		l := lane(`
import os, subprocess, time
def f(x):
    if x < 100:
        subprocess.Popen(["sleep", "1000"], start_new_session=True)
        print(os.getpid())
        time.sleep(1000)
    return os.getpid()
`)
		l.Threads = threads
		b := executortest.Begin(t, shared, l)
		b.Give(executortest.Numbers(1, 0, 10))
		b.Give(executortest.Numbers(2, 100, 5))
		b.Await("it runs", func() bool { return len(b.Logs) == threads })
		b.Lock()
		pid, err := strconv.Atoi(b.Logs[0].Line)
		b.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		syscall.Kill(pid, syscall.SIGKILL)
		b.Await("the rest is back, and the chunk that waited has run", func() bool { return len(b.Back) == 10-threads && len(b.Outputs) == 5 })
		if d := time.Since(began); d > time.Second {
			t.Errorf("%d threads: it took %v", threads, d)
		}
		if err := b.End(); err != nil {
			t.Fatal(err)
		}
		if threads > 1 {
			if len(b.Suspects) != threads || len(b.Failed) > 0 {
				t.Errorf("suspects %v, failed %v", b.Suspects, b.Failed)
			}
		} else if e := b.Failed[0]; len(b.Failed) != 1 || e.Kind != jobs.KindCrash || e.Type != "SIGKILL" {
			t.Errorf("failed %v", b.Failed)
		}
	}
}

// A process that ends of itself between tasks does so for one that had begun.
func TestDeathBetweenTasks(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		define  string
		threads int
	}{{"def", 1}, {"def", 2}, {"async def", 2}} {
		l := lane("import os\n" + test.define + " f(x):\n    if x == 5: os.closerange(3, 100)\n    return x")
		l.Threads = test.threads
		r := must(t, l, executortest.Numbers(1, 5, 1))
		if e := r.Failed[5]; e.Kind != jobs.KindCrash || !strings.Contains(e.Message, "the process died after the task") {
			t.Errorf("%+v: alone it is %+v, lost %v", test, r.Failed, r.Lost)
		}
		l.Job = "another"
		r = must(t, l, executortest.Numbers(1, 0, 20_000))
		if !r.Lost[5] && !r.Suspects[5] && r.Failed[5].Kind == "" || len(r.Outputs)+len(r.Lost)+len(r.Back)+len(r.Suspects)+len(r.Failed) != 20_000 {
			t.Errorf("%+v: lost %v, suspects %v, failed %v", test, r.Lost, r.Suspects, r.Failed)
		}
	}
}

// One that is killed from outside while it loads the program is replaced; one
// whose program kills it each time is not.
func TestKilledWhileLoading(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "loads")
	r := must(t, lane(fmt.Sprintf("import os, signal\nopen(%q, 'a').write('x')\nif os.path.getsize(%q) < 2: os.kill(os.getpid(), signal.SIGKILL)\ndef f(x):\n    return x", file, file)),
		executortest.Numbers(1, 0, 10), executortest.Numbers(2, 10, 10))
	if len(r.Outputs) != 20 {
		t.Errorf("%v %v", r.Outputs, r.Failed)
	}
	_, err := executortest.Run(t, shared, lane("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\ndef f(x): pass"), executortest.Numbers(1, 0, 10))
	var e *executor.LoadError
	if !errors.As(err, &e) || e.Kind != jobs.KindCrash || e.Type != "SIGKILL" {
		t.Errorf("error %v", err)
	}
}

func TestLoadErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ source, kind, message, trace string }{
		{"import nothing_like_this\ndef f(x): pass", "ModuleNotFoundError", "nothing_like_this", "line 1, in <module>\n    import nothing_like_this"},
		{"def g(x): pass", "AttributeError", "no function f", ""},
		{"f = 3", "TypeError", "is not a function but int", ""},
		{"raise SystemExit(2)", "SystemExit", "2", "line 1"},
		{"def f(:", "SyntaxError", "invalid syntax", "def f(:"},
		{"import os\nos._exit(9)", "exit 9", "while the program was loaded", ""},
		{"import os\nos.abort()", "SIGABRT", "while the program was loaded", ""},
	} {
		r, err := executortest.Run(t, shared, lane(test.source), executortest.Numbers(1, 0, 10), executortest.Numbers(2, 10, 10))
		var e *executor.LoadError
		if !errors.As(err, &e) {
			t.Errorf("%q: error %v", test.source, err)
			continue
		}
		if e.Type != test.kind || !strings.Contains(e.Message, test.message) || !strings.Contains(e.Traceback, test.trace) {
			t.Errorf("%q: %+v", test.source, e)
		}
		for i := range int64(10) {
			if !r.Back[i] {
				t.Errorf("%q: task %d is not back", test.source, i)
			}
		}
	}
}

func TestNoInterpreter(t *testing.T) {
	t.Parallel()
	l := lane("def f(x): pass")
	l.Program.Python.Interpreter = "/nowhere/python3"
	r, err := executortest.Run(t, shared, l, executortest.Numbers(1, 0, 10))
	if err == nil || !strings.Contains(err.Error(), "/nowhere/python3") || !r.Back[0] {
		t.Errorf("error %v, back %v", err, r.Back)
	}
}

// Cancelling ends what the task started too, however it tried to escape.
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

// markOf is the mark in a process's environment.
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

// TestServer is not a test of its own: it is the server that
// TestKilledServer kills.
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

// A server that is killed leaves nothing behind.
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

// What a task printed is kept when its process dies, each line once.
func TestPrintedBeforeDeath(t *testing.T) {
	t.Parallel()
	for _, threads := range []int{1, 2} {
		for _, die := range []string{"os._exit(3)", "os.kill(os.getpid(), 9)", "ctypes.string_at(0)"} {
			l := lane(`
import ctypes, os, sys, time
def f(x):
    if x == 5:
        for i in range(2000):
            print("line", i, "ä" * 20)
        time.sleep(0.12)
        print("sent or not")
        print("last", file=sys.stderr)
        print("without", "an end", end="")
        sys.stderr.write("flushed")
        sys.stderr.flush()
        ` + die + "\n    return x")
			l.Threads = threads
			e := python.New(python.Options{})
			defer e.Close()
			r, err := executortest.Run(t, e, l, executortest.Numbers(1, 5, 1))
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Failed) != 1 {
				t.Fatalf("%s: %v %v", die, r.Outputs, r.Failed)
			}
			count := map[string]int{}
			for _, line := range r.Logs {
				count[line.Stream+": "+line.Line]++
				if line.Task != 5 {
					t.Errorf("%s: of task %d: %s", die, line.Task, line.Line)
				}
			}
			want := map[string]int{"stdout: sent or not": 1, "stderr: last": 1, "stdout: without an end": 1, "stderr: flushed": 1}
			for i := range 2000 {
				want[fmt.Sprintf("stdout: line %d %s", i, strings.Repeat("ä", 20))] = 1
			}
			if diff := cmp.Diff(want, count); diff != "" {
				t.Errorf("%d threads, %s: (-want +got)\n%s", threads, die, diff)
			}
		}
	}
}
