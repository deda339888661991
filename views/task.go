package views

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/allcores/allcores/internal/jobs"
)

// A TaskPage holds the page of one task at /jobs/{id}/tasks/{index}. [Task]
// renders it.
type TaskPage struct {
	Page
	Job        jobs.Job
	Task       jobs.Task
	Steer      bool   // the user may change the job
	LogsCut    bool   // the cap on the job's logs dropped lines
	NextFailed *int64 // index of the next failed task; nil without one

	Report *jobs.TaskProgress // what the running task last reported; nil for nothing
}

// Fragments returns the changing parts of the page.
func (p TaskPage) Fragments() []Fragment {
	return []Fragment{{ID: "task", Component: taskBody(p)}}
}

// pretty formats a value for people: what Python wrote and text unchanged, small JSON
// on one line, other JSON indented.
func (v shownValue) pretty() string {
	value := json.RawMessage(v.Text)
	if v.Python {
		return v.Text
	}
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

// maxShown is the number of bytes of a value that a task's page shows.
const maxShown = 32 << 10

// shown cuts text to maxShown bytes.
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
