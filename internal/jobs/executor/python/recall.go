package python

import (
	"slices"
	"time"

	"github.com/allcores/allcores/internal/jobs/executor"
)

const (
	// recallTime is how long a process may take to drop tasks that it has taken in a
	// batch behind the running one, until they count as started.
	recallTime = 50 * time.Millisecond
	// recallPause is the time between two looks at that.
	recallPause = 2 * time.Millisecond
)

// Recall lowers the limit of a chunk, so that none of its tasks from r.First on starts
// any more; settle answers.
func (s *session) Recall(r executor.Recall) bool {
	c, found := s.chunks.Find(r.Chunk)
	if !found {
		return false
	}
	c.recalled = min(c.recalled, max(r.First-c.First, 0))
	c.recallEnd = time.Now().Add(recallTime)
	if s.w == nil || c.end == 0 { // not sent to a process
		s.answerRecall(c, c.base+c.recalled)
		return true
	}
	if c.recalled == 0 {
		c.Over = true
	}
	if word := wordLimit + c.limit; s.w.shared.load(word) > c.base+c.recalled {
		s.w.shared.store(word, c.base+c.recalled)
	}
	s.settleAt = time.Now().Add(settle)
	return true
}

// answerRecalls answers the recalls, now that the lowered limits hold. It reports false
// where a process has yet to drop tasks behind its running one; then it looks again
// soon.
func (s *session) answerRecalls() bool {
	now := time.Now()
	for _, c := range slices.Clone(s.chunks.List) {
		if c.recalled == notRecalled {
			continue
		}
		high := s.begun(c)
		if running := s.running(0); s.lane.Threads == 1 && running >= c.base && running < c.end && high > max(running+1, c.base+c.recalled) && now.Before(c.recallEnd) {
			s.w.flush() // the batch that has begun is cut short
			s.settleAt = now.Add(recallPause)
			return false
		}
		s.answerRecall(c, max(high, c.base+c.recalled))
		if c.Cut == 0 {
			s.end(c, executor.Usage{})
		}
	}
	return true
}

// answerRecall answers the recall of a chunk: tasks from a number on do not start.
func (s *session) answerRecall(c *chunk, from int64) {
	c.recalled = notRecalled
	s.chunks.AnswerRecall(c, int(min(from-c.base, int64(c.Count))))
}
