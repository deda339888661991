package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fewScripts are the scripts that run without ALLCORES_TEST_PYTHONS: one of each way to
// start something.
var fewScripts = []string{
	"executor_as_completed.py", "exit_codes.py", "joinable_workers.py", "manager_dict_list.py", "no_guard.py", "pipe_pingpong.py", "pool_map.py",
	"shared_array.py", "thread_join.py",
}

// TestPythonScripts runs scripts in the style of tutorials under Python alone and with
// "allcores.py run", and compares what they print and their exit statuses. A script
// that begins with "# sorted" prints its lines in any order; one that begins with
// "# needs NAME" needs that module.
func TestPythonScripts(t *testing.T) {
	c := newClient(t, serve(t, dataDir(t)))
	scripts, err := filepath.Glob("testdata/scripts/*.py")
	if err != nil || len(scripts) == 0 {
		t.Fatal("no scripts", err)
	}
	all := os.Getenv("ALLCORES_TEST_PYTHONS") != ""
	for _, script := range scripts {
		name := filepath.Base(script)
		if !all && !slices.Contains(fewScripts, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			source, err := os.ReadFile(script)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(string(source), "\n")
			module := "json"
			if needed, ok := strings.CutPrefix(first, "# needs "); ok {
				module = needed
			}
			interpreters := pythons(t, module)
			if !all {
				interpreters = interpreters[:1]
			}
			for _, python := range interpreters {
				c.compareScript(t, python, script, strings.HasPrefix(first, "# sorted"))
			}
		})
	}
}

// A scriptEnd is what a script printed and its exit status.
type scriptEnd struct {
	Output string
	Status int
}

// compareScript runs a script both ways.
func (c client) compareScript(t *testing.T, python, script string, anyOrder bool) {
	path, err := filepath.Abs(script)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := c.endOf(t, python, path, "one", "--two")
	got, errors := c.endOf(t, python, filepath.Join(c.dir, "allcores.py"), "run", path, "one", "--two")
	if anyOrder {
		want.Output, got.Output = sortedLines(want.Output), sortedLines(got.Output)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s %s: alone (-) and with the server (+)\n%s\n%s", python, script, diff, errors)
	}
}

// endOf runs a program and returns its end and what it wrote to standard error.
func (c client) endOf(t testing.TB, python string, args ...string) (scriptEnd, string) {
	cmd := c.command(t, python, args...)
	cmd.Env = append(cmd.Env, "PYTHONUNBUFFERED=")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v\n%s%s", args, err, &out, &errs)
	}
	return scriptEnd{out.String(), cmd.ProcessState.ExitCode()}, errs.String()
}

func sortedLines(text string) string {
	lines := strings.Split(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestPythonShared checks the classes of shared objects in tasks and outside of them.
func TestPythonShared(t *testing.T) {
	c := newClient(t, serve(t, dataDir(t)))
	for _, python := range pythons(t, "json") {
		c.script(t, python, "shared.py")
	}
}

// BenchmarkPythonShared measures calls of two tasks on shared objects, beside those of
// two processes on objects of multiprocessing.Manager.
func BenchmarkPythonShared(b *testing.B) {
	c := newClient(b, serve(b, dataDir(b)))
	for b.Loop() {
		var figures map[string]float64
		if err := json.Unmarshal([]byte(c.script(b, "python3", "shared_bench.py", "20000")), &figures); err != nil {
			b.Fatal(err)
		}
		for unit, value := range figures {
			b.ReportMetric(value, unit)
		}
	}
}
