package engine_test

import (
	"strings"
	"testing"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/store"
)

// TestMissingProgramIsRefused checks that a program that the node lacks is refused,
// unless another node that serves the queue may have it.
func TestMissingProgramIsRefused(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	check := func(queue string, argv ...string) jobs.Invalid {
		t.Helper()
		spec := jobs.Spec{Program: jobs.Program{Command: &jobs.Command{Argv: argv}}, Inputs: rangeOf(1), Queue: queue}
		found, err := n.Check(t.Context(), &spec)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	for name, want := range map[string]string{"no-such-program": "no such command", "/etc/passwd": "not an executable", "/no/such": "no such command"} {
		if found := check("cpu", name, "{}"); len(found) != 1 || found[0].Location != "program.command.argv[0]" || !strings.Contains(found[0].Message, want) {
			t.Errorf("%s: %v", name, found)
		}
	}
	for _, argv := range [][]string{{"true"}, {"{}"}, {"/bin/sh", "-c", "no-such-program"}} {
		if found := check("cpu", argv...); len(found) > 0 {
			t.Errorf("%q: %v", argv, found)
		}
	}
	for _, other := range []store.NewNode{
		{Role: engine.RoleWeb},
		{Role: engine.RoleWorker, Serves: []string{"io"}},
	} {
		other.ID, other.Host, other.Version = store.NewID(), "other", "test"
		if err := n.store.Register(t.Context(), other); err != nil {
			t.Fatal(err)
		}
	}
	if found := check("cpu", "no-such-program"); len(found) != 1 {
		t.Errorf("no other node serves cpu: %v", found)
	}
	if found := check("io", "no-such-program"); len(found) > 0 {
		t.Errorf("another node serves io: %v", found)
	}
}
