package python_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/executortest"
)

func TestOutputs(t *testing.T) {
	t.Parallel()
	tests := []struct{ expr, want string }{
		{"7", "7"}, {"-1", "-1"}, {"10**30", "1000000000000000000000000000000"},
		{"True", "true"}, {"None", "null"}, {"1.5", "1.5"}, {"1e300*10", "1e+301"},
		{`"a\nb\"\u00e9\ud800"`, `"a\nb\"\u00e9\ud800"`}, {"(1, [2], {'a': None})", `[1,[2],{"a":null}]`},
		{"{1: 2, True: 3}", `{"1":3}`}, {"[]", "[]"}, {`""`, `""`},
	}
	source := "expressions = [\n"
	var chunks []executor.Chunk // one for each expression, of three tasks
	for i, test := range tests {
		source += "    lambda: " + test.expr + ",\n"
		chunks = append(chunks, executortest.Numbers(int64(i), 3*int64(i), 3))
	}
	source += "]\ndef f(x):\n    return expressions[x // 3]()\n"
	for _, threads := range []int{1, 3} {
		l := lane(source)
		l.Threads = threads
		r := must(t, l, chunks...)
		for i, test := range tests {
			for task := int64(3 * i); task < int64(3*i+3); task++ {
				if r.Outputs[task] != test.want {
					t.Errorf("%d threads: %s gives %s, want %s (%v)", threads, test.expr, r.Outputs[task], test.want, r.Failed[task])
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

// TestMutableOutputs checks that an output that a later task changes is kept as it
// was.
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

// TestNumbers checks that numbers arrive as they would one by one, whatever is
// between them.
func TestNumbers(t *testing.T) {
	t.Parallel()
	const n = 180_000
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

// TestUndecodableInputs checks that an input that Python cannot read fails alone.
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
