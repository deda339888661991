package views

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/allcores/allcores/internal/jobs"
)

// A TaskPage is the page of one task at /jobs/{id}/tasks/{index}, rendered by
// [Task].
type TaskPage struct {
	Page
	Job        jobs.Job
	Task       jobs.Task
	LogsCut    bool   // lines were dropped because the job's logs are capped
	NextFailed *int64 // index of the next failed task; nil without one
}

// Fragments are the parts of the page that change.
func (p TaskPage) Fragments() []Fragment {
	return []Fragment{{ID: "task", Component: taskBody(p)}}
}

// pretty is a JSON value for people: text as it is, small values on one line,
// the rest indented.
func pretty(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	if len(value) <= 100 {
		return string(value)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, value, "", "  "); err != nil {
		return string(value)
	}
	return b.String()
}

// maxShown is how many bytes of a value the page of a task shows.
const maxShown = 32 << 10

// shown cuts a text to the length that a page shows.
func shown(text string) (short string, cut bool) {
	if len(text) <= maxShown {
		return text, false
	}
	return strings.ToValidUTF8(text[:maxShown], "") + "…", true
}

func traceback(t *jobs.Task) string {
	if t.Traceback != "" {
		return t.Traceback
	}
	return t.Error.Traceback
}

func attemptsOf(j *jobs.Job) string {
	if n := j.Policy.MaxAttempts; n != nil && *n > 1 {
		return "of " + thousands(int64(*n))
	}
	return ""
}

func noOutput(s jobs.TaskState) string {
	switch s {
	case jobs.TaskRunning:
		return "Running. The output appears here when the task has ended."
	case jobs.TaskCancelled:
		return "The task was cancelled."
	default:
		return "Waiting. The output appears here when the task has ended."
	}
}
