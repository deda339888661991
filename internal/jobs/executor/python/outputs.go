package python

import (
	"bytes"
	"fmt"

	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// A stretch is the outputs of neighbouring tasks in one form: lines, or packed
// numbers as outcomes.Encoded may have them.
type outputSpan struct {
	kind   byte // of the frames that they came with
	count  int
	lines  [][]byte // as they came
	packed []byte
	last   int64 // of the integers packed
}

// fewNumbers are not worth a row of their own among lines.
const fewNumbers = 4096

// addOutputs takes the outputs that follow those the chunk has.
func (c *chunk) addOutputs(o outcomesFrame) error {
	if n := len(c.outputs); n > 0 && c.outputs[n-1].kind != o.kind {
		c.closeNumbers()
	}
	if o.kind == frameOutcomes {
		return c.room(o.kind).take(o.count, o.outputs)
	}
	for o.count > 0 {
		s := c.room(o.kind)
		n := min(o.count, outcomes.MaxPacked-s.count)
		if err := s.take(n, o.outputs[:8*n]); err != nil {
			return err
		}
		o.count, o.outputs = o.count-n, o.outputs[8*n:]
	}
	return nil
}

// closeNumbers makes lines of the last stretch if it is few numbers, and one
// stretch of it and of the lines before it. It is called only when no more
// numbers follow, so that the result does not depend on how many frames they
// came in.
func (c *chunk) closeNumbers() {
	n := len(c.outputs)
	s := &c.outputs[n-1]
	if s.kind == frameOutcomes || s.count >= fewNumbers {
		return
	}
	s.lines, s.packed, s.kind = [][]byte{s.text()}, nil, frameOutcomes
	if n > 1 && c.outputs[n-2].kind == frameOutcomes {
		before := &c.outputs[n-2]
		before.lines = append(before.lines, s.lines...)
		before.count += s.count
		c.outputs = c.outputs[:n-1]
	}
}

// room is the last stretch if it takes outputs of that kind, or a new one.
func (c *chunk) room(kind byte) *outputSpan {
	n := len(c.outputs)
	if n == 0 || c.outputs[n-1].kind != kind || kind != frameOutcomes && c.outputs[n-1].count == outcomes.MaxPacked {
		c.outputs = append(c.outputs, outputSpan{kind: kind})
		n++
	}
	return &c.outputs[n-1]
}

// take appends n outputs.
func (s *outputSpan) take(n int, data []byte) (err error) {
	switch s.kind {
	case frameInts:
		s.packed, s.last = outcomes.PackInts(s.packed, s.last, data)
	case frameFloats:
		if s.packed, err = outcomes.PackFloats(s.packed, data); err != nil {
			return fmt.Errorf("%w: %w", errFrame, err)
		}
	default:
		s.lines = append(s.lines, data)
	}
	s.count += n
	return nil
}

// stored is the outputs as outcomes.Encoded has them.
func (s *outputSpan) stored() []byte {
	if s.packed != nil {
		return s.packed
	}
	if len(s.lines) == 1 {
		return s.lines[0]
	}
	return bytes.Join(s.lines, nil)
}

// text is the outputs as lines.
func (s *outputSpan) text() []byte { return outcomes.Text(s.stored()) }

// stretches are the outcomes of a chunk that came in order.
func (c *chunk) stretches() []outcomes.Encoded {
	codes := c.durations
	if lack := 2*c.received - len(codes); lack > 0 {
		codes = append(codes, make([]byte, lack)...)
	}
	if n := len(c.outputs); n > 1 && c.outputs[n-2].kind == frameOutcomes {
		c.closeNumbers()
	}
	runs, failed, at := make([]outcomes.Encoded, len(c.outputs)), c.failed, 0
	for i := range c.outputs {
		s := &c.outputs[i]
		end := at + s.count
		run := outcomes.Encoded{First: c.First + int64(at), Count: s.count, Outputs: s.stored(), Durations: codes[2*at : 2*end]}
		for len(failed) > 0 && int(failed[0]) < end {
			run.Failed = append(run.Failed, failed[0]-int32(at))
			failed = failed[1:]
		}
		runs[i], at = run, end
	}
	return runs
}
