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
		succeeded, failed := run.WithoutFailures()
		kept = append(kept, succeeded...)
		for _, span := range failed {
			again = append(again, store.Piece{First: span.First, Count: span.Count, Attempt: lease.Attempt + 1, Losses: lease.Losses, Wait: wait})
		}
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
