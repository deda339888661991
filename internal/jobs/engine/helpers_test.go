package engine_test

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/command"
	pyexec "github.com/allcores/allcores/internal/jobs/executor/python"
)

// startReal brings up a node with the executors that users get.
func startReal(t testing.TB, url string) *node {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	py := pyexec.New(pyexec.Options{Logger: logger})
	t.Cleanup(func() { py.Close() })
	return start(t, url, engine.Options{
		Logger:    logger,
		Executors: map[string]executor.Executor{"python": py, "command": &command.Executor{}},
		Checks:    engine.Checks{Python: py.Check, Command: new(command.Executor).Check},
	})
}

func pointer[T any](v T) *T { return &v }

// runs reports whether a process lives: one that is dead but not yet reaped by
// its parent does not.
func runs(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, _ := strings.Cut(string(stat), ") ")
	return err != nil || !strings.HasPrefix(state, "Z")
}

// await polls until the condition holds.
func await(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
