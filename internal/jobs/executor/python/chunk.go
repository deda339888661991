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
	recalled  int64     // offset from which on a recall asks for its tasks, or notRecalled
	recallEnd time.Time // when the recall is answered at the latest

	received int       // outcomes
	reported int       // of them, those that were sent on while the chunk went on
	ordered  ordered   // of a process that runs one task at a time
	single   []outcome // of one that runs several, by offset; nil before the first
}

// ordered are outcomes that came in the order of their tasks.
type ordered struct {
	outputs   []outputSpan // of the tasks that were not reported
	failed    []int32
	durations []byte        // the same
	timed     int           // tasks whose durations have come
	usual     time.Duration // of a task of the last batch
	slow      int           // offset of the task last seen running for long, or -1
}

func newChunk(c executor.Chunk) *chunk {
	return &chunk{Chunk: flight.New(c), recalled: notRecalled, ordered: ordered{slow: -1}}
}

// notRecalled is the offset of no recall.
const notRecalled = math.MaxInt32

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
	c.ordered.addDurations(o.durations, c.reported, c.Count)
	c.received += o.count
	return c.ordered.add(o)
}

// addDurations takes pairs of a number of tasks and the seconds that each took on
// average, for at most count tasks in all. A task that was seen running for long
// gets what it took beyond the usual, as short tasks are timed together. The first
// reported tasks have been sent on, with a duration of their own.
func (o *ordered) addDurations(pairs []byte, reported, count int) {
	for ; len(pairs) >= 16; pairs = pairs[16:] {
		tasks := math.Float64frombits(binary.LittleEndian.Uint64(pairs))
		each := seconds(math.Float64frombits(binary.LittleEndian.Uint64(pairs[8:])))
		n := int(min(max(tasks, 0), float64(count-o.timed)))
		slow := o.slow - o.timed
		if n < 2 || o.slow < 0 || slow < 0 || slow >= n {
			o.usual = each
			o.appendCodes(each, n, reported)
			continue
		}
		usual := min(o.usual, each)
		o.appendCodes(usual, slow, reported)
		o.appendCodes(each*time.Duration(n)-usual*time.Duration(n-1), 1, reported)
		o.appendCodes(usual, n-slow-1, reported)
	}
}

// appendCodes appends the duration of the next n tasks, as far as they were not
// reported.
func (o *ordered) appendCodes(d time.Duration, n, reported int) {
	code := outcomes.EncodeDuration(d)
	from := max(o.timed, reported)
	for o.timed += n; from < o.timed; from++ {
		o.durations = binary.LittleEndian.AppendUint16(o.durations, code)
	}
}

// report forgets the outcomes of the tasks up to an offset, which are reported.
func (o *ordered) report(reported, received int) {
	o.outputs, o.failed = nil, nil
	o.durations = append([]byte(nil), o.durations[min(2*(received-reported), len(o.durations)):]...)
}

// addOne takes the outcome of one task, in any order.
func (c *chunk) addOne(o outcome) {
	if c.single == nil {
		c.scatter()
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
	for i := range c.reported {
		c.single[i] = outcome{line: []byte{}, reported: true}
	}
	failed := make(map[int32]bool, len(o.failed))
	for _, i := range o.failed {
		failed[i] = true
	}
	i := c.reported
	for _, span := range o.outputs {
		for text := span.text(); len(text) > 0; i++ {
			end := bytes.IndexByte(text, '\n') + 1
			if end == 0 || i == len(c.single) {
				break
			}
			one := outcome{number: c.base + int64(i), failed: failed[int32(i)], line: text[:end]}
			if at := 2 * (i - c.reported); len(o.durations) >= at+2 {
				one.spent = outcomes.DecodeDuration(binary.LittleEndian.Uint16(o.durations[at:]))
			}
			c.single[i] = one
			text = text[end:]
		}
	}
}

// several reports whether more than one task of the chunk has no outcome: those that
// end before the last one are reported before its end.
func (c *chunk) several() bool { return c.Cut-c.received > 1 }

// reportable reports whether there are outcomes to report while the chunk goes on. Its
// last ones come with its end.
func (c *chunk) reportable() bool { return c.received > c.reported && c.received < c.Cut }

// outcomes returns the outcomes that came and were not reported, ascending. They count
// as reported then. Those of tasks that were given back are left out, even where the
// process just still ran them: another lane has these tasks.
func (c *chunk) outcomes() (runs []outcomes.Encoded) {
	if c.received == c.reported {
		return nil
	}
	if c.received > c.Cut && c.single == nil {
		c.scatter()
	}
	if c.single == nil {
		runs = c.ordered.encoded(c.First, c.reported, c.received)
		c.ordered.report(c.reported, c.received)
		c.reported = c.received
		return runs
	}
	c.reported = c.received
	var run *outcomes.Encoded
	for i := range c.single[:c.Cut] {
		o := &c.single[i]
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
		run.Outputs = append(run.Outputs, o.line...)
		run.Durations = binary.LittleEndian.AppendUint16(run.Durations, outcomes.EncodeDuration(o.spent))
		run.Count++
		o.line, o.reported = []byte{}, true
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
