package python_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/executortest"
)

func TestCalls(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ call, source, input, want string }{
		{"value", "def f(x):\n    return x", `{"a":[1,null]}`, `{"a":[1,null]}`},
		{"args", "def f(a, b=5):\n    return a - b", `[7]`, "2"},
		{"args", "def f(a, b=5):\n    return a - b", `[7,1]`, "6"},
		{"kwargs", "def f(a, b=5):\n    return a - b", `{"a":1,"b":2}`, "-1"},
		{"value", "import functools\nf = functools.partial(pow, 2)", "5", "32"},
		{"value", "class f:\n    def __init__(self, x):\n        pass\n    __dict__ = None\nf = lambda x: -x", "5", "-5"},
	} {
		for _, threads := range []int{1, 2} {
			l := lane(test.source)
			l.Threads = threads
			l.Program.Python.Call = test.call
			r := must(t, l, executortest.Values(1, 10, test.input, test.input))
			if r.Outputs[10] != test.want || r.Outputs[11] != test.want {
				t.Errorf("%s, %d threads, %s: %v %v", test.call, threads, test.source, r.Outputs, r.Failed)
			}
		}
	}
}

func TestExceptions(t *testing.T) {
	t.Parallel()
	source := `import json
class Odd(Exception):
    def __str__(self):
        raise ValueError("no")
class Mine(Exception):
    class Inner(Exception):
        pass
def deep(n):
    return deep(n + 1)
def f(x):
    if x == 1:
        raise Odd()
    if x == 2:
        raise Mine.Inner("with a message")
    if x == 3:
        raise SystemExit(3)
    if x == 4:
        raise KeyboardInterrupt()
    if x == 5:
        deep(0)
    if x == 6:
        return json.loads("{")
    if x == 7:
        try:
            1 / 0
        except ZeroDivisionError as e:
            raise KeyError("k") from e
    return x
`
	want := map[int64][2]string{
		1: {"Odd", ""}, 2: {"Mine.Inner", "with a message"}, 3: {"SystemExit", "3"}, 4: {"KeyboardInterrupt", ""},
		5: {"RecursionError", "maximum recursion"}, 6: {"json.decoder.JSONDecodeError", "Expecting"}, 7: {"KeyError", "'k'"},
	}
	for _, threads := range []int{1, 2} {
		l := lane(source)
		l.Threads = threads
		r := must(t, l, executortest.Numbers(1, 0, 9))
		if len(r.Outputs) != 2 {
			t.Errorf("%d threads: outputs %v", threads, r.Outputs)
		}
		for i, w := range want {
			e := r.Failed[i]
			if e.Kind != jobs.KindException || e.Type != w[0] || !strings.Contains(e.Message, w[1]) {
				t.Errorf("%d threads, task %d: %+v", threads, i, e)
			}
			if !strings.HasPrefix(e.Traceback, "Traceback (most recent call last):\n  File \"program.py\", line ") && i != 7 || strings.Contains(e.Traceback, "runner") || strings.Contains(e.Traceback, "__allcores__") {
				t.Errorf("%d threads, task %d: traceback:\n%s", threads, i, e.Traceback)
			}
			if len(e.Traceback) > 10000 {
				t.Errorf("task %d: traceback of %d bytes", i, len(e.Traceback))
			}
		}
		if e := r.Failed[2]; !strings.Contains(e.Traceback, "raise Mine.Inner(\"with a message\")") || !strings.Contains(e.Traceback, "line 14, in f") {
			t.Errorf("no source line in:\n%s", e.Traceback)
		}
		if e := r.Failed[7]; !strings.Contains(e.Traceback, "ZeroDivisionError") {
			t.Errorf("no cause in:\n%s", e.Traceback)
		}
	}
}

func TestRanges(t *testing.T) {
	t.Parallel()
	c := executor.Chunk{ID: 1, First: 100, Count: 4, Range: &jobs.Range{Start: math.MaxInt64 - 3, Step: 1}, Failures: -1}
	r := must(t, lane("def f(x):\n    return x"), c,
		executor.Chunk{ID: 2, First: 0, Count: 3, Range: &jobs.Range{Start: 5, Step: -10}, Failures: -1})
	for i, want := range map[int64]string{100: "9223372036854775804", 103: "9223372036854775807", 0: "5", 2: "-15"} {
		if r.Outputs[i] != want {
			t.Errorf("task %d: %s, want %s", i, r.Outputs[i], want)
		}
	}
}

