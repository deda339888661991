package python

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// An outputSpan is the outputs of neighbouring tasks in one form: lines, or packed
// numbers as outcomes.Encoded may have them.
type outputSpan struct {
	kind   byte // of the frames that they came with
	count  int
	lines  [][]byte // as they came
	packed []byte
	last   int64 // of the integers packed
}

// fewNumbers is how many numbers among lines become lines: fewer are not worth a row
// of their own.
const fewNumbers = 4096

// add takes the outputs that follow those it has.
func (o *ordered) add(f outcomesFrame) error {
	if n := len(o.outputs); n > 0 && o.outputs[n-1].kind != f.kind {
		o.closeNumbers()
	}
	if f.kind == frameOutcomes {
		return o.room(f.kind).take(f.count, f.outputs)
	}
	for f.count > 0 {
		s := o.room(f.kind)
		n := min(f.count, outcomes.MaxPacked-s.count)
		if err := s.take(n, f.outputs[:8*n]); err != nil {
			return err
		}
		f.count, f.outputs = f.count-n, f.outputs[8*n:]
	}
	return nil
}

// closeNumbers makes lines of the last span if it is few numbers, and one span of
// it and of the lines before it. It must be called only when no more numbers follow,
// so that the result does not depend on how many frames they came in.
func (o *ordered) closeNumbers() {
	n := len(o.outputs)
	s := &o.outputs[n-1]
	if s.kind == frameOutcomes || s.count >= fewNumbers {
		return
	}
	s.lines, s.packed, s.kind = [][]byte{s.text()}, nil, frameOutcomes
	if n > 1 && o.outputs[n-2].kind == frameOutcomes {
		before := &o.outputs[n-2]
		before.lines = append(before.lines, s.lines...)
		before.count += s.count
		o.outputs = o.outputs[:n-1]
	}
}

// room returns the last span if it takes outputs of that kind, or a new one.
func (o *ordered) room(kind byte) *outputSpan {
	n := len(o.outputs)
	if n == 0 || o.outputs[n-1].kind != kind || kind != frameOutcomes && o.outputs[n-1].count == outcomes.MaxPacked {
		o.outputs = append(o.outputs, outputSpan{kind: kind})
		n++
	}
	return &o.outputs[n-1]
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

// encoded returns the received outcomes of the tasks that were not reported, where
// first is the index of the chunk's first task. Tasks whose durations have not come are
// in a batch that still runs: they took the usual time.
func (o *ordered) encoded(first int64, reported, received int) []outcomes.Encoded {
	codes := o.durations
	for usual := outcomes.EncodeDuration(o.usual); len(codes) < 2*(received-reported); {
		codes = binary.LittleEndian.AppendUint16(codes, usual)
	}
	if n := len(o.outputs); n > 1 && o.outputs[n-2].kind == frameOutcomes {
		o.closeNumbers()
	}
	runs, failed, at := make([]outcomes.Encoded, len(o.outputs)), o.failed, reported
	for i := range o.outputs {
		s := &o.outputs[i]
		end := at + s.count
		run := outcomes.Encoded{First: first + int64(at), Count: s.count, Outputs: s.stored(), Durations: codes[2*(at-reported) : 2*(end-reported)]}
		for len(failed) > 0 && int(failed[0]) < end {
			run.Failed = append(run.Failed, failed[0]-int32(at))
			failed = failed[1:]
		}
		runs[i], at = run, end
	}
	return runs
}
