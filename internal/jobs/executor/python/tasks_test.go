package python_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/executortest"
)

func TestOutputs(t *testing.T) {
	t.Parallel()
	for _, threads := range []int{1, 3} {
		for _, test := range []struct{ expr, want string }{
			{"7", "7"}, {"-1", "-1"}, {"10**30", "1000000000000000000000000000000"},
			{"True", "true"}, {"None", "null"}, {"1.5", "1.5"}, {"1e300*10", "1e+301"},
			{`"a\nb\"\u00e9\ud800"`, `"a\nb\"\u00e9\ud800"`}, {"(1, [2], {'a': None})", `[1,[2],{"a":null}]`},
			{"{1: 2, True: 3}", `{"1":3}`}, {"[]", "[]"}, {`""`, `""`},
		} {
			l := lane("def f(x):\n    return " + test.expr + "\n")
			l.Threads = threads
			r := must(t, l, executortest.Numbers(1, 0, 3))
			for i := range int64(3) {
				if r.Outputs[i] != test.want {
					t.Errorf("%d threads: %s gives %s, want %s (%v)", threads, test.expr, r.Outputs[i], test.want, r.Failed[i])
				}
			}
		}
	}
}

func TestMixedOutputs(t *testing.T) {
	t.Parallel()
	r := must(t, lane(`
values = [1, 2.5, True, None, "s", [1], 3, 4, float("nan"), 5, 10**5000, 6, False]
def f(x):
    return values[x % len(values)]
`), executortest.Numbers(1, 0, 13*500))
	want := []string{"1", "2.5", "true", "null", `"s"`, "[1]", "3", "4", "", "5", "", "6", "false"}
	for i := range int64(13 * 500) {
		w := want[i%13]
		if got, failed := r.Outputs[i], r.Failed[i]; got != w || (w == "") != (failed.Kind != "") {
			t.Fatalf("task %d: %q %+v, want %s; back %d", i, got, failed, w, len(r.Back))
		}
	}
	for i, part := range map[int64]string{8: "not JSON", 10: "not JSON"} {
		if e := r.Failed[i]; e.Kind != jobs.KindException || e.Type != "ValueError" || !strings.Contains(e.Message, part) {
			t.Errorf("task %d: %+v", i, e)
		}
	}
}

func TestOutputsThatAreNotJSON(t *testing.T) {
	t.Parallel()
	for _, expr := range []string{"float('inf')", "{1, 2}", "b'x'", "object()", "[float('nan')]", "{(1, 2): 3}", "deep()", "loop()", "(i for i in [1])"} {
		r := must(t, lane(`
def deep():
    a = []
    for _ in range(100000): a = [a]
    return a
def loop():
    a = []
    a.append(a)
    return a
def f(x):
    return `+expr+` if x == 1 else x
`), executortest.Numbers(1, 0, 3))
		if e := r.Failed[1]; e.Kind != jobs.KindException || !strings.Contains(e.Message, "the output is not JSON") {
			t.Errorf("%s: %+v", expr, e)
		}
		if len(r.Outputs) != 2 {
			t.Errorf("%s: neighbours: %v", expr, r.Outputs)
		}
	}
}

// An output that a later task changes is reported as it was.
func TestMutableOutputs(t *testing.T) {
	t.Parallel()
	for _, threads := range []int{1, 2} {
		l := lane("kept = []\ndef f(x):\n    kept.append(0)\n    return kept if x % 3 == 0 else len(kept)\n")
		l.Threads = threads
		r := must(t, l, executortest.Numbers(1, 0, 300))
		if threads > 1 {
			continue // their order is not known
		}
		for i := range int64(300) {
			want := fmt.Sprint(i + 1)
			if i%3 == 0 {
				want = "[" + strings.TrimSuffix(strings.Repeat("0,", int(i+1)), ",") + "]"
			}
			if r.Outputs[i] != want {
				t.Fatalf("task %d: %s", i, r.Outputs[i])
			}
		}
	}
}

