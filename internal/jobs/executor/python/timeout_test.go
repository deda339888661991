package python_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor/executortest"
)

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
				continue // it blocked others that ran
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

// TestTimeoutOfAnother checks that a task delayed by one that holds the interpreter
// lock, or the event loop, is not blamed: running them alone finds the cause.
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
	// A task that must be the cause is blamed.
	l := lane("import ctypes\ndef f(x): ctypes.PyDLL(None).sleep(60)")
	l.Threads, l.Timeout = 2, 200*time.Millisecond
	r := must(t, l, executortest.Numbers(1, 0, 1))
	if e := r.Failed[0]; e.Kind != jobs.KindTimeout || r.Spent[0] > 1200*time.Millisecond {
		t.Errorf("%+v after %v", e, r.Spent[0])
	}
}

// TestTimeoutKillsGrandchildren checks that processes that a task started end with it
// when it times out.
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