func TestAsync(t *testing.T) {
	t.Parallel()
	for _, threads := range []int{1, 8} {
		l := lane(`
import asyncio
at_once = most = 0
async def f(x):
    global at_once, most
    at_once += 1
    most = max(most, at_once)
    print("task", x)
    await asyncio.sleep(0.02)
    at_once -= 1
    if x == 3:
        raise ValueError("three")
    return most
`)
		l.Threads = threads
		r := must(t, l, executortest.Numbers(1, 0, 16), executortest.Numbers(2, 16, 8))
		if got, want := r.Outputs[23], fmt.Sprint(threads); got != want {
			t.Errorf("%s tasks at once, want %s", got, want)
		}
		if e := r.Failed[3]; len(r.Failed) != 1 || e.Type != "ValueError" || !strings.Contains(e.Traceback, "line 12, in f") {
			t.Errorf("%v", r.Failed)
		}
		printed := map[string]bool{}
		for _, line := range r.Text() {
			printed[line] = true
		}
		for i := range 24 {
			if line := fmt.Sprintf("%d stdout task %d", i, i); !printed[line] {
				t.Errorf("%d threads: no line %q in %q", threads, line, r.Text())
				break
			}
		}
	}
}

// TestReturnedCoroutine checks that a plain function that returns a coroutine is
// awaited too.
func TestReturnedCoroutine(t *testing.T) {
	t.Parallel()
	for _, threads := range []int{1, 2} {
		l := lane("async def g(x):\n    return x + 1\ndef f(x):\n    return g(x)")
		l.Threads = threads
		if r := must(t, l, executortest.Numbers(1, 0, 4)); r.Outputs[3] != "4" {
			t.Errorf("%v %v", r.Outputs, r.Failed)
		}
	}
}

func TestThreads(t *testing.T) {
	t.Parallel()
	l := lane(`
import threading
meeting = threading.Barrier(4)
def f(x):
    meeting.wait(10)
    return x
`)
	l.Threads = 4
	r := must(t, l, executortest.Numbers(1, 0, 4), executortest.Numbers(2, 4, 8))
	if len(r.Outputs) != 12 {
		t.Errorf("%v %v", r.Outputs, r.Failed)
	}
}

func TestNestedPools(t *testing.T) {
	t.Parallel()
	l := lane(`
import concurrent.futures, multiprocessing, subprocess
def square(x):
    return x * x
def f(x):
    print("before")
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        a = list(pool.map(square, range(4)))
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        b = list(pool.map(square, range(4)))
    c = subprocess.run(["echo", "from a child"])
    return [a == b, c.returncode]
`)
	r := must(t, l, executortest.Numbers(1, 0, 2))
	for i := range int64(2) {
		if r.Outputs[i] != "[true,0]" {
			t.Errorf("task %d: %s %v", i, r.Outputs[i], r.Failed[i])
		}
	}
	if text := strings.Join(r.Text(), "\n"); strings.Count(text, "0 stdout from a child") != 1 || strings.Count(text, "1 stdout from a child") != 1 {
		t.Errorf("printed:\n%s", text)
	}
}

func TestDurations(t *testing.T) {
	t.Parallel()
	r := must(t, lane("import time\ndef f(x):\n    time.sleep(0.3 if x == 50 else 0)"), executortest.Numbers(1, 0, 100))
	slow := 0
	for i, d := range r.Spent {
		if d > 100*time.Millisecond {
			slow++
			if i != 50 {
				t.Errorf("task %d took %v", i, d)
			}
		}
	}
	if slow != 1 {
		t.Errorf("%d tasks look slow, want 1", slow)
	}
	u := r.Ended[1].Usage
	if u.InTasks < 50*time.Millisecond || u.StartedAt.IsZero() || u.FinishedAt.Sub(u.StartedAt) < 50*time.Millisecond || u.PeakMemory < 1<<20 || u.PeakMemory > limit || u.User+u.System <= 0 {
		t.Errorf("usage %+v", u)
	}
}

func TestFailureLimit(t *testing.T) {
	t.Parallel()
	for _, threads := range []int{1, 2} {
		for _, body := range []string{"    raise ValueError(x)", "    return float('nan')"} {
			l := lane("def f(x):\n" + body)
			l.Threads = threads
			c := executortest.Numbers(1, 0, 1000)
			c.Failures = 3
			r := must(t, l, c)
			if n := len(r.Failed); n < 4 || n > 4+threads*2 && body[4] == 'r' || n > 500 {
				t.Errorf("%d threads, %s: %d tasks failed, want 4", threads, body, n)
			}
		}
	}
}
