package python

import "github.com/allcores/allcores/internal/jobs/executor"

// A lane may bound the tasks that a process starts, for programs that leak: a process
// that has used them up gets no further chunk, and once its chunks have ended another
// one takes its place.

// used returns how many tasks the process has started or may start.
func (s *session) used() int64 {
	n := s.w.ran
	for _, c := range s.chunks.List {
		if c.end > 0 {
			n += int64(c.Cut)
		}
	}
	return n
}

// exhausted reports whether the process may start no further task.
func (s *session) exhausted() bool {
	return s.lane.MaxTasks > 0 && s.w != nil && s.used() >= s.lane.MaxTasks
}

// replace ends an exhausted process, so that a chunk begins in another one. While the
// process runs other chunks, it gives the chunk back and reports false.
func (s *session) replace(c *chunk) bool {
	if len(s.chunks.List) > 0 {
		s.chunks.Updates.Add(executor.Update{Chunk: c.ID, Ended: true, Back: []executor.Span{{First: c.First, Count: c.Count}}})
		return false
	}
	s.pool.living.Go(s.w.retire)
	s.w = nil
	return true
}

// fit gives back the tasks of a chunk, about to be sent, that the process may not start.
func (s *session) fit(c *chunk) {
	if s.lane.MaxTasks <= 0 {
		return
	}
	if over := s.used() - s.lane.MaxTasks; over > 0 {
		s.giveBack(c, c.cut()-over)
	}
}
