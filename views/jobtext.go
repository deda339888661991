package views

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/insight"
)

func taskURL(job string, index int64) templ.SafeURL {
	return templ.SafeURL("/jobs/" + job + "/tasks/" + strconv.FormatInt(index, 10))
}

// progressTitle returns the title of the browser's tab, which shows progress
// while another tab is open.
func progressTitle(j *jobs.Job) string {
	switch {
	case j.State.Ended():
		return strings.TrimSpace(j.Name + " " + string(j.State) + " " + stateShare(j.State, j.Counts))
	case j.Counts.Total > 0 && j.State == jobs.Running:
		return percent(ran(j.Counts), j.Counts.Total) + " " + j.Name
	}
	return j.Name
}

// NoSuchTask states that no task of a job with total tasks has the typed index.
// opentask.js says the same.
func NoSuchTask(typed string, total int64) string {
	if typed == "" {
		typed = "without an index"
	}
	return fmt.Sprintf("There is no task %s: indexes go from 0 to %s.", clip(typed, 40), thousands(total-1))
}

// stateShare returns the share of a job's tasks that failed or were cancelled,
// "(20 of 1,000,000)". It is empty for other states and when the share is zero.
func stateShare(state jobs.State, c jobs.Counts) string {
	n := int64(0)
	switch state {
	case jobs.Failed:
		n = c.Failed
	case jobs.Cancelled:
		n = c.Cancelled
	default:
	}
	if n == 0 {
		return ""
	}
	return "(" + thousands(n) + " of " + thousands(c.Total) + ")"
}

func elapsedWord(j *jobs.Job) string {
	if j.State.Ended() {
		return "Took"
	}
	return "Elapsed"
}

// speedUp returns the average number of tasks at once; before that can be
// judged, the number of cores.
func speedUp(p JobPage) (number, unit string) {
	if p.Report == nil || !judged(p.Report) || p.Report.SpeedUp <= 0 {
		if p.Job.State.Ended() || p.Run != nil {
			return "–", unjudged(p.Report)
		}
		if p.Cores > 0 {
			unit = "of " + plural(int64(p.Cores), "core", "cores")
		}
		return "–", unit
	}
	return significant(p.Report.SpeedUp) + "×", "of " + thousands(int64(p.Report.AtOnce))
}

// unjudged states why an ended run has no speed-up.
func unjudged(r *insight.Report) string {
	if r == nil {
		return "not kept"
	}
	reason, _, _ := strings.Cut(r.VerdictReason, ":")
	return reason
}

func processesOf(p JobPage) string {
	if n := p.Job.EffectivePolicy.Processes; n != nil {
		return "of " + thousands(int64(*n))
	}
	return ""
}

func countWord(n int64, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// failureWord names the kind of a failure in one or two words.
func failureWord(kind jobs.ErrorKind, of string) string {
	switch {
	case of == "":
		return string(kind)
	case kind == jobs.KindException, kind == jobs.KindExit, of == string(kind):
		return of
	}
	return string(kind) + " " + of
}

// groupText returns more detail about a group's failures than its message.
func groupText(g jobs.FailureGroup) string {
	e := jobs.TaskError{Message: g.Message}
	if g.Example != nil {
		e.Traceback, e.Output = g.Example.Traceback, g.Example.Output
	}
	return taskErrorText(&e)
}

// taskErrorText returns more detail about an error than its message's first
// line, or an empty text.
func taskErrorText(e *jobs.TaskError) string {
	switch {
	case e.Traceback != "":
		return e.Traceback
	case e.Output != "":
		return strings.TrimRight(e.Message, "\n") + "\n\n" + e.Output
	case firstLine(e.Message) != e.Message || len(e.Message) > 300:
		return e.Message
	}
	return ""
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

// fileName returns the name for a download of j.
func fileName(j *jobs.Job, ext string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		}
		return '-'
	}, clip(j.Name, 60))
	name = strings.Trim(name, "-.")
	if name == "" {
		name = "job"
	}
	return name + "." + ext
}

func outputWord(kind string) string {
	switch kind {
	case jobs.OutputJSON:
		return "the JSON value printed"
	case jobs.OutputLines:
		return "the lines printed"
	}
	return "the text printed"
}

func joinInts(numbers []int) string {
	text := make([]string, len(numbers))
	for i, n := range numbers {
		text[i] = strconv.Itoa(n)
	}
	return strings.Join(text, ", ")
}