// Numbers come as they would one by one, whatever comes between them.
func TestNumbers(t *testing.T) {
	t.Parallel()
	const n = 150_000
	source := `
import json
def random(x, n):                       # 64 bits; much faster than a seeded random.Random
    h = (x + 1) * 0x9E3779B97F4A7C15 + n * 0xD1B54A32D192ED03
    h = ((h ^ h >> 30) * 0xBF58476D1CE4E5B9) & 2**64 - 1
    return h ^ h >> 31
def f(x):
    if x < 80_000:                      # more than one run has
        return (random(x, 1) - 2**63) >> (random(x, 2) & 63)
    if x < 90_000:
        return (random(x, 1) / 2**64 * 20 - 10) * 10.0 ** (random(x, 2) % 61 - 30)
    if x < 91_000:
        return float(random(x, 1) % 11 - 5)
    if x < 92_000:
        return [1, 2.5, None, "a", True, [1]][random(x, 1) % 6]
    if x < 93_000:
        return 2 ** (60 + random(x, 1) % 11)
    if x == 100_001:
        raise ValueError(x)
    if x == 110_001:
        return "between"
    if x == 120_001:
        return float("nan")
    return x / 3 if x > 120_000 else x
def g(x):
    return json.dumps(f(x), separators=(",", ":"))
`
	packed := lane(source)
	r := must(t, packed, executortest.Numbers(1, 0, n))
	plain := lane(source)
	plain.Program.Python.Function = "g"
	want := must(t, plain, executortest.Numbers(1, 0, n))
	if len(r.Outputs) != n-2 || len(r.Failed) != 2 || r.Failed[100_001].Type != "ValueError" || r.Failed[120_001].Type != "ValueError" {
		t.Fatalf("%d outputs, failures %v", len(r.Outputs), r.Failed)
	}
	for i, output := range r.Outputs {
		var text string
		if err := json.Unmarshal([]byte(want.Outputs[i]), &text); err != nil || text != output {
			t.Fatalf("task %d: %s, want %s (%v)", i, output, text, err)
		}
	}
	if r.Packed < n/2 {
		t.Errorf("%d of %d outputs are packed", r.Packed, n)
	}
}

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

// An input that Python cannot read fails alone.
func TestUndecodableInputs(t *testing.T) {
	t.Parallel()
	huge := strings.Repeat("9", 5000)
	nested := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	for _, threads := range []int{1, 2} {
		l := lane("def f(x):\n    return x")
		l.Threads = threads
		r := must(t, l, executortest.Values(1, 0, "1", huge, "2", nested, `"\ud800"`), executortest.Values(2, 5, "3"))
		for i, want := range map[int64]string{0: "1", 2: "2", 4: `"\ud800"`, 5: "3"} {
			if r.Outputs[i] != want {
				t.Errorf("task %d: %s, want %s", i, r.Outputs[i], want)
			}
		}
		for _, i := range []int64{1, 3} {
			if e := r.Failed[i]; e.Kind != jobs.KindException || !strings.Contains(e.Message, "input cannot be read") {
				t.Errorf("task %d: %+v", i, e)
			}
		}
	}
}

func TestLargeOutputs(t *testing.T) {
	t.Parallel()
	l := lane("def f(x):\n    return 'a' * x")
	r := must(t, l, executortest.Values(1, 0, "5", "40000000", "6"))
	if e := r.Failed[1]; e.Kind != jobs.KindException || !strings.Contains(e.Message, "larger than 32 MiB") {
		t.Errorf("%+v", e)
	}
	if r.Outputs[0] != `"aaaaa"` || r.Outputs[2] != `"aaaaaa"` {
		t.Errorf("neighbours: %v", r.Outputs)
	}
	for _, threads := range []int{1, 2} {
		l.Threads = threads
		inputs := make([]string, 100)
		for i := range inputs {
			inputs[i] = "1000000"
		}
		r = must(t, l, executortest.Values(1, 0, inputs...))
		if n := len(r.Outputs); n < 8 || n > 13 || len(r.Failed) > 0 {
			t.Errorf("%d threads: %d outputs of 1 MB in one chunk, %d failures", threads, n, len(r.Failed))
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

// A plain function that returns a coroutine is awaited too.
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
