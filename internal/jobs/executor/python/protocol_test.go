package python_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor/executortest"
	"github.com/allcores/allcores/internal/jobs/executor/python"
)

// forging is the top of a program that writes to the server in the runner's place.
const forging = `
import fcntl, mmap, os, signal, struct, sys, threading, time

def frame(kind, body=b"", size=None):
    return struct.pack("<IB", len(body) if size is None else size, ord(kind)) + body

def outcomes(first, count, failed=(), lines=None, durations=b""):
    lines = b"1\n" * count if lines is None else lines
    return struct.pack("<qIII", first, count, len(failed), len(durations) // 16) + b"".join(struct.pack("<i", i) for i in failed) + durations + lines

def one(number, line=b"1\n", failed=0, spent=0.0, size=None):
    return struct.pack("<qdBI", number, spent, failed, len(line) if size is None else size) + line

def ending(base, done, began=0.0, tasks=0.0, moving=0.0, user=0.0, system=0.0, peak=0):
    return struct.pack("<qqdddddq", base, done, began, tasks, moving, user, system, peak)

def log(number, text=b"forged\n", at=0.0, stream=0):
    return struct.pack("<qqBdI", 1, number, stream, at, len(text)) + text

def say(*frames):
    for f in frames:
        os.write(4, f)

def words():
    return memoryview(mmap.mmap(5, 0)).cast("q")

def noise(*values, words_of=(0, 1, 2, 3, 4, 5, 16, 24, 32)):
    def run():
        c = words()
        while True:
            for v in values:
                for i in words_of:
                    c[i] = v
    threading.Thread(target=run, daemon=True).start()

own = 0
`

// A forgery is the body of a task that attacks the process that it shares with the
// server's runner.
type forgery struct {
	body    string
	message string // of its failure, where it must fail
	may     string // "succeed" where nothing can be held against it, "fail" as an exception
}

// forgeries are the bodies of tasks that are alone in their chunks. x is also the
// task's number in the process.
var forgeries = []forgery{
	{`say(b"\x05")`, "", ""},
	{`say(frame("O", b"12", size=100))`, "", ""},
	{`say(frame("O", size=2**32 - 1))`, "announces 4294967295 bytes", ""},
	{`say(frame("E", size=100 << 20))`, "announces 104857600 bytes", ""},
	{`say(frame("O", bytes(200), size=120 << 20))`, "has begun, but does not end", ""},
	{`say(bytes(1 << 16))`, "its type is", ""},
	{`say(b"\xff" * 5)`, "its type is", ""},
	{`say(frame("Z"))`, "its type is 'Z'", ""},
	{`say(frame("H", b"3.9\n/bin/sh"))`, "its type is 'H'", ""},
	{`say(frame("K", b"[]"))`, "its type is 'K'", ""},
	{`say(frame("P", b"{}"))`, "its type is 'P'", ""},
	{`say(frame("L"))`, "loaded for the second time", ""},
	{`say(frame("L", b"!{}"))`, "loaded for the second time", ""},
	{`say(frame("L", b'!{"kind":"exception","type":"X","message":"y"}'))`, "loaded for the second time", ""},
	{`say(frame("O", outcomes(0, 1)), frame("O", outcomes(0, 1)))`, "", "succeed"},
	{`say(frame("O", outcomes(0, 1000)))`, "outcomes of 1000 tasks", ""},
	{`say(frame("O", outcomes(0, 0)))`, "malformed", ""},
	{`say(frame("O", outcomes(-1, 1)))`, "malformed", ""},
	{`say(frame("O", outcomes(1 << 60, 1)))`, "is of task", ""},
	{`say(frame("O", outcomes(0, 1, [0])))`, "malformed", ""},
	{`say(frame("O", outcomes(0, 1, [5], b"!{}\n")))`, "malformed", ""},
	{`say(frame("O", outcomes(0, 1, [-1], b"!{}\n")))`, "malformed", ""},
	{`say(frame("O", outcomes(0, 1, [], b"!{}\n")))`, "malformed", ""},
	{`say(frame("O", outcomes(0, 1, [0], b"!{\n")))`, "malformed", ""},
	{`say(frame("O", struct.pack("<qIII", 0, 1, 2**32 - 1, 2**32 - 1) + b"1\n"))`, "malformed", ""},
	{`say(frame("I", outcomes(0, 2**28, lines=b"12345678")))`, "malformed", ""},
	{`say(frame("I", outcomes(0, 2, lines=bytes(16))))`, "outcomes of 2 tasks", ""},
	{`say(frame("F", outcomes(0, 1, lines=b"\xff" * 8)))`, "malformed", ""},
	{`say(frame("o", b"123"))`, "malformed", ""},
	{`say(frame("o", one(0, b"1\n2\n")))`, "malformed", ""},
	{`say(frame("o", one(0, b"!oops\n", 1)))`, "malformed", ""},
	{`say(frame("o", one(0, b"1\n", 1)))`, "malformed", ""},
	{`say(frame("o", one(0, size=2**32 - 1)))`, "malformed", ""},
	{`say(frame("o", one(1 << 40)))`, "is of task", ""},
	{`say(frame("o", one(0)), frame("o", one(0)))`, "", "succeed"},
	{`say(frame("G", b"1"))`, "malformed", ""},
	{`say(frame("G", struct.pack("<qqBdI", 1, 0, 0, 0.0, 2**32 - 1)))`, "malformed", ""},
	{`say(frame("E", b""))`, "malformed", ""},
	{`say(frame("E", ending(0, -1)))`, "malformed", ""},
	{`say(frame("E", ending(0, 1)))`, "ends with 1 tasks done, but 0 have an outcome", ""},
	{`say(frame("E", ending(0, 0)))`, "", ""},
	{`say(frame("E", ending(0, 1 << 62)))`, "tasks done", ""},
	{`say(frame("E", ending(99, 0)))`, "is of task", ""},
	{`say(frame("E", ending(0, 0, began=float("nan"))))`, "malformed", ""},
	{`words()[16] = words()[24] = -1; say(frame("E", ending(0, 0)))`, "no task done", ""},
	{`[say(frame("o", one(0)), frame("E", ending(0, 1, 1e11, 1e30, 1e30, 1e30, 1e30, 1 << 62)))]; time.sleep(0.2)`, "", "succeed"},
	{`say(frame("G", log(1 << 62, at=1e11) + log(-5, at=-0.0)[8:]))`, "", "succeed"},
	{`noise(0, -1, 1 << 62, -(1 << 63), 7)`, "", "succeed"},
	{`noise(0); time.sleep(0.3); os._exit(1)`, "", ""},
	{`noise(-1); time.sleep(0.3); os._exit(1)`, "", ""},
	{`noise(1 << 62); time.sleep(0.3); os._exit(1)`, "", ""},
	{`noise(0, words_of=(16, 24, 0)); time.sleep(0.3); say(b"\xff" * 5)`, "", ""},
	{`os.ftruncate(5, 0)`, "", "fail"}, // it is sealed: an OSError
	{`os.ftruncate(5, 1 << 30)`, "", "fail"},
	{`os.close(4)`, "", ""},
	{`os.close(3)`, "", "succeed"},
	{`os.dup2(os.open("/dev/null", os.O_RDWR), 4)`, "ran none of them", ""},
	{`os.dup2(os.open("/dev/null", os.O_RDWR), 6)`, "", "succeed"},
	{`os.closerange(0, 200)`, "", ""},
	{`fcntl.fcntl(4, fcntl.F_SETFL, os.O_NONBLOCK); fcntl.fcntl(3, fcntl.F_SETFL, os.O_NONBLOCK)`, "", "succeed"},
	{`fcntl.fcntl(3, 1031, 4096); fcntl.fcntl(4, 1031, 4096)`, "", "succeed"},
	{`open("/proc/self/fd/4", "rb", 0).read(1)`, "", "hang"}, // of its own frames
	{`os.write(os.open("/proc/self/fd/3", os.O_WRONLY | os.O_NONBLOCK), bytes(100))`, "", "succeed"},
	{`[os.write(os.open("/proc/self/fd/%d" % d, os.O_WRONLY | os.O_NONBLOCK), b"\xff" * 6) for d in range(1, 7) if d != 5]`, "", ""},
	{`os.fork() or (os.setsid(), os.fork() and os._exit(0), time.sleep(300)); os.wait()`, "", "succeed"},
	{`threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGSTOP)).start(); time.sleep(0.3)`, "", "hang"},
}

