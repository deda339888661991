package command_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor/command"
	"github.com/allcores/allcores/internal/jobs/executor/executortest"
)

func TestOutputs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ kind, printf, want, failure string }{
		{"text", `a\n`, `"a"`, ""},
		{"text", `a\n\n`, `"a\n"`, ""},
		{"text", ``, `""`, ""},
		{"text", `\357\277\275<&>"\t\r\n\000`, `"�<&>\"\t\r\n\u0000"`, ""},
		{"text", `ab\377`, "", "not UTF-8 at byte 2"},
		{"lines", `a\r\nb\n\nc`, `["a","b","","c"]`, ""},
		{"lines", ``, `[]`, ""},
		{"lines", `a\nb\303`, "", "not UTF-8 at byte 3"},
		{"json", ` {"a": [1, 2]} \n`, `{"a":[1,2]}`, ""},
		{"json", `[1.0, 1e400, 12345678901234567890, "<\\ud800"]`, `[1.0,1e400,12345678901234567890,"<\ud800"]`, ""},
		{"json", `["\377"]`, "", "not UTF-8 at byte 2"},
		{"json", `[{"a": 1, "b": {}, "\\u0061": 2}]`, "", `two members of the name "a"`},
		{"json", `1 2`, "", "not one JSON value"},
		{"json", ``, "", "not one JSON value"},
		{"json", `NaN`, "", "not one JSON value"},
	} {
		l := lane("sh", "-c", `printf '`+test.printf+`'`, "{}")
		l.Program.Command.Output = test.kind
		r := must(t, l, executortest.Numbers(1, 0, 1))
		if e := r.Failed[0]; r.Outputs[0] != test.want || !strings.Contains(e.Message, test.failure) || test.failure != "" && e.Kind != jobs.KindException {
			t.Errorf("%s %q: %s %+v", test.kind, test.printf, r.Outputs[0], e)
		}
	}
}

// TestOutputTooLarge checks that an output is whole, or the task fails.
func TestOutputTooLarge(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{jobs.OutputText, jobs.OutputLines, jobs.OutputJSON} {
		l := lane("sh", "-c", `head -c "$1" /dev/zero | tr '\0' 7; echo done >&2`, "sh", "{}")
		l.Program.Command.Output = kind
		r := must(t, l, executortest.Values(1, 0, "1048576", "1048577", "3000000"))
		if n := len(r.Outputs[0]); n < command.MaxOutput || len(r.Failed) != 2 {
			t.Errorf("%s: %d bytes, %d failures", kind, n, len(r.Failed))
		}
		for i, want := range map[int64]string{1: "1.0 MiB (1048577 bytes), the limit is 1MiB", 2: "output too large: 2.9 MiB (3000000 bytes), the limit is 1MiB"} {
			if e := r.Failed[i]; e.Type != "output too large" || !strings.Contains(e.Message, want) {
				t.Errorf("%s: %.200s %.200s", kind, e.Type, e.Message)
			}
		}
		if text := r.Text(); !slices.Contains(text, "2 stderr done") {
			t.Errorf("%s: it was stalled: %s", kind, text)
		}
	}
}

func TestStdin(t *testing.T) {
	t.Parallel()
	long, _ := json.Marshal(strings.Repeat("a", 300_000))
	l := lane("cat")
	l.Program.Command.Stdin = true
	r := must(t, l, executortest.Values(1, 0, `"a\nb"`, string(long), `{"x":1}`, `""`))
	for i, want := range map[int64]string{0: `"a\nb"`, 1: string(long), 2: `"{\"x\":1}"`, 3: `""`} {
		if r.Outputs[i] != want {
			t.Errorf("task %d: %.100s", i, r.Outputs[i])
		}
	}
	l = lane("sh", "-c", "echo ignored")
	l.Program.Command.Stdin = true
	if r := must(t, l, executortest.Values(1, 0, string(long))); r.Outputs[0] != `"ignored"` {
		t.Errorf("%v %v", r.Outputs, r.Failed)
	}
	if r := must(t, lane("sh", "-c", `cat; echo "$1"`, "sh", "{}"), executortest.Numbers(1, 0, 1)); r.Outputs[0] != `"0"` {
		t.Errorf("without stdin: %v %v", r.Outputs, r.Failed)
	}
}

func TestLogs(t *testing.T) {
	t.Parallel()
	script := `printf 'a\r\nb' >&2; sleep 0.4; printf 'c\377' >&2; head -c 800000 /dev/zero | tr '\0' 'x' | fold -w 99 >&2; printf '\nthe cause\nit failed\n\n' >&2; exit 3`
	b := executortest.Begin(t, &command.Executor{}, lane("sh", "-c", script, "{}"))
	b.Give(executortest.Numbers(1, 7, 1))
	b.Await("the first line is there while it runs", func() bool { return len(b.Logs) == 1 && len(b.Ended) == 0 })
	if err := b.End(); err != nil {
		t.Fatal(err)
	}
	text := b.Text()
	n := len(text)
	if text[0] != "7 stderr a" || !strings.HasPrefix(text[1], "7 stderr bc\uFFFDxx") || text[n-2] != "7 stderr it failed" || text[n-3] != "7 stderr the cause" {
		t.Errorf("%q … %q", text[:2], text[n-3:])
	}
	cut := slices.IndexFunc(text, func(line string) bool { return strings.Contains(line, "[cut: ") })
	if cut < 600 || n-cut < 1900 || len(strings.Join(text, "\n")) > 300<<10 || !strings.Contains(text[cut], "left out; a task keeps the first 64 and the last 192 KiB of stderr]") {
		t.Errorf("cut at line %d of %d", cut, n)
	}
	if e := b.Failed[7]; !strings.HasPrefix(e.Message, "it failed\n\nbefore it:\nxxx") || !strings.HasSuffix(e.Message, "x\nthe cause") || len(e.Message) > 2100 {
		t.Errorf("%+v", e)
	}
	// A line without a newline is kept whole, and its end is the message.
	r := must(t, lane("sh", "-c", `head -c 150000 /dev/zero | tr '\0' x >&2; printf '\r10 %%\r\342\202\254 is missing' >&2; exit 3`, "{}"), executortest.Numbers(1, 0, 1))
	if whole := strings.ReplaceAll(strings.Join(r.Text(), ""), "0 stderr ", ""); r.Failed[0].Message != "€ is missing" || whole != strings.Repeat("x", 150000)+"\r10 %\r€ is missing" {
		t.Errorf("%+v, %d bytes", r.Failed[0], len(whole))
	}
}

// TestLeftoverFiles checks that the log names the files that are removed after a
// task.
func TestLeftoverFiles(t *testing.T) {
	t.Parallel()
	r := must(t, lane("sh", "-c", `[ "$1" = 1 ] || { head -c 12288 /dev/zero > a.txt; mkdir d; ln -s / l; touch 'b c' "$(printf 'x\ny')" z1 z2; }`, "sh", "{}"), executortest.Numbers(1, 0, 2))
	want := []string{`0 stderr left in the task's directory and removed: a.txt (12.0 KiB), b c (0 bytes), d/, l, "x\ny" (0 bytes), and 2 more; name files by an absolute path to keep them`}
	if got := r.Text(); len(r.Outputs) != 2 || !slices.Equal(got, want) {
		t.Errorf("%v %q", r.Failed, got)
	}
}
