package python_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/executortest"
)

// TestPlacesInOutputs checks that an output that JSON cannot represent fails its
// task, and that the message names the place and the type. The task's log names keys
// that become text.
func TestPlacesInOutputs(t *testing.T) {
	t.Parallel()
	tests := []struct {
		expr   string
		kind   string // of the failure; empty for none
		says   string // in the message, or in the log
		output string
	}{
		{`{"ok": [1, {"a b": (1.5, None, True)}]}`, "", "", `{"ok":[1,{"a b":[1.5,null,true]}]}`},
		{`{1: "int", "1": "text"}`, "ValueError", `two keys of it have the name "1"`, ""},
		{`[{"x": {True: 1, "true": 2}}]`, "ValueError", `two keys of [0].x have the name "true"`, ""},
		{`{1.0: 1, "1.0": 2}`, "ValueError", `the name "1.0"`, ""},
		{`{None: 1, "null": 2}`, "ValueError", `the name "null"`, ""},
		{`{1: 2}`, "", `in it int 1 became "1"`, `{"1":2}`},
		{`[0, 1, 2, {"score": {7: 1, 8: 2}, "t": ({None: 0},)}]`, "", `in [3].score int 7 became "7", in [3].t[0] NoneType None became "null"`, `[0,1,2,{"score":{"7":1,"8":2},"t":[{"null":0}]}]`},
		{`[{i: 0} for i in range(9)]`, "", `and in 6 more places`, `[{"0":0},{"1":0},{"2":0},{"3":0},{"4":0},{"5":0},{"6":0},{"7":0},{"8":0}]`},
		{`collections.OrderedDict(a=collections.Counter([5]))`, "", `in .a int 5 became "5"`, `{"a":{"5":1}}`},
		{`[0, 1, 2, {"score": float("nan")}]`, "ValueError", `[3].score is NaN`, ""},
		{`{"a": {"b c": [float("-inf")]}}`, "ValueError", `.a["b c"][0] is -Infinity`, ""},
		{`float("inf")`, "ValueError", `it is Infinity`, ""},
		{`{"when": [datetime.date(2026, 1, 1)]}`, "TypeError", `.when[0] is of type date; return its isoformat() instead`, ""},
		{`[1, {2, 3}]`, "TypeError", `[1] is of type set; return a list instead`, ""},
		{`{"n": decimal.Decimal(1)}`, "TypeError", `.n is of type Decimal`, ""},
		{`[b"x"]`, "TypeError", `[0] is of type bytes`, ""},
		{`{"big": 10 ** 5000}`, "ValueError", `.big is an int of about 5000 digits`, ""},
		{`{"x": {(1, 2): 3}}`, "TypeError", `a key of .x is of type tuple`, ""},
		{`{"x": {float("nan"): 3}}`, "ValueError", `a key of .x is NaN`, ""},
		{`(i for i in [1])`, "TypeError", `it is of type generator; return a list`, ""},
		{`[g()]`, "TypeError", `[0] is of type async_generator`, ""},
		{`[Mine(1)]`, "TypeError", `[0] is of type Mine; return its dataclasses.asdict() instead`, ""},
	}
	source := "import collections, dataclasses, datetime, decimal\n@dataclasses.dataclass\nclass Mine:\n    a: int\nasync def g():\n    yield 1\nexpressions = [\n"
	var chunks []executor.Chunk // one for each expression, of two tasks
	for i, test := range tests {
		source += "    lambda: " + test.expr + ",\n"
		chunks = append(chunks, executortest.Numbers(int64(i), 2*int64(i), 2))
	}
	source += "]\ndef f(x):\n    return expressions[x // 2]()\n"
	for _, threads := range []int{1, 2} {
		l := lane(source)
		l.Threads = threads
		r := must(t, l, chunks...)
		logs := make(map[int64][]string) // by chunk
		for i, text := range r.Text() {
			logs[r.Logs[i].Task/2] = append(logs[r.Logs[i].Task/2], text)
		}
		for i, test := range tests {
			task := int64(2*i + 1)
			e, lines := r.Failed[task], logs[int64(i)]
			log := strings.Join(lines, "\n")
			switch {
			case e.Type != test.kind || test.kind != "" && (e.Kind != jobs.KindException || !strings.Contains(e.Message, "the output is not JSON: ") || !strings.Contains(e.Message, test.says)):
				t.Errorf("%d threads: %s: %+v", threads, test.expr, e)
			case r.Outputs[task] != test.output:
				t.Errorf("%d threads: %s gives %s", threads, test.expr, r.Outputs[task])
			case test.kind == "" && test.says != "" && !slices.ContainsFunc(lines, func(line string) bool {
				return strings.HasPrefix(line, fmt.Sprint(task, " stderr [output: keys in JSON are text: ")) && strings.Contains(line, test.says)
			}):
				t.Errorf("%d threads: %s: log %q", threads, test.expr, log)
			case (test.kind != "" || test.says == "") && log != "":
				t.Errorf("%d threads: %s: log %q", threads, test.expr, log)
			}
		}
	}
}
