package python

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// A chunk is one in flight, with the outcomes that have come so far. Its tasks
// have numbers of the process, from base on.
type chunk struct {
	executor.Chunk
	sent  time.Time // when the process got it
	begun time.Time // when its first task could begin; zero before

	base, end int64
	cell      int   // of its limit
	cut       int64 // given back from there on
	over      bool  // no further task starts
	logs      []jobs.LogLine
	logBytes  int

	// Outcomes in order, of a process that runs one task at a time. received
	// counts them, and those of several at once too.
	received  int
	outputs   []outputSpan
	failed    []int32
	durations []byte
	usual     time.Duration // of a task of the last batch
	slow      int64         // number of the task last seen in hand for long, or -1

	// Outcomes as they came, of one that runs several, by offset.
	single []outcome
}

func newChunk(c executor.Chunk) *chunk { return &chunk{Chunk: c, slow: -1} }

// index is the task's index of a number of the process.
func (c *chunk) index(number int64) int64 { return c.First + number - c.base }

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
		c.failed = append(c.failed, int32(c.received)+int32(binary.LittleEndian.Uint32(b)))
	}
	c.addDurations(o.durations)
	c.received += o.count
	return c.addOutputs(o)
}

// addDurations takes pairs of a number of tasks and the seconds that each took
// on average. A task that was seen in hand for long gets what it took beyond
// the usual, as short tasks are timed together.
func (c *chunk) addDurations(pairs []byte) {
	for ; len(pairs) >= 16; pairs = pairs[16:] {
		count := math.Float64frombits(binary.LittleEndian.Uint64(pairs))
		each := seconds(math.Float64frombits(binary.LittleEndian.Uint64(pairs[8:])))
		first := len(c.durations) / 2
		n := int(min(max(count, 0), float64(c.Count-first)))
		slow := c.slow - c.base - int64(first)
		if n < 2 || c.slow < 0 || slow < 0 || slow >= int64(n) {
			c.usual = each
			c.durations = appendCodes(c.durations, each, n)
			continue
		}
		usual := min(c.usual, each)
		c.durations = appendCodes(c.durations, usual, int(slow))
		c.durations = appendCodes(c.durations, each*time.Duration(n)-usual*time.Duration(n-1), 1)
		c.durations = appendCodes(c.durations, usual, n-int(slow)-1)
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
	if c.outputs != nil && c.single == nil {
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
	c.single = make([]outcome, c.Count)
	failed := make(map[int32]bool, len(c.failed))
	for _, i := range c.failed {
		failed[i] = true
	}
	i := 0
	for _, s := range c.outputs {
		for block := s.text(); len(block) > 0; i++ {
			end := bytes.IndexByte(block, '\n') + 1
			if end == 0 || i == len(c.single) {
				break
			}
			o := outcome{number: c.base + int64(i), failed: failed[int32(i)], line: block[:end]}
			if len(c.durations) >= 2*i+2 {
				o.spent = outcomes.DecodeDuration(binary.LittleEndian.Uint16(c.durations[2*i:]))
			}
			c.single[i] = o
			block = block[end:]
		}
	}
}

// runs are the outcomes that came, ascending.
func (c *chunk) runs() []outcomes.Encoded {
	if c.received == 0 {
		return nil
	}
	if int64(c.received) > c.cut-c.base && c.single == nil {
		c.scatter()
	}
	if c.single == nil {
		return c.stretches()
	}
	var runs []outcomes.Encoded
	var run *outcomes.Encoded
	// What was given back is another's, even if it was run here by a hair.
	for i, o := range c.single[:c.cut-c.base] {
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

// missing are the tasks before the cut that have no outcome and are not among
// the suspects, which are given by number.
func (c *chunk) missing(suspects map[int64]bool) []executor.Span {
	var spans []executor.Span
	if c.end == 0 { // never handed to a process
		return []executor.Span{{First: c.First, Count: c.Count}}
	}
	if c.single == nil && len(suspects) == 0 {
		from := c.base + int64(c.received)
		if from < c.cut {
			spans = append(spans, executor.Span{First: c.index(from), Count: int(c.cut - from)})
		}
		return spans
	}
	open := false
	for n := c.base; n < c.cut; n++ {
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