// TestForgeries checks that a task that forges the runner's frames, or breaks what
// the process shares with the server, fails for it or harms only itself. None lasts
// beyond the bounds, with or without a timeout.
func TestForgeries(t *testing.T) {
	t.Parallel()
	for _, mode := range []struct {
		define  string
		threads int
	}{{"def", 1}, {"def", 2}, {"async def", 2}} {
		t.Run(fmt.Sprintf("%s-%d", mode.define, mode.threads), func(t *testing.T) {
			t.Parallel()
			e := python.New(python.Options{})
			t.Cleanup(e.Close)
			e.Bound(500*time.Millisecond, 2*time.Second, time.Second)
			for i, f := range forgeries {
				if mode.threads > 1 && strings.HasPrefix(f.body, "say(") && i%16 != 0 {
					continue // what reads frames is the same
				}
				l := lane(forging + mode.define + " f(x):\n    " + f.body + "\n    return x\n")
				l.Threads, l.Job = mode.threads, fmt.Sprint(i)
				if f.may == "hang" {
					l.Timeout = 400 * time.Millisecond
				} else if i%2 == 1 {
					l.Timeout = 5 * time.Second
				}
				began := time.Now()
				r, err := executortest.Run(t, e, l, executortest.Numbers(1, 0, 1))
				if d := time.Since(began); d > 10*time.Second {
					t.Errorf("%s: it took %v", f.body, d)
				}
				failure, failed := r.Failed[0]
				switch {
				case err != nil && f.may != "hang": // which may take the acknowledgement of its load
					t.Errorf("%s: %v", f.body, err)
				case f.may == "" && (failure.Kind != jobs.KindCrash || !strings.Contains(failure.Message, f.message)):
					if mode.threads == 1 || !r.Lost[0] && !r.Suspects[0] {
						t.Errorf("%s: failed %v, lost %v, suspects %v, outputs %v, back %v", f.body, r.Failed, r.Lost, r.Suspects, r.Outputs, r.Back)
					}
				case f.may == "fail" && !failed, f.may == "hang" && err == nil && !failed && !r.Suspects[0]:
					t.Errorf("%s: failed %v, outputs %v, back %v", f.body, r.Failed, r.Outputs, r.Back)
				}
			}
			// The server and its processes still work.
			r, err := executortest.Run(t, e, lane("def f(x): return x"), executortest.Numbers(1, 0, 10))
			if err != nil || len(r.Outputs) != 10 {
				t.Errorf("%v, %v", r.Outputs, err)
			}
		})
	}
}
