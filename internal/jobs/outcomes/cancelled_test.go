package outcomes_test

import (
	"testing"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

func TestCancelled(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 127, 128, outcomes.MaxPacked} {
		lines := 0
		for i, line := range outcomes.Lines(outcomes.Cancelled(n)) {
			if i != lines || line.State() != jobs.TaskCancelled || line.Failed() || line.Value() != nil {
				t.Fatalf("line %d of %d: %q", i, n, line)
			}
			lines++
		}
		if lines != n || !outcomes.Packed(outcomes.Cancelled(n)) {
			t.Errorf("%d lines of %d", lines, n)
		}
	}
	for text, want := range map[string]jobs.TaskState{`"~"`: jobs.TaskSucceeded, "!{}": jobs.TaskFailed, "~": jobs.TaskCancelled} {
		if got := outcomes.Line(text).State(); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
}
