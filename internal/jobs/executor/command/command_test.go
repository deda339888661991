package command_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

// TestBytesOfSurrogates checks that a lone surrogate that stands for a byte becomes
// that byte, as argument and on stdin.
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
	// In an object or an array they stay escapes, because it is passed as JSON.
	if r := must(t, lane("echo", "{}"), executortest.Values(1, 0, `["\udce9"]`)); r.Outputs[0] != `"[\"\\udce9\"]"` {
		t.Errorf("%v", r.Outputs)
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

// TestLeftovers checks that processes that a command leaves end with it, and do not
// delay its end.
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

// TestRecall checks that a recall gives back the tasks of a chunk that have not
// started, and ends a chunk with nothing left.
func TestRecall(t *testing.T) {
	t.Parallel()
	recall := make(chan executor.Recall)
	dir := t.TempDir()
	l := lane("sh", "-c", `: > "$0/$1.on"; until [ -e "$0/go" ]; do sleep 0.01; done`, dir, "{}")
	l.Recall = recall
	b := executortest.Begin(t, &command.Executor{}, l)
	b.Give(executortest.Numbers(1, 0, 5))
	b.Give(executortest.Numbers(2, 5, 5))
	executortest.Eventually(t, "a task runs", func() bool {
		_, err := os.Stat(filepath.Join(dir, "0.on"))
		return err == nil
	})
	for i, r := range []executor.Recall{{Chunk: 1, First: 0}, {Chunk: 2, First: 8}, {Chunk: 2, First: 5}, {Chunk: 1, First: 0}} {
		recall <- r
		b.Await("the recall is answered", func() bool { return len(b.Recalled) == i+1 })
	}
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.End(); err != nil {
		t.Fatal(err)
	}
	if len(b.Outputs) != 1 || len(b.Back) != 9 || len(b.Recalled[3].Back) != 0 || b.Recalled[1].Back[0] != (executor.Span{First: 8, Count: 2}) {
		t.Errorf("%d ran, %d came back: %+v", len(b.Outputs), len(b.Back), b.Recalled)
	}
}
