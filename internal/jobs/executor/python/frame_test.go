package python

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

func FuzzFrames(f *testing.F) {
	f.Add(appendFrame(nil, frameLoaded, nil))
	f.Add(appendFrame(nil, frameLogs, bytes.Repeat([]byte{1}, 40)))
	f.Add(appendFrame(appendFrame(nil, frameEnd, make([]byte, 64)), frameOutcome, bytes.Repeat([]byte{2}, 50)))
	f.Add([]byte{255, 255, 255, 255, 'O', 1})
	outcomes := binary.LittleEndian.AppendUint64(nil, 0)
	outcomes = binary.LittleEndian.AppendUint32(outcomes, 2)
	outcomes = binary.LittleEndian.AppendUint32(outcomes, 1)
	outcomes = binary.LittleEndian.AppendUint32(outcomes, 1)
	outcomes = binary.LittleEndian.AppendUint32(outcomes, 1)
	outcomes = binary.LittleEndian.AppendUint64(outcomes, math.Float64bits(2))
	outcomes = binary.LittleEndian.AppendUint64(outcomes, math.Float64bits(1e-3))
	f.Add(appendFrame(nil, frameOutcomes, outcomes, []byte("1\n!{}\n")))
	numbers := binary.LittleEndian.AppendUint64(nil, 2)
	numbers = binary.LittleEndian.AppendUint32(numbers, 2)
	numbers = append(numbers, 0, 0, 0, 0, 0, 0, 0, 0)
	pair := make([]byte, 16)
	pair[14] = 1
	f.Add(appendFrame(appendFrame(nil, frameOutcomes, outcomes, []byte("1\n!{}\n")), frameInts, numbers, pair))
	f.Add(appendFrame(appendFrame(nil, frameOutcomes, outcomes, []byte("1\n!{}\n")), frameFloats, numbers, pair))
	f.Fuzz(func(t *testing.T, data []byte) {
		stream := bufio.NewReaderSize(bytes.NewReader(data), 16)
		total := 0
		c := newChunk(executor.Chunk{First: 100, Count: 10})
		c.end = 10
		covered := 0
		report := func() {
			for _, run := range c.outcomes() {
				covered += run.Count
				if run.Count == 0 {
					t.Fatal("a run of no task")
				}
				if len(run.Durations) != 2*run.Count {
					t.Fatalf("%d bytes of durations for %d tasks", len(run.Durations), run.Count)
				}
			}
		}
		for {
			frame, err := readFrame(stream, func(bool) {})
			if err != nil {
				break
			}
			if total += len(frame.body) + headSize; total > len(data) {
				t.Fatalf("%d bytes in frames of %d bytes", total, len(data))
			}
			switch frame.kind {
			case frameOutcomes, frameInts, frameFloats:
				if o, err := parseOutcomes(frame); err == nil {
					c.add(o)
				}
			case frameOutcome:
				r := reader{rest: frame.body}
				for len(r.rest) > 0 {
					o, err := r.outcome()
					if err != nil {
						break
					}
					if o.number >= 0 && o.number < 10 {
						c.addOne(o)
					}
				}
			case frameLogs:
				r := reader{rest: frame.body}
				r.i64()
				for len(r.rest) > 0 {
					if _, err := r.log(); err != nil {
						break
					}
				}
			case frameEnd:
				parseEnding(frame.body)
			}
			if c.reportable() && len(frame.body)%2 == 0 {
				report()
			}
		}
		report()
		for _, span := range c.missing(nil) {
			covered += span.Count
		}
		if covered != 10 {
			t.Fatalf("%d of 10 tasks are accounted for", covered)
		}
	})
}

// TestDurationsOfABatch checks that a long task among short ones that were timed
// together gets its own time.
func TestDurationsOfABatch(t *testing.T) {
	t.Parallel()
	pair := func(n, each float64) []byte {
		b := binary.LittleEndian.AppendUint64(nil, math.Float64bits(n))
		return binary.LittleEndian.AppendUint64(b, math.Float64bits(each))
	}
	c := newChunk(executor.Chunk{Count: 110})
	c.ordered.slow = 60
	c.ordered.addDurations(append(pair(10, 1e-6), pair(100, 0.1)...), 0, 110)
	for i := range 110 {
		d := outcomes.DecodeDuration(binary.LittleEndian.Uint16(c.ordered.durations[2*i:]))
		want := time.Microsecond
		if i == 60 {
			want = 10*time.Second - 99*time.Microsecond
		}
		if d < want-want/1000 || d > want+want/1000 {
			t.Errorf("task %d: %v, want %v", i, d, want)
		}
	}
}
