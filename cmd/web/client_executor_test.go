package main

import (
	"path/filepath"
	"testing"
)

// onEach runs a program of testdata/client with each interpreter that has a module.
func (c client) onEach(t *testing.T, module, name string, args ...string) {
	for _, python := range pythons(t, module) {
		t.Run(filepath.Base(filepath.Dir(filepath.Dir(python))), func(t *testing.T) { c.script(t, python, name, args...) })
	}
}

// TestPythonFutures runs CPython's own tests of concurrent.futures against Executor.
func TestPythonFutures(t *testing.T) {
	pythons(t, "test.test_concurrent_futures") // or skip before a server starts
	newClient(t, serve(t, dataDir(t))).onEach(t, "test.test_concurrent_futures", "futures_suite.py")
}

// TestPythonExecutor checks Executor beyond that: exact values, exceptions, sources that
// travel, and how it ends.
func TestPythonExecutor(t *testing.T) {
	c := newClient(t, serve(t, dataDir(t)))
	for _, name := range []string{"executor.py", "sources.py"} {
		t.Run(name, func(t *testing.T) { c.onEach(t, "json", name) })
	}
}

// BenchmarkPythonExecutor measures 20,000 submits end to end, and the latency of one
// call, beside ProcessPoolExecutor; both run two processes.
func BenchmarkPythonExecutor(b *testing.B) {
	c := newClient(b, serve(b, dataDir(b)))
	for b.Loop() {
		b.Log("\n" + c.script(b, "python3", "bench_executor.py"))
	}
}
