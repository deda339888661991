package python

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/flight"
	"github.com/allcores/allcores/internal/jobs/executor/updates"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// FuzzProtocol has a process send arbitrary bytes, with arbitrary shared memory, until
// it breaks the protocol or dies. Each task must be returned once.
func FuzzProtocol(f *testing.F) {
	u64 := binary.LittleEndian.AppendUint64
	ending := func(base, done uint64) []byte {
		return appendFrame(nil, frameEnd, u64(u64(nil, base), done), make([]byte, 48))
	}
	outcomes := func(first uint64, count uint32, lines string) []byte {
		head := binary.LittleEndian.AppendUint32(u64(nil, first), count)
		return appendFrame(nil, frameOutcomes, head, make([]byte, 8), []byte(lines))
	}
	single := func(number uint64, line string) []byte {
		head := append(u64(u64(nil, number), math.Float64bits(1e-3)), 0)
		return appendFrame(nil, frameOutcome, binary.LittleEndian.AppendUint32(head, uint32(len(line))), []byte(line))
	}
	f.Add(ending(0, 0), int64(0), int64(-1), int64(0), false)
	f.Add(bytes.Join([][]byte{outcomes(0, 2, "1\n2\n"), ending(0, 2), outcomes(10, 1, "3\n")}, nil), int64(11), int64(11), int64(0), true)
	f.Add(bytes.Join([][]byte{single(3, "1\n"), single(12, "2\n"), ending(10, 1), ending(0, 9)}, nil), int64(13), int64(4), int64(1<<40), true)
	f.Add(appendFrame(nil, frameLoaded, []byte(`!{"kind":"x"}`)), int64(-1), int64(1<<62), int64(-1), false)
	f.Fuzz(func(t *testing.T, data []byte, high, mark, unsent int64, loaded bool) {
		memory, err := newSharedMemory(2)
		if err != nil {
			t.Fatal(err)
		}
		defer memory.close()
		count := make(map[int64]int)
		ended := make(map[int64]bool)
		s := fuzzSession(memory, loaded, updates.New(func(r executor.Update) {
			if ended[r.Chunk] {
				t.Errorf("chunk %d ends twice", r.Chunk)
			}
			ended[r.Chunk] = r.Ended
			countTasks(count, r)
		}))
		memory.store(wordHigh, high)
		memory.store(wordMark, mark)
		memory.store(wordMark+markStep, mark+1)
		memory.store(wordUnsent, unsent)
		stream := bufio.NewReader(bytes.NewReader(data))
		for err == nil && s.err == nil {
			var f frame
			if f, err = readFrame(stream, func(bool) {}); err == nil {
				if err = s.frame(f); err != nil {
					s.watch.broke = err.Error()
				}
			}
		}
		s.reclaim()
		s.running(0)
		memory.unsent(0)
		failure := &jobs.TaskError{Kind: jobs.KindCrash}
		exit := &exitInfo{}
		blame := s.blame(exit, failure, s.reached())
		for _, c := range slices.Clone(s.chunks.List) {
			s.abandon(c, blame, exit)
		}
		s.chunks.Updates.Close()
		for i := range int64(20) {
			if n := count[100+i]; n != 1 && !(n == 0 && blame.alone == i) {
				t.Errorf("task %d comes out %d times", i, n)
			}
		}
	})
}

// fuzzSession returns a session with two chunks of ten tasks in flight, from 100 on.
func fuzzSession(memory *sharedMemory, loaded bool, queue *updates.Queue) *session {
	s := &session{
		pool: &pool{launcher: &launcher{bounds: usualBounds}}, ctx: context.Background(),
		lane: executor.Lane{Threads: 2}, watch: newWatch(2),
		w: &worker{
			shared: memory, life: life{born: time.Now()}, assignment: assignment{loaded: loaded},
			tally: tally{next: 20}, lines: newAssembler(),
		},
		chunks: flight.Chunks[*chunk]{Updates: queue},
	}
	for i := range int64(2) {
		c := newChunk(executor.Chunk{ID: i, First: 100 + 10*i, Count: 10})
		c.base, c.end, c.limit = 10*i, 10*i+10, int(i)
		s.chunks.List = append(s.chunks.List, c)
	}
	return s
}

// countTasks adds how often each task is returned.
func countTasks(count map[int64]int, r executor.Update) {
	for _, run := range r.Outcomes {
		lines := 0
		for range outcomes.Lines(run.Outputs) {
			lines++
		}
		for i := range int64(min(run.Count, lines)) {
			count[run.First+i]++
		}
	}
	for _, spans := range [][]executor.Span{r.Back, r.Lost} {
		for _, s := range spans {
			for i := range int64(s.Count) {
				count[s.First+i]++
			}
		}
	}
	for _, s := range r.Suspects {
		count[s]++
	}
}
