package command_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/command"
	"github.com/allcores/allcores/internal/jobs/executor/executortest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func lane(argv ...string) executor.Lane {
	return executor.Lane{
		Job: "job", Owner: "owner", Threads: 1,
		Program: jobs.Program{Command: &jobs.Command{Argv: argv, Output: jobs.OutputText, OKExitCodes: []int{0}}},
	}
}

func must(t *testing.T, l executor.Lane, chunks ...executor.Chunk) *executortest.Record {
	t.Helper()
	r, err := executortest.Run(t, &command.Executor{}, l, chunks...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEcho(t *testing.T) {
	t.Parallel()
	r := must(t, lane("echo", "n={}", "i={#}"), executortest.Numbers(1, 5, 3), executortest.Values(2, 8, `"a b"`, `{"x":1}`))
	want := map[int64]string{5: `"n=5 i=5"`, 6: `"n=6 i=6"`, 7: `"n=7 i=7"`, 8: `"n=a b i=8"`, 9: `"n={\"x\":1} i=9"`}
	for i, w := range want {
		if r.Outputs[i] != w {
			t.Errorf("task %d: %s, want %s", i, r.Outputs[i], w)
		}
	}
	u := r.Ended[1].Usage
	if u.User+u.System <= 0 || u.InTasks <= 0 || u.StartedAt.IsZero() {
		t.Errorf("usage %+v", u)
	}
}

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

// An output is whole, or the task fails.
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

func TestFailures(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		script string
		want   jobs.TaskError
	}{
		{"echo out; echo why >&2; echo >&2; exit 3", jobs.TaskError{Kind: jobs.KindExit, Type: "exit 3", Message: "why", Output: "out\n"}},
		{"exit 4", jobs.TaskError{Kind: jobs.KindExit, Type: "exit 4", Message: "ended with exit code 4 and nothing on stderr"}},
		{"kill -SEGV $$", jobs.TaskError{Kind: jobs.KindCrash, Type: "SIGSEGV", Message: "killed by SIGSEGV"}},
		{"kill -KILL $$", jobs.TaskError{Kind: jobs.KindCrash, Type: "SIGKILL", Message: "killed by SIGKILL"}},
	} {
		l := lane("sh", "-c", `if [ "$1" = 1 ]; then `+test.script+"; fi", "sh", "{}")
		r := must(t, l, executortest.Numbers(1, 0, 3))
		if len(r.Failed) != 1 || r.Failed[1] != test.want {
			t.Errorf("%s: %+v", test.script, r.Failed)
		}
	}
	l := lane("sh", "-c", `exit "$1"`, "sh", "{}")
	l.Program.Command.OKExitCodes = []int{0, 2}
	if r := must(t, l, executortest.Numbers(1, 0, 4)); len(r.Failed) != 2 || r.Failed[1].Type != "exit 1" || r.Failed[3].Type != "exit 3" {
		t.Errorf("%v", r.Failed)
	}
}

func TestNotFound(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"no-such-command": "not found", "./here": "not found", file: "not executable", "/": "not executable"} {
		r, err := executortest.Run(t, &command.Executor{}, lane(name, "{}"), executortest.Numbers(1, 0, 3))
		var e *executor.LoadError
		if !errors.As(err, &e) || e.Type != want {
			t.Errorf("%s: %v", name, err)
		}
		if len(r.Ended) > 0 && !r.Back[2] {
			t.Errorf("%s: tasks are not back", name)
		}
		if found, _ := new(command.Executor).Check(t.Context(), *lane(name).Program.Command); len(found) != 1 {
			t.Errorf("%s: check finds %v", name, found)
		}
	}
	r := must(t, lane("{}", "x"), executortest.Values(1, 0, `"echo"`, `"no-such-command"`, strconv.Quote(file), `"echo"`))
	if r.Failed[1].Type != "not found" || r.Failed[2].Type != "not executable" || len(r.Outputs) != 2 {
		t.Errorf("%v %v", r.Outputs, r.Failed)
	}
}

func TestBadArguments(t *testing.T) {
	t.Parallel()
	long, _ := json.Marshal(strings.Repeat("a", 200_000))
	r := must(t, lane("echo", "{}"), executortest.Values(1, 0, `"a\u0000b"`, string(long), `"fine"`, `"\ud83d"`, `"\udfff"`))
	if r.Failed[0].Type != "bad input" || r.Failed[1].Type != "input too large" || r.Outputs[2] != `"fine"` ||
		!strings.Contains(r.Failed[3].Message, "U+D83D") || !strings.Contains(r.Failed[4].Message, "U+DFFF") {
		t.Errorf("%v %v", r.Outputs, r.Failed)
	}
}

