package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestPythonCommandLine runs the verbs of the client's command line.
func TestPythonCommandLine(t *testing.T) {
	c := newClient(t, serve(t, dataDir(t)))
	work := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(work, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	script := write("squares.py", "import helper\ndef square(x):\n    if x == 13:\n        raise ValueError('unlucky')\n    return helper.double(x) * x / 2\n")
	write("helper.py", "def double(x):\n    return 2 * x\n")
	numbers := write("numbers.ndjson", "1\n2\n\n3\n")
	unlucky := write("unlucky.ndjson", "12\n13\n")
	broken := write("broken.ndjson", "1\n{\n")
	plain := write("plain.py", "import sys\nprint(__name__, sys.argv[1:])\nsys.exit(3)\n")
	list := write("list.txt", "one\ntwo words\n")
	for _, test := range []struct {
		args           string // separated by |
		stdin          string
		status         int
		stdout, stderr string // regular expressions of the whole
	}{
		{"--version", "", 0, `allcores \S+\n`, ``},
		{"", "", 2, ``, `allcores: a verb is missing: .*\n`},
		{"fly", "", 2, ``, `allcores: .*fly.*\n`},
		{"map|" + script + ":square|" + numbers, "", 0, "1.0\n4.0\n9.0\n", ``},
		{"map|" + script + ":square|--json", "4\n", 0, `{"index":0,"state":"succeeded","output":16.0}\n`, ``},
		{"map|" + script + ":square|" + unlucky, "", 1, "144.0\n", `(?s)allcores: task 1: ValueError: unlucky\nallcores: job \S+ failed: 1 of 2 succeeded, 1 failed .*`},
		{"map|" + script + ":square|" + broken, "", 2, ``, `allcores map: \S+ line 2 is not JSON: .*\n`},
		{"map|" + script + ":cube|" + numbers, "", 2, ``, `allcores map: \S+ has no function 'cube'\n`},
		{"map|nosuch.py:f|" + numbers, "", 2, ``, `allcores map: there is no file nosuch.py\n`},
		{"map|" + script + ":square|nosuch", "", 2, ``, `allcores: nosuch: No such file or directory\n`},
		{"run|-k|--|echo|hello|:::|a|b c", "", 0, "hello a\nhello b c\n", ``},
		{"run|-k|--tag|echo|{.}|{/}|{#}|:::|d/x.jpg|y.png", "", 0, "d/x.jpg\td/x x.jpg 0\ny.png\ty y.png 1\n", ``},
		{"run|-k|-a|" + list + "|echo", "", 0, "one\ntwo words\n", ``},
		{"run|-k|echo|<{}>", "p\nq\n", 0, "<p>\n<q>\n", ``},
		{"run|-0|-k|echo", "p\nq\x00r\x00", 0, "p\nq\nr\n", ``},
		{"run|echo '<{.}>' | tr a-z A-Z; echo oops >&2|:::|it's $(x).y", "", 0, "<IT'S \\$\\(X\\)>\n", "oops\n"},
		{"run|-k|:::|echo one|echo two; exit 3", "", 1, "one\ntwo\n", `(?s)allcores: task 1: exit 3\nallcores: job \S+ failed: .*`},
		{"run|--json|echo|:::|x", "", 0, `{"index":0,"state":"succeeded","output":"x"}\n`, ``},
		{"run|pwd|:::", "", 0, ``, ``},
		{"run|-j1|--halt|soon,fail=1|sh|-c|exit $1|sh|:::|3|0|0|0|0|0|0|0", "", 1, ``, `(?s)allcores: task 0: exit 3\n.*max_failures.*`},
		{"run|-j1|--halt|now,fail=1|sh|-c|exit $1|sh|:::|3|0", "", 1, ``, `(?s)allcores: task 0: exit 3\n.*`},
		{"run|--halt|fail|true|:::|1", "", 2, ``, `allcores: --halt must be .*'fail'\n`},
		{"run|-j|many|true|:::|1", "", 2, ``, `allcores: -j must be .*'many'.*\n`},
		{"run|echo|:::|a|:::|b", "", 2, ``, `allcores run: give one source of inputs.*\n`},
		{"run|echo|{1}|:::|a", "", 2, ``, `allcores run: \{1\} is not supported.*\n`},
		{"run|--timeout|0.2|sleep|:::|20", "", 1, ``, `(?s)allcores: task 0: .*time.*`},
		{"run|-j2|script.py", "", 2, ``, `allcores run: -j2 is for commands; .*\n`},
		{"run|nosuch.py", "", 2, ``, `allcores: can't open file 'nosuch.py': .*\n`},
		{"run|" + plain + "|a|-b", "", 3, `__main__ \['a', '-b'\]\n`, ``},
		{"watch|nosuch", "", 1, ``, `allcores: 404 .*\n`},
		{"--url|http://127.0.0.1:9|jobs", "", 1, ``, `allcores: http://127.0.0.1:9 cannot be reached: .*\n`},
	} {
		args := strings.Split(test.args, "|")
		if strings.Contains(test.args, "' | tr") {
			args = []string{"run", "echo '<{.}>' | tr a-z A-Z; echo oops >&2", ":::", "it's $(x).y"}
		}
		if test.args == "" {
			args = nil
		}
		t.Setenv("ALLCORES_RETRY", "0.1")
		stdout, stderr, status := c.run(t, test.stdin, args...)
		if status != test.status || !matches(test.stdout, stdout) || !matches(test.stderr, stderr) {
			t.Errorf("%q: status %d\nstdout %q, want %s\nstderr %q, want %s", args, status, stdout, test.stdout, stderr, test.stderr)
		}
	}
}

func matches(pattern, text string) bool {
	return regexp.MustCompile(`\A(?:` + pattern + `)\z`).MatchString(text)
}

// TestPythonCommandLineReattaches leaves a job, comes back to it, and ends it.
func TestPythonCommandLineReattaches(t *testing.T) {
	c := newClient(t, serve(t, dataDir(t)))
	out, _, _ := c.run(t, "", "run", "--detach", "--name", "naps", "--tags", "a,b", "sh", "-c", "echo woke; echo late >&2; sleep $1; echo $1", "sh", ":::", "0", "0.1", "0")
	id := strings.TrimSpace(out)
	if out, err, status := c.run(t, "", "watch", id); status != 0 || out != "" || !strings.Contains(err, "3 of 3 succeeded") {
		t.Errorf("watch: %d %q %q", status, out, err)
	}
	if out, err, status := c.run(t, "", "results", id, "--after", "0"); status != 0 || out != "woke\n0.1\nwoke\n0\n" || err != "" {
		t.Errorf("results: %d %q %q", status, out, err)
	}
	if out, _, status := c.run(t, "", "logs", id, "--task", "1"); status != 0 || out != "" {
		t.Errorf("logs: %d %q", status, out)
	}
	out, _, status := c.run(t, "", "jobs", "--tag", "a", "--json")
	var listed struct{ ID, Name, State string }
	if err := json.Unmarshal([]byte(out), &listed); err != nil || status != 0 || listed.ID != id || listed.Name != "naps" {
		t.Errorf("jobs: %d %q %v", status, out, err)
	}
	if out, _, status := c.run(t, "", "jobs"); status != 0 || !matches(`ID +STATE +DONE +FAILED +NAME\n`+id+` +succeeded +3/3 +0 +naps\n`, out) {
		t.Errorf("jobs: %d %q", status, out)
	}
	if _, err, status := c.run(t, "", "retry", id); status != 1 || !matches(`allcores: 409 .*\n`, err) {
		t.Errorf("retry: %d %q", status, err)
	}
	out, _, _ = c.run(t, "", "run", "--detach", "sleep", ":::", "60")
	id = strings.TrimSpace(out)
	if out, _, status := c.run(t, "", "cancel", id); status != 0 || out != id+"  cancelled\n" {
		t.Errorf("cancel: %d %q", status, out)
	}
	if _, err, status := c.run(t, "", "results", id); status != 1 || !strings.Contains(err, "cancelled") {
		t.Errorf("results of a cancelled job: %d %q", status, err)
	}
}

// TestVerbsOfThisProgram runs the client's command line as the server's program.
func TestVerbsOfThisProgram(t *testing.T) {
	c := newClient(t, serve(t, dataDir(t)))
	cache := t.TempDir()
	for range 2 { // the second finds the client's file
		cmd := c.command(t, os.Args[0], "run", "-k", "echo", "hi", ":::", "a", "b")
		cmd.Env = append(cmd.Env, asServer+"=1", "XDG_CACHE_HOME="+cache)
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != "hi a\nhi b\n" {
			t.Errorf("%v: %q", err, out)
		}
	}
	cmd := c.command(t, os.Args[0], "jobs")
	cmd.Env = append(cmd.Env, asServer+"=1", "PATH=/nonexistent")
	if out, err := cmd.CombinedOutput(); err == nil || !matches("allcores: jobs needs python3.*\n", string(out)) {
		t.Errorf("without Python: %v: %q", err, out)
	}
}

// TestPythonCommandLineAfterInterrupt interrupts run and finds its job running.
func TestPythonCommandLineAfterInterrupt(t *testing.T) {
	c := newClient(t, serve(t, dataDir(t)))
	cmd := c.command(t, "python3", filepath.Join(c.dir, "allcores.py"), "run", "-k", "sh", "-c", "echo $1; sleep $1", "sh", ":::", "0", "30")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // its status follows
	left := regexp.MustCompile(`allcores: job (\S+) goes on\. .* watch (\S+)\. .* results (\S+)\. .* cancel (\S+)\n`).FindStringSubmatch(stderr.String())
	if left == nil || cmd.ProcessState.ExitCode() != 130 {
		t.Fatalf("status %d, %q", cmd.ProcessState.ExitCode(), stderr.String())
	}
	if j := c.call(t, "GET", "/api/v1/jobs/"+left[1], nil, ""); j.State != "running" {
		t.Errorf("%+v", j)
	}
	c.call(t, "POST", "/api/v1/jobs/"+left[1]+"/cancel", nil, "")
}

// onTerminal runs a command with a terminal as its standard streams.
const onTerminal = `import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
while True:
    try:
        text = os.read(terminal, 65536)
    except OSError:
        break
    sys.stdout.buffer.write(text)
sys.exit(os.waitpid(pid, 0)[1] != 0)
`

// TestPythonProgressBar looks for a line that is drawn again on a terminal, and for none elsewhere.
func TestPythonProgressBar(t *testing.T) {
	c := newClient(t, serve(t, dataDir(t)))
	started := time.Now()
	run := []string{"python3", filepath.Join(c.dir, "allcores.py"), "run", "--name", "naps", "-j1", "sleep", ":::", "0.4", "0.4", "0.4"}
	cmd := c.command(t, "python3", append([]string{"-c", onTerminal}, run...)...)
	out, err := cmd.Output()
	if err != nil || !regexp.MustCompile(`\r\x1b\[Knaps: [12] of 3 \(\d+ %\).*\d/.*left.*[█#]`).Match(out) || !strings.Contains(string(out), "\r\x1b[K") {
		t.Errorf("%v after %v: %q", err, time.Since(started), out)
	}
	if stdout, stderr, status := c.run(t, "", run[2:]...); status != 0 || stdout != "" || stderr != "" {
		t.Errorf("without a terminal: %d %q %q", status, stdout, stderr)
	}
	library := "import allcores\njob = allcores.Job(%q)\nprint(len(list(job.results())), job.wait()['state'])\n"
	id := c.call(t, "POST", "/api/v1/jobs", map[string]any{"program": map[string]any{"command": map[string]any{"argv": []string{"sleep", "{}"}}}, "inputs": map[string]any{"items": []string{"2", "2"}}}, "").ID
	cmd = c.command(t, "python3", "-c", onTerminal, "python3", "-c", fmt.Sprintf(library, id))
	if out, err := cmd.Output(); err != nil || !strings.Contains(string(out), "sleep: ") || !strings.HasSuffix(string(out), "2 succeeded\r\n") {
		t.Errorf("%v: %q", err, out)
	}
	if out, err := c.command(t, "python3", "-c", fmt.Sprintf(library, id)).CombinedOutput(); err != nil || string(out) != "2 succeeded\n" {
		t.Errorf("%v: %q", err, out)
	}
}
