package python

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/flight"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// A chunk is a chunk in flight with the outcomes that have come so far. Its tasks
// have numbers of the process, from base on.
type chunk struct {
	flight.Chunk
	sent      time.Time // when the process got it
	base, end int64     // numbers; end is 0 before it was sent
	limit     int       // which word has its limit

	received int       // outcomes
	ordered  ordered   // of a process that runs one task at a time
	single   []outcome // of one that runs several, by offset; nil before the first
}

// ordered are outcomes that came in the order of their tasks.
type ordered struct {
	outputs   []outputSpan
	failed    []int32
	durations []byte
	usual     time.Duration // of a task of the last batch
	slow      int           // offset of the task last seen running for long, or -1
}

func newChunk(c executor.Chunk) *chunk {
	return &chunk{Chunk: flight.New(c), ordered: ordered{slow: -1}}
}

// index is the task's index of a number of the process.
func (c *chunk) index(number int64) int64 { return c.First + number - c.base }

// cut is the number from which on tasks were given back.
func (c *chunk) cut() int64 { return c.base + int64(c.Cut) }

// has reports whether the task has an outcome.
func (c *chunk) has(number int64) bool {
	if c.single != nil {
		return c.single[number-c.base].line != nil
	}
	return number-c.base < int64(c.received)
}

// complete reports whether the first n tasks have outcomes.
func (c *chunk) complete(n int) bool {
	if c.single == nil {
		return n <= c.received
	}
	return !slices.ContainsFunc(c.single[:n], func(o outcome) bool { return o.line == nil })
}

// add takes the outcomes that follow those it has.
func (c *chunk) add(o outcomesFrame) error {
	if o.first != c.base+int64(c.received) || c.received+o.count > c.Count || c.single != nil {
		return fmt.Errorf("%w: outcomes of %d tasks from %d on after %d", errFrame, o.count, o.first-c.base, c.received)
	}
	for b := o.failed; len(b) > 0; b = b[4:] {
		c.ordered.failed = append(c.ordered.failed, int32(c.received)+int32(binary.LittleEndian.Uint32(b)))
	}
	c.ordered.addDurations(o.durations, c.Count)
	c.received += o.count
	return c.ordered.add(o)
}

// addDurations takes pairs of a number of tasks and the seconds that each took on
// average, for at most count tasks in all. A task that was seen running for long
// gets what it took beyond the usual, as short tasks are timed together.
func (o *ordered) addDurations(pairs []byte, count int) {
	for ; len(pairs) >= 16; pairs = pairs[16:] {
		tasks := math.Float64frombits(binary.LittleEndian.Uint64(pairs))
		each := seconds(math.Float64frombits(binary.LittleEndian.Uint64(pairs[8:])))
		first := len(o.durations) / 2
		n := int(min(max(tasks, 0), float64(count-first)))
		slow := o.slow - first
		if n < 2 || o.slow < 0 || slow < 0 || slow >= n {
			o.usual = each
			o.durations = appendCodes(o.durations, each, n)
			continue
		}
		usual := min(o.usual, each)
		o.durations = appendCodes(o.durations, usual, slow)
		o.durations = appendCodes(o.durations, each*time.Duration(n)-usual*time.Duration(n-1), 1)
		o.durations = appendCodes(o.durations, usual, n-slow-1)
	}
}

func appendCodes(dst []byte, d time.Duration, n int) []byte {
	code := outcomes.EncodeDuration(d)
	for range n {
		dst = binary.LittleEndian.AppendUint16(dst, code)
	}
	return dst
}

// addOne takes the outcome of one task, in any order.
func (c *chunk) addOne(o outcome) {
	if c.ordered.outputs != nil && c.single == nil {
		c.scatter()
	}
	if c.single == nil {
		c.single = make([]outcome, c.Count)
	}
	if slot := &c.single[o.number-c.base]; slot.line == nil {
		*slot = o
		c.received++
	}
}

// scatter turns the outcomes in order into single ones.
func (c *chunk) scatter() {
	o := &c.ordered
	c.single = make([]outcome, c.Count)
	failed := make(map[int32]bool, len(o.failed))
	for _, i := range o.failed {
		failed[i] = true
	}
	i := 0
	for _, span := range o.outputs {
		for text := span.text(); len(text) > 0; i++ {
			end := bytes.IndexByte(text, '\n') + 1
			if end == 0 || i == len(c.single) {
				break
			}
			one := outcome{number: c.base + int64(i), failed: failed[int32(i)], line: text[:end]}
			if len(o.durations) >= 2*i+2 {
				one.spent = outcomes.DecodeDuration(binary.LittleEndian.Uint16(o.durations[2*i:]))
			}
			c.single[i] = one
			text = text[end:]
		}
	}
}

// outcomes returns the outcomes that came, ascending. Those of tasks that were given
// back are left out, even where the process just still ran them: another lane has
// these tasks.
func (c *chunk) outcomes() []outcomes.Encoded {
	if c.received == 0 {
		return nil
	}
	if c.received > c.Cut && c.single == nil {
		c.scatter()
	}
	if c.single == nil {
		return c.ordered.encoded(c.First, c.received)
	}
	var runs []outcomes.Encoded
	var run *outcomes.Encoded
	for i, o := range c.single[:c.Cut] {
		if o.line == nil {
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
		run.Outputs = append(run.Outputs, o.line...)
		run.Durations = binary.LittleEndian.AppendUint16(run.Durations, outcomes.EncodeDuration(o.spent))
		run.Count++
	}
	return runs
}

// missing returns the tasks before the cut that have no outcome and are not among
// the suspects, which are numbers.
func (c *chunk) missing(suspects map[int64]bool) []executor.Span {
	var spans []executor.Span
	if c.end == 0 { // never handed to a process
		return []executor.Span{{First: c.First, Count: c.Count}}
	}
	if c.single == nil && len(suspects) == 0 {
		from := c.base + int64(c.received)
		if from < c.cut() {
			spans = append(spans, executor.Span{First: c.index(from), Count: int(c.cut() - from)})
		}
		return spans
	}
	open := false
	for n := c.base; n < c.cut(); n++ {
		if c.has(n) || suspects[n] {
			open = false
			continue
		}
		if !open {
			spans = append(spans, executor.Span{First: c.index(n)})
			open = true
		}
		spans[len(spans)-1].Count++
	}
	return spans
}
