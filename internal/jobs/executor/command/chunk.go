package command

import (
	"strconv"
	"time"

	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/flight"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// A chunk is a chunk in flight with the outcomes of its tasks.
type chunk struct {
	flight.Chunk
	inputs   [][]byte
	next     int // offset of the next task to start
	open     int // tasks that run
	failures int64
	outcomes []outcome
	reported int // outcomes that were sent before the end
	complete int // outcomes
	usage    executor.Usage
}

// An outcome is how a task ended; line is nil before.
type outcome struct {
	line     []byte
	failed   bool
	reported bool // it was sent, and line is empty
	spent    time.Duration
}

func newChunk(c executor.Chunk) *chunk {
	n := &chunk{Chunk: flight.New(c), outcomes: make([]outcome, c.Count)}
	if c.Range == nil {
		n.inputs = splitLines(c.Inputs, c.Count)
	}
	return n
}

func splitLines(b []byte, count int) [][]byte {
	lines := make([][]byte, 0, count)
	for _, line := range outcomes.Lines(b) {
		lines = append(lines, line)
	}
	for len(lines) < count {
		lines = append(lines, nil)
	}
	return lines
}

// inputOf returns the input of task i of the chunk as text.
func (c *chunk) inputOf(i int) (string, error) {
	if c.Range != nil {
		return strconv.FormatInt(c.Range.At(int64(i)), 10), nil
	}
	return inputText(c.inputs[i])
}

// begun reports whether a task of the chunk has started.
func (c *chunk) begun() bool { return c.next > 0 }

// ended reports whether no task of the chunk runs or will start.
func (c *chunk) ended() bool { return c.open == 0 && c.next >= c.Cut }

// add records how a task that ran ended.
func (c *chunk) add(i int, r result) {
	if r.err == nil && r.line != nil {
		c.outcomes[i] = r.outcome
		c.complete++
		if r.failed {
			c.failures++
		}
	}
	if r.line != nil || r.exit.Peak > 0 {
		c.usage.User += r.exit.User
		c.usage.System += r.exit.System
		c.usage.PeakMemory = max(c.usage.PeakMemory, r.exit.Peak)
		c.usage.InTasks += r.spent
		c.usage.Moving += r.moving
	}
}

// last returns the chunk's last update: its outcomes, and the tasks without one,
// which go back.
func (c *chunk) last() executor.Update {
	u := executor.Update{Usage: c.usage}
	if !c.Begun.IsZero() {
		u.Usage.StartedAt, u.Usage.FinishedAt = c.Begun, time.Now()
	}
	var span *executor.Span
	for i, o := range c.outcomes[:c.Cut] {
		if o.line != nil {
			span = nil
			continue
		}
		if span == nil {
			u.Back = append(u.Back, executor.Span{First: c.First + int64(i)})
			span = &u.Back[len(u.Back)-1]
		}
		span.Count++
	}
	u.Outcomes = c.unreported()
	return u
}

// reportable reports whether the chunk has outcomes to send while it goes on. Its last
// ones come with its end.
func (c *chunk) reportable() bool { return c.complete > c.reported && c.complete < c.Cut }

// unreported returns the outcomes that were not sent yet. They count as sent then.
func (c *chunk) unreported() (runs []outcomes.Encoded) {
	var run *outcomes.Encoded
	for i := range c.outcomes[:c.Cut] {
		o := &c.outcomes[i]
		if o.line == nil || o.reported {
			run = nil
			continue
		}
		if run == nil {
			runs = append(runs, outcomes.Encoded{First: c.First + int64(i)})
			run = &runs[len(runs)-1]
		}
		if o.failed {
			run.Failed = append(run.Failed, int32(run.Count))
		}
		run.Count++
		run.Outputs = append(run.Outputs, o.line...)
		code := outcomes.EncodeDuration(o.spent)
		run.Durations = append(run.Durations, byte(code), byte(code>>8))
		o.line, o.reported = []byte{}, true
	}
	c.reported = c.complete
	return runs
}
