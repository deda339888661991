package store

import (
	"maps"
	"slices"
	"sync"

	"github.com/allcores/allcores/internal/jobs"
)

// Counts are the outcomes that this node has recorded since it started. They only
// grow.
type Counts struct {
	Succeeded, Failed, Cancelled int64                    // tasks
	Failures                     map[jobs.ErrorKind]int64 // tasks that failed, by kind
	Jobs                         map[jobs.State]int64     // jobs that this node ended, by the state they ended in
}

// OtherKind stands for kinds of failure that are not among jobs.ErrorKinds.
const OtherKind = "other"

// counter keeps Counts. Outcomes stay counted when their transaction is rolled back
// afterwards because the database became unavailable.
type counter struct {
	mu  sync.Mutex
	now Counts
}

// Counts returns what this node has recorded so far.
func (s *Store) Counts() Counts {
	s.counter.mu.Lock()
	defer s.counter.mu.Unlock()
	now := s.counter.now
	now.Failures, now.Jobs = maps.Clone(now.Failures), maps.Clone(now.Jobs)
	return now
}

// recorded counts the outcomes of a chunk.
func (c *counter) recorded(succeeded int, failures map[jobs.ErrorKind]int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.Succeeded += int64(succeeded)
	for kind, n := range failures {
		if !slices.Contains(jobs.ErrorKinds, kind) {
			kind = OtherKind // keeps the number of kinds small, whatever executors report
		}
		if c.now.Failures == nil {
			c.now.Failures = make(map[jobs.ErrorKind]int64)
		}
		c.now.Failed += n
		c.now.Failures[kind] += n
	}
}

// ended counts a job's end and the tasks that it cancelled.
func (c *counter) ended(state jobs.State, cancelled int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now.Jobs == nil {
		c.now.Jobs = make(map[jobs.State]int64)
	}
	c.now.Cancelled += cancelled
	c.now.Jobs[state]++
}
