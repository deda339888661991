package python_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/executortest"
	"github.com/allcores/allcores/internal/jobs/executor/python"
)

// TestRenewal checks that a job does not see the state of an earlier job with the
// same program, even in the same process.
func TestRenewal(t *testing.T) {
	t.Parallel()
	const restored = `
        os.environ.get("MINE"), "HOME" in os.environ, sorted(os.listdir(".")), len(log.handlers), log.level, logging.root.manager.disable,
        str(signal.getsignal(10)), len(warnings.filters), sys.stdout is sys.__stdout__, sys.stderr.encoding, len(sys.path),
        hasattr(builtins, "mine"), sys.getrecursionlimit(), decimal.getcontext().prec, v.get(), list(seen), len(logging.root.handlers)]
    seen.append(x)
    os.environ["MINE"] = "x"
    del os.environ["HOME"]
    open("mine", "w").close()
    os.chdir("/")
    log.addHandler(logging.NullHandler()); log.setLevel(50); logging.disable(20)
    if threading.current_thread() is threading.main_thread():
        signal.signal(10, lambda *a: None); signal.setitimer(signal.ITIMER_REAL, 100)
    warnings.simplefilter("error")
    sys.stdout = io.StringIO(); sys.stderr.reconfigure(encoding="ascii")
    sys.path.insert(0, "/mine")
    builtins.mine = 1
    sys.setrecursionlimit(5000)
    decimal.getcontext().prec = 3
    v.set(1)
    found += [0`
	for name, test := range map[string]struct {
		top, found string // found is what f finds; it then changes that
		other      bool   // the second job needs another process
	}{
		"restored": {`
import builtins, contextvars, decimal, io, json, logging, multiprocessing, random, signal, socket, threading, warnings
multiprocessing.set_start_method("spawn")
logging.basicConfig(level=10)
log = logging.getLogger("mine")
log.addHandler(logging.StreamHandler())
v = contextvars.ContextVar("v", default=0)
seen = []
open("of the module", "w").close()`, restored, false},
		"memory":          {"def resident():\n    return int(open('/proc/self/statm').read().split()[1]) * 4096\nbefore = resident() >> 27\ndata = b'x' * (256 << 20)", "before", false},
		"thread":          {"import threading", "threading.active_count(), threading.Thread(target=threading.Event().wait, daemon=True).start()", true},
		"child":           {"import subprocess", "subprocess.Popen(['sleep', '60']) and 0", true},
		"exit that waits": {"import atexit, time", "atexit.register(time.sleep, 600) and 0, os.open('/dev/null', 0) and 0", true},
		"descriptor":      {"", "len(os.listdir('/proc/self/fd')), os.open('/dev/null', 0) and 0", true},
		"limit":           {"import resource as r", "r.getrlimit(r.RLIMIT_CORE)[0], r.setrlimit(r.RLIMIT_CORE, (0, 0))", true},
		"module of files": {"", "'helper' in sys.modules, open('helper.py', 'w').write('y = 1'), sys.path.insert(0, os.getcwd()), __import__('helper').y", true},
		"loads once":      {"if hasattr(os, 'once'): raise RuntimeError('again')\nos.once = 1\nprint('once')", "", true},
	} {
		for _, threads := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s %d", name, threads), func(t *testing.T) {
				t.Parallel()
				if threads > 1 && name != "restored" && name != "thread" {
					return
				}
				var pids, found []string
				e := python.New(python.Options{})
				defer e.Close()
				for i := range 2 {
					l := lane("import os, sys\n" + test.top + "\ndef f(x):\n    found = [" + test.found + "]\n    return [os.getpid(), found]\n")
					l.Job, l.Threads = fmt.Sprint("job", i), threads
					r, err := executortest.Run(t, e, l, executortest.Numbers(1, 0, 1))
					if err != nil || len(r.Failed) > 0 {
						t.Fatal(err, r.Failed, r.Text())
					}
					pid, what, _ := strings.Cut(r.Outputs[0], ",")
					pids, found = append(pids, pid), append(found, what)
					if text := strings.Join(r.Text(), "\n"); name == "loads once" && text != "0 stdout once" {
						t.Errorf("job %d printed %q", i, text)
					}
				}
				if found[0] != found[1] {
					t.Errorf("one found %s, then one %s", found[0], found[1])
				}
				if (pids[0] != pids[1]) != test.other {
					t.Errorf("processes %v", pids)
				}
			})
		}
	}
}