// inputsWord describes a job's inputs in a few words.
func inputsWord(j *jobs.Job) string {
	switch in := j.Inputs; {
	case in.Range != nil && in.Range.Step == 1:
		return fmt.Sprintf("the whole numbers from %s up to %s", thousands(in.Range.Start), thousands(in.Range.Stop-1))
	case in.Range != nil:
		return fmt.Sprintf("range(%d, %d, %d)", in.Range.Start, in.Range.Stop, in.Range.Step)
	case in.Kind == "lines":
		return plural(j.Counts.Total, "line", "lines")
	case in.Open:
		return plural(j.Counts.Total, "JSON value", "JSON values") + " so far"
	}
	return plural(j.Counts.Total, "JSON value", "JSON values")
}

type pair struct{ name, value string }

func policyPairs(j *jobs.Job) []pair {
	p := j.Policy
	count := func(n *int, otherwise string) string {
		if n == nil {
			return otherwise
		}
		return thousands(int64(*n))
	}
	text := func(s *string, otherwise string) string {
		if s == nil {
			return otherwise
		}
		return *s
	}
	inputs := inputsWord(j)
	switch idle := j.Inputs.IdleSeal; {
	case idle == nil:
	case j.Inputs.IdleSealed:
		inputs += ", sealed after " + string(*idle) + " without input"
	case j.Inputs.Open:
		inputs += "; sealed after " + string(*idle) + " without input"
	}
	return []pair{
		{"Inputs", inputs},
		{"Queue", fmt.Sprintf("%s, priority %d", j.Queue, j.Priority)},
		{"Processes", count(p.Processes, slotsWord(j))},
		{"Threads per process", count(p.Threads, "1")},
		{"Cores per process", count(p.CoresPerProcess, "1")},
		{"Tasks per process", count(p.MaxTasksPerProcess, "any number")},
		{"Tasks per chunk", count(p.ChunkSize, "chosen from measured task time")},
		{"Timeout per task", text((*string)(p.Timeout), "none")},
		{"Memory per process", text((*string)(p.MemoryLimit), "no limit")},
		{"Attempts", attemptsWord(p)},
		{"Failures allowed", text((*string)(p.MaxFailures), "any number")},
	}
}

// slotsWord describes the number of processes of a job whose policy does not
// set it.
func slotsWord(j *jobs.Job) string {
	const word = "as many as the queue has slots"
	if n := j.EffectivePolicy.Processes; n != nil {
		return word + ", " + thousands(int64(*n)) + " now"
	}
	return word
}

func attemptsWord(p jobs.Policy) string {
	if p.MaxAttempts == nil || *p.MaxAttempts == 1 {
		return "1"
	}
	backoff := "1s"
	if p.RetryBackoff != nil {
		backoff = string(*p.RetryBackoff)
	}
	return fmt.Sprintf("%d, first again after %s", *p.MaxAttempts, backoff)
}

// specOf returns the submission of j. A placeholder replaces inputs that the
// page does not have.
func specOf(j *jobs.Job) jobs.Spec {
	s := jobs.Spec{Name: j.GivenName(), Program: j.Program, Queue: j.Queue, Priority: j.Priority, Policy: j.Policy, Tags: j.Tags}
	switch {
	case j.Inputs.Range != nil:
		s.Inputs.Range = j.Inputs.Range
	case j.Inputs.Kind == "lines":
		s.Inputs.Lines = ptr("… " + inputsWord(j) + " …")
	default:
		s.Inputs.Items = []json.RawMessage{json.RawMessage(strconv.Quote("… " + inputsWord(j) + " …"))}
	}
	return s
}

func inputsNote(j *jobs.Job) string {
	if j.Inputs.Range != nil {
		return ""
	}
	return "Replace the dots with the inputs."
}

func milliseconds(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

// retryLabel describes what a retry of a job would run again. It is empty if
// there is nothing to retry.
func retryLabel(j *jobs.Job) string {
	switch failed, cancelled := j.Counts.Failed, j.Counts.Cancelled; {
	case !j.State.Ended() || failed+cancelled == 0:
		return ""
	case cancelled == 0:
		return "Retry " + thousands(failed) + " failed"
	case failed == 0:
		return "Run the " + thousands(cancelled) + " cancelled"
	default:
		return "Retry " + thousands(failed+cancelled) + " failed or cancelled"
	}
}
