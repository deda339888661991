package command_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs/executor/command"
	"github.com/allcores/allcores/internal/jobs/executor/executortest"
)

// TestOutcomesLeaveTheirChunk checks that outcomes are sent while another command of
// their chunk runs, wherever that is in the chunk.
func TestOutcomesLeaveTheirChunk(t *testing.T) {
	t.Parallel()
	for _, threads := range []int{1, 2} {
		path := filepath.Join(t.TempDir(), "open")
		wait, err := json.Marshal("until [ -e '" + path + "' ]; do sleep 0.01; done; echo waited")
		if err != nil {
			t.Fatal(err)
		}
		l := lane("sh", "-c", "{}")
		l.Threads = threads
		inputs, want := []string{`"echo 0"`, `"exit 1"`, string(wait), `"echo 3"`}, 2
		if threads > 1 {
			inputs, want = []string{string(wait), `"echo 1"`, `"exit 2"`, `"echo 3"`}, 3
		}
		s := executortest.Begin(t, &command.Executor{}, l)
		began := time.Now()
		s.Give(executortest.Values(1, 0, inputs...))
		s.Await("the short commands have outcomes", func() bool { return len(s.Outputs)+len(s.Failed) == want })
		t.Logf("%d outcomes after %v", want, time.Since(began))
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.End(); err != nil {
			t.Fatal(err)
		}
		if len(s.Outputs) != 3 || len(s.Failed) != 1 {
			t.Errorf("%v %v", s.Outputs, s.Failed)
		}
	}
}