// TestRenewalOfAsync checks the same for an async function. State in the event loop
// requires another process.
func TestRenewalOfAsync(t *testing.T) {
	t.Parallel()
	for _, left := range []bool{false, true} {
		e := python.New(python.Options{})
		defer e.Close()
		var pids []string
		for i := range 2 {
			l := lane(fmt.Sprintf(`
import asyncio, os
seen = []
async def f(x):
    seen.append(x)
    await asyncio.sleep(0.001)
    asyncio.get_running_loop().call_later(60, print)
    if %d: asyncio.ensure_future(asyncio.sleep(60))
    return [os.getpid(), len(seen)]
`, map[bool]int{true: 1}[left]))
			l.Job, l.Threads = fmt.Sprint("job", i), 2
			r, err := executortest.Run(t, e, l, executortest.Numbers(1, 0, 1), executortest.Numbers(2, 1, 1))
			if err != nil {
				t.Fatal(err)
			}
			pid, seen, _ := strings.Cut(r.Outputs[0], ",")
			if seen != "2]" && seen != "1]" {
				t.Errorf("job %d: %s of %d", i, r.Outputs[0], i)
			}
			pids = append(pids, pid)
		}
		if (pids[0] != pids[1]) != left {
			t.Errorf("left %v: processes %v", left, pids)
		}
	}
}

// TestAlternation checks that a job whose sessions alternate with those of another
// keeps its process and module. A job that has ended, or runs again after its end,
// does not.
func TestAlternation(t *testing.T) {
	t.Parallel()
	e := python.New(python.Options{})
	defer e.Close()
	run := func(job string, rest executor.Rest) string {
		l := lane("import os\nseen = []\ndef f(x):\n    seen.append(x)\n    return [os.getpid(), len(seen)]")
		l.Job, l.Rest = job, func() executor.Rest { return rest }
		r, err := executortest.Run(t, e, l, executortest.Numbers(1, 0, 1))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Trim(r.Outputs[0], "[]")
	}
	var pid, n [9]string
	for i, session := range []struct {
		job  string
		rest executor.Rest
	}{
		{"a", executor.GoesOn}, {"b", executor.GoesOn}, {"a", executor.GoesOn}, {"b", executor.Exhausted},
		{"b", executor.Exhausted}, {"c", executor.Exhausted}, {"a", executor.Over}, {"a", executor.GoesOn},
	} {
		pid[i], n[i], _ = strings.Cut(run(session.job, session.rest), ",")
	}
	if got := strings.Join(n[:8], ""); got != "11223131" {
		t.Errorf("tasks that each saw: %s", got)
	}
	if pid[0] == pid[1] || pid[0] != pid[2] || pid[1] != pid[3] || pid[1] != pid[5] || pid[0] != pid[6] || pid[0] != pid[7] {
		t.Errorf("processes %v", pid)
	}
}

// TestFilesLeft checks that files left in a task's directory are removed and named in
// its log. Tasks that run at once share a directory.
func TestFilesLeft(t *testing.T) {
	t.Parallel()
	const source = `
import os, tempfile
open("of the module", "w").close()
def f(x):
    found = sorted(os.listdir("."))
    if x % 5 == 0:
        open("one %d" % x, "w").close()
    if x == 7:
        os.makedirs("a/b")
        open("a/b/c", "w").close()
        os.symlink("/etc", "link")
        for i in range(9): open("z%d" % i, "w").close()
    if x == 8:
        os.chdir(tempfile.mkdtemp(dir="."))
        os.chmod("..", 0o500)
    return found
`
	r := must(t, lane(source), executortest.Numbers(1, 0, 20), executortest.Numbers(2, 20, 3000))
	for i := range int64(3020) {
		if r.Outputs[i] != `["of the module"]` {
			t.Fatalf("task %d found %s %v", i, r.Outputs[i], r.Failed[i])
		}
	}
	got := r.Text()
	for _, want := range []string{
		"0 stderr [removed from the directory of this task: one 0; a file that is to stay is named by an absolute path]",
		"7 stderr [removed from the directory of this task: a, link, z0, z1, z2 and 6 more; a file that is to stay is named by an absolute path]",
		"3015 stderr [removed from the directory of this task: one 3015; a file that is to stay is named by an absolute path]",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("no %q in %q", want, got[:min(len(got), 10)])
		}
	}
	l := lane("def f(x):\n    open('shared %d' % x, 'w').close()\n    return x")
	l.Threads = 2
	r = must(t, l, executortest.Numbers(1, 0, 2), executortest.Numbers(2, 2, 2))
	text := strings.Join(r.Text(), "\n")
	for i := range 4 {
		if name := fmt.Sprint("shared ", i); strings.Count(text, name) != 1 || !strings.Contains(text, "[left in the directory that tasks at once share") {
			t.Errorf("%s in %s", name, text)
		}
	}
}
