package engine

import (
	"math/rand/v2"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// takeRetries splits the outcomes of a chunk whose failed tasks have attempts
// left: what is recorded, and what is to be run again. Neighbours that failed
// together wait together.
func takeRetries(runs []jobs.Run, lease store.Lease, policy jobs.Policy) (kept []jobs.Run, again []store.Piece) {
	wait := backoff(policy.RetryBackoff.Value(), lease.Attempt, rand.Float64())
	for _, run := range runs {
		if len(run.Failed) == 0 {
			kept = append(kept, run)
			continue
		}
		// ends[i] is where line i of the outputs ends.
		ends := make([]int, 0, run.Count)
		at := 0
		for _, line := range jobs.Lines(run.Outputs) {
			at += len(line) + 1
			ends = append(ends, at)
		}
		keep := func(from, to int) {
			if from >= to {
				return
			}
			begin := 0
			if from > 0 {
				begin = ends[from-1]
			}
			kept = append(kept, jobs.Run{
				First: run.First + int64(from), Count: to - from,
				Outputs: run.Outputs[begin:ends[to-1]], Durations: run.Durations[2*from : 2*to],
			})
		}
		next := 0
		for _, offset := range run.Failed {
			keep(next, int(offset))
			next = int(offset) + 1
			index := run.First + int64(offset)
			if n := len(again); n > 0 && again[n-1].First+int64(again[n-1].Count) == index {
				again[n-1].Count++
				continue
			}
			again = append(again, store.Piece{First: index, Count: 1, Attempt: lease.Attempt + 1, Losses: lease.Losses, Wait: wait})
		}
		keep(next, run.Count)
	}
	return kept, again
}

// maxBackoff is the longest wait before another attempt.
const maxBackoff = time.Hour

// backoff is the wait after a failed attempt (1 is the first): the policy's,
// doubled with each further attempt, times 0.75 to 1.25 by jitter in [0, 1).
func backoff(base time.Duration, attempt int, jitter float64) time.Duration {
	wait := base
	for range attempt - 1 {
		if wait >= maxBackoff {
			break
		}
		wait *= 2
	}
	return time.Duration(float64(min(wait, maxBackoff)) * (0.75 + jitter/2))
}