// A lone surrogate that stands for a byte becomes that byte, on every way.
func TestBytesOfSurrogates(t *testing.T) {
	t.Parallel()
	const input = `"d\udcff.x/\ud83d\ude00\udc80y\udce9.\udce9"`
	for _, test := range []struct {
		argv  []string
		stdin bool
		want  string
	}{
		{[]string{"sh", "-c", `printf %s "$1" | od -An -tx1 | tr -d ' \n'`, "sh", "{}"}, false, "64ff2e782ff09f98808079e92ee9"},
		{[]string{"sh", "-c", `printf %s "$1" | od -An -tx1 | tr -d ' \n'`, "sh", "{.}"}, false, "64ff2e782ff09f98808079e9"},
		{[]string{"sh", "-c", `printf %s "$1" | od -An -tx1 | tr -d ' \n'`, "sh", "{/}"}, false, "f09f98808079e92ee9"},
		{[]string{"sh", "-c", `printf %s "$1" | od -An -tx1 | tr -d ' \n'`, "sh", "{//}"}, false, "64ff2e78"},
		{[]string{"sh", "-c", `printf %s "$1" | od -An -tx1 | tr -d ' \n'`, "sh", "{/.}"}, false, "f09f98808079e9"},
		{[]string{"sh", "-c", `printf %s "$1" | od -An -tx1 | tr -d ' \n'`, "sh"}, false, "64ff2e782ff09f98808079e92ee9"}, // appended
		{[]string{"sh", "-c", `od -An -tx1 | tr -d ' \n'`}, true, "64ff2e782ff09f98808079e92ee9"},
	} {
		l := lane(test.argv...)
		l.Program.Command.Stdin = test.stdin
		if r := must(t, l, executortest.Values(1, 0, input)); r.Outputs[0] != `"`+test.want+`"` {
			t.Errorf("%q: %v %v, want %s", test.argv, r.Outputs, r.Failed, test.want)
		}
	}
	// In an object or an array they stay escapes, as it is passed on as JSON.
	if r := must(t, lane("echo", "{}"), executortest.Values(1, 0, `["\udce9"]`)); r.Outputs[0] != `"[\"\\udce9\"]"` {
		t.Errorf("%v", r.Outputs)
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

func TestSurroundings(t *testing.T) {
	t.Setenv("DATABASE_URL", "secret")
	t.Setenv("ALLCORES_TOKEN", "secret")
	l := lane("sh", "-c", "env; pwd; ls -A; ls /proc/self/fd | tr '\\n' ' '; ps -o pgid= -p $$ 2>/dev/null; touch litter", "{}")
	l.Number = 3
	l.Program.Command.Env = map[string]string{"MINE": "m"}
	r := must(t, l, executortest.Numbers(1, 0, 3))
	for i := range int64(3) {
		out := r.Outputs[i]
		for _, want := range []string{`MINE=m\n`, `ALLCORES_JOB=job\n`, `ALLCORES_LANE=3\n`, fmt.Sprintf(`ALLCORES_TASK=%d\n`, i), `OMP_NUM_THREADS=1\n`, `\n0 1 2 3 `} {
			if !strings.Contains(out, want) {
				t.Errorf("task %d: no %s in %s", i, want, out)
			}
		}
		if strings.Contains(out, "secret") || strings.Contains(out, "litter") {
			t.Errorf("task %d: %s", i, out)
		}
	}
}

func TestThreads(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := lane("sh", "-c", fmt.Sprintf("touch %s/{#}; while [ $(ls %s | wc -l) -lt 3 ]; do sleep 0.01; done", dir, dir))
	l.Threads = 3
	r := must(t, l, executortest.Numbers(1, 0, 3))
	if len(r.Outputs) != 3 {
		t.Errorf("%v", r.Failed)
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	for i, script := range []string{
		"trap '' TERM; sleep 100",
		"trap '' TERM; while :; do :; done",
		"trap '' TERM; setsid sleep 100",
		// Of another session, deaf, and with none of the command's files.
		"setsid sh -c \"trap '' TERM; exec sleep 100\" <&- >&- 2>&- & sleep 100",
	} {
		l := lane("sh", "-c", `echo before; if [ "$1" = 1 ]; then `+script+"; fi", "sh", "{}")
		l.Job = fmt.Sprintf("timeout-%d-%d", os.Getpid(), i)
		l.Timeout = 500 * time.Millisecond
		r := must(t, l, executortest.Numbers(1, 0, 3))
		if e := r.Failed[1]; len(r.Failed) != 1 || e.Kind != jobs.KindTimeout || e.Output != "before\n" || e.Message != "still running after 500ms" {
			t.Errorf("%s: %+v", script, r.Failed)
		}
		if d := r.Spent[1]; d < 500*time.Millisecond || d > 1500*time.Millisecond {
			t.Errorf("%s: it ran for %v", script, d)
		}
		if left := ofJob(l.Job); len(left) > 0 {
			t.Errorf("%s: left are %q", script, left)
		}
	}
}

// ofJob lists the environments' files of processes that work for a job.
func ofJob(job string) []string {
	var found []string
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil && strings.Contains(string(data), "ALLCORES_JOB="+job+"\x00") {
			found = append(found, file)
		}
	}
	return found
}

func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	for _, groups := range executortest.Groups(t) {
		e := &command.Executor{Groups: groups}
		l := lane("python3", "-c", "import sys; x = bytearray(int(sys.argv[1]) << 20)", "{}")
		l.MemoryLimit = 100 << 20
		r, err := executortest.Run(t, e, l, executortest.Values(1, 0, "1", "300", "2"))
		if err != nil {
			t.Fatal(err)
		}
		if e := r.Failed[1]; len(r.Failed) != 1 || len(r.Outputs) != 2 || e.Kind != jobs.KindMemory || !strings.Contains(e.Message, "the memory limit of 100MiB "+executortest.Held(groups)) {
			t.Errorf("%v, %+v", r.Outputs, r.Failed)
		}
	}
}

// What a command starts counts, in whatever session it is, and all of it ends.
func TestMemoryLimitOfChildren(t *testing.T) {
	t.Parallel()
	groups := executortest.Groups(t)[0]
	if groups == nil {
		return // each process has the limit by itself
	}
	e := &command.Executor{Groups: groups}
	for _, script := range []string{
		`head -c "$1"M /dev/zero | tail -c "$1"M > /dev/null; echo went on`,
		`setsid sh -c 'head -c "$1"M /dev/zero | tail -c "$1"M > /dev/null' sh "$1"; echo went on`,
		// None of them alone reaches the limit.
		`for i in 1 2 3 4; do (head -c "$1"M /dev/zero | tail -c $(($1 / 4))M; sleep 1) > /dev/null & done; wait; echo went on`,
	} {
		l := lane("sh", "-c", script, "sh", "{}")
		l.MemoryLimit = 60 << 20
		r, err := executortest.Run(t, e, l, executortest.Values(1, 0, "4", "200", "4"))
		if err != nil {
			t.Fatal(err)
		}
		if e := r.Failed[1]; len(r.Failed) != 1 || len(r.Outputs) != 2 || e.Kind != jobs.KindMemory || e.Type != "SIGKILL" {
			t.Errorf("%s: %v, %+v", script, r.Outputs, r.Failed)
		}
	}
	// One that is killed for another reason has not reached the limit.
	l := lane("sh", "-c", "kill -KILL $$")
	l.MemoryLimit = 60 << 20
	r, err := executortest.Run(t, e, l, executortest.Numbers(1, 0, 1))
	if err != nil || r.Failed[0].Kind != jobs.KindCrash {
		t.Errorf("%+v, %v", r.Failed, err)
	}
}

// What a command leaves running ends with it, and does not hold it back.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := lane("sh", "-c", fmt.Sprintf("sleep 1000 & echo $! > %s/group; setsid sh -c 'echo $$ > %s/session; exec sleep 1000' & while ! [ -s %s/session ]; do sleep 0.01; done; echo done", dir, dir, dir))
	began := time.Now()
	r := must(t, l, executortest.Numbers(1, 0, 1))
	if r.Outputs[0] != `"done"` {
		t.Errorf("%v %v", r.Outputs, r.Failed)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("it took %v", d)
	}
	for _, name := range []string{"group", "session"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		pid := strings.TrimSpace(string(data))
		executortest.Eventually(t, name+" is gone", func() bool {
			cmdline, err := os.ReadFile("/proc/" + pid + "/cmdline")
			return err != nil || len(cmdline) == 0
		})
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := lane("sh", "-c", fmt.Sprintf("trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$ > %s/session; sleep 1000' & sleep 1000", dir))
	b := executortest.Begin(t, &command.Executor{}, l)
	b.Give(executortest.Numbers(1, 0, 10))
	b.Give(executortest.Numbers(2, 10, 10))
	var pid string
	executortest.Eventually(t, "it runs", func() bool {
		data, _ := os.ReadFile(filepath.Join(dir, "session"))
		pid = strings.TrimSpace(string(data))
		return pid != ""
	})
	began := time.Now()
	b.Cancel()
	if err := b.Wait(); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	executortest.Eventually(t, "it is gone", func() bool {
		cmdline, err := os.ReadFile("/proc/" + pid + "/cmdline")
		return err != nil || len(cmdline) == 0
	})
	if d := time.Since(began); d > 2*time.Second || d < executor.KillGrace/2 {
		t.Errorf("it took %v", d)
	}
	if len(b.Back) != 20 {
		t.Errorf("back: %v", b.Back)
	}
}

// A command that heeds TERM has its time for it.
func TestCancelIsGentle(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "said")
	b := executortest.Begin(t, &command.Executor{}, lane("sh", "-c", fmt.Sprintf("trap 'sleep 0.2; echo bye > %s; exit' TERM; echo ready >&2; while :; do sleep 0.01; done", file)))
	b.Give(executortest.Numbers(1, 0, 1))
	b.Await("it is ready", func() bool { return len(b.Logs) > 0 })
	b.Cancel()
	b.Wait()
	if data, _ := os.ReadFile(file); string(data) != "bye\n" {
		t.Errorf("it said %q", data)
	}
}

func TestBudgetAndHalt(t *testing.T) {
	t.Parallel()
	l := lane("sleep", "0.3")
	l.Program.Command.Argv = []string{"sh", "-c", "sleep 0.3", "{}"}
	halt := make(chan struct{})
	l.Halt = halt
	b := executortest.Begin(t, &command.Executor{}, l)
	c := executortest.Numbers(1, 0, 10)
	c.Budget = 20 * time.Millisecond
	b.Give(c)
	b.Give(executortest.Numbers(2, 100, 10))
	b.Await("the tail and the chunk that waits are back", func() bool { return b.Back[1] && b.Back[9] && b.Back[100] && len(b.Outputs) == 0 })
	b.Await("the first task is done", func() bool { return len(b.Outputs) == 1 })
	b.Give(executortest.Numbers(3, 200, 10))
	close(halt)
	b.Await("the rest is back", func() bool { return b.Back[209] })
	b.Give(executortest.Numbers(4, 300, 10))
	if err := b.End(); err != nil {
		t.Fatal(err)
	}
	if !b.Back[300] || len(b.Failed) > 0 {
		t.Errorf("back %v, failed %v", b.Back, b.Failed)
	}
}

func TestFailureLimit(t *testing.T) {
	t.Parallel()
	c := executortest.Numbers(1, 0, 100)
	c.Failures = 2
	if r := must(t, lane("false", "{}"), c); len(r.Failed) != 3 {
		t.Errorf("%d failures", len(r.Failed))
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
	// One line without end: nothing of it is lost, and its end is the message.
	r := must(t, lane("sh", "-c", `head -c 150000 /dev/zero | tr '\0' x >&2; printf '\r10 %%\r\342\202\254 is missing' >&2; exit 3`, "{}"), executortest.Numbers(1, 0, 1))
	if whole := strings.ReplaceAll(strings.Join(r.Text(), ""), "0 stderr ", ""); r.Failed[0].Message != "€ is missing" || whole != strings.Repeat("x", 150000)+"\r10 %\r€ is missing" {
		t.Errorf("%+v, %d bytes", r.Failed[0], len(whole))
	}
}

// What is removed after a task is named.
func TestLeftoverFiles(t *testing.T) {
	t.Parallel()
	r := must(t, lane("sh", "-c", `[ "$1" = 1 ] || { head -c 12288 /dev/zero > a.txt; mkdir d; ln -s / l; touch 'b c' "$(printf 'x\ny')" z1 z2; }`, "sh", "{}"), executortest.Numbers(1, 0, 2))
	want := []string{`0 stderr left in the task's directory and removed: a.txt (12.0 KiB), b c (0 bytes), d/, l, "x\ny" (0 bytes), and 2 more; name files by an absolute path to keep them`}
	if got := r.Text(); len(r.Outputs) != 2 || !slices.Equal(got, want) {
		t.Errorf("%v %q", r.Failed, got)
	}
}

func TestPinned(t *testing.T) {
	t.Parallel()
	l := lane("python3", "-c", "import os; print(sorted(os.sched_getaffinity(0)))", "{}")
	l.Program.Command.Output = jobs.OutputJSON
	var all []int
	if r := must(t, l, executortest.Numbers(1, 0, 1)); json.Unmarshal([]byte(r.Outputs[0]), &all) != nil {
		t.Fatalf("%v %v", r.Outputs, r.Failed)
	}
	for _, cores := range [][]int{all[:1], all[len(all)-1:], all[:min(2, len(all))]} {
		l := lane("python3", "-c", "import os; print(sorted(os.sched_getaffinity(0)), os.environ['ALLCORES_TASK_CORES'], os.environ['OMP_NUM_THREADS'])", "{}")
		l.Cores, l.CoreCount = cores, len(cores)
		numbers := strings.Trim(fmt.Sprint(cores), "[]")
		want := fmt.Sprintf("\"[%s] %s %d\"", strings.ReplaceAll(numbers, " ", ", "), strings.ReplaceAll(numbers, " ", ","), len(cores))
		if r := must(t, l, executortest.Numbers(1, 0, 1)); r.Outputs[0] != want {
			t.Errorf("pinned to %v: %v %v, want %s", cores, r.Outputs, r.Failed, want)
		}
	}
}
