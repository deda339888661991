package engine

import (
	"crypto/sha256"
	"encoding/json"
	"sync"
	"time"

	"github.com/allcores/allcores/internal/store"
)

// Sizes of chunks. A chunk should be worth the round trip that records it and
// small enough that a wrong guess costs little.
const (
	firstAim   = 200 * time.Millisecond // of work in a chunk, at first
	lastAim    = 500 * time.Millisecond // the same, of a turn that has run for long
	leastWork  = 5 * time.Millisecond   // a fair share is not cut smaller
	turnWork   = 4 * leastWork          // of short tasks is worth a turn of its own
	firstChunk = 8                      // tasks, before any task time is known
	maxChunk   = 1_000_000              // tasks
	maxBytes   = 2 << 20                // of inputs or outputs in a chunk, by what is known of them

	// A second chunk waits at the process only if it will not wait long.
	longestAhead = 100 * time.Millisecond
)

// aimAfter is how much work a chunk should be for a turn that has run for so long.
// What it costs to record a chunk is a share of the work; that a chunk is all that
// is told of the work meanwhile matters less the longer a job takes.
func aimAfter(ran time.Duration) time.Duration { return min(max(ran/4, firstAim), lastAim) }

// stats is what this node has seen of a job's tasks. It tunes; nothing depends
// on it.
type stats struct {
	mu       sync.Mutex
	task     time.Duration // wall time of a task over the lanes' chunks; 0 when unknown
	in, out  float64       // bytes a task
	notified time.Time
	trailing *time.Timer // calls later; nil when none is due
	silent   bool
	users    int
}

// add learns from a chunk: n tasks took that long and had so many bytes. A
// chunk that its budget cut short tells more than the history before it.
func (s *stats) add(n int, took time.Duration, in, out int, cut bool) {
	if n == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	task := max(took/time.Duration(n), 1)
	if s.task == 0 || cut {
		s.task = task
	} else {
		s.task = (s.task + task) / 2
	}
	s.in = max(float64(in)/float64(n), s.in/2)
	s.out = max(float64(out)/float64(n), s.out/2)
}

// size is how many tasks a lane should claim: want, and floor although its fair
// share may be less. threads is how many tasks a process has in hand at once, aim
// how much work a chunk should be.
func (s *stats) size(threads int, aim time.Duration) (want, floor int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.task == 0 {
		return max(firstChunk, threads), min(threads, firstChunk)
	}
	want = clamp(int64(aim/s.task), int64(threads), maxChunk)
	if bytes := max(s.in, s.out); bytes > 0 {
		want = clamp(int64(maxBytes/bytes), 1, int64(want))
	}
	floor = clamp(int64(leastWork/s.task), 1, int64(want))
	return want, floor
}

// turn is how many tasks are worth a turn of their own: one that would be a
// chunk, or of shorter ones so many that what a turn costs, some milliseconds of
// a core, is little beside them.
func (s *stats) turn(threads int) int {
	_, floor := s.size(threads, firstAim)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.task == 0 || floor == 1 {
		return floor
	}
	return max(floor, clamp(int64(turnWork/s.task), 1, maxChunk))
}

// ahead is how many chunks a lane should hold: two, so that its process always
// has one at hand while the other is recorded, unless the second would wait
// long for the first while others could run it. A chunk of a fixed size (0 for
// none) is never given back for the time that the one before it takes.
func (s *stats) ahead(unclaimed int64, lanes, fixed int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if fixed > 0 && s.task == 0 {
		return 1
	}
	wait := s.task * time.Duration(max(fixed, 1))
	if wait > longestAhead || unclaimed <= 2*int64(lanes)*int64(max(fixed, 1)) && wait > leastWork {
		return 1
	}
	return 2
}

func (s *stats) known() known {
	s.mu.Lock()
	defer s.mu.Unlock()
	return known{s.task, s.in, s.out}
}

func clamp(n, least, most int64) int { return int(max(min(n, most), least)) }

// notifyEvery is the shortest time between two notifications of a job's
// progress by one node.
const notifyEvery = 250 * time.Millisecond

// notify reports whether a record made now should tell the world of it. When
// not, later is called after a while, unless another record comes first.
func (s *stats) notify(later func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := notifyEvery - time.Since(s.notified)
	if wait <= 0 {
		s.notified = time.Now()
		s.dropLater()
		return true
	}
	if s.trailing == nil && !s.silent {
		s.trailing = time.AfterFunc(wait, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.silent || s.trailing == nil {
				return
			}
			s.trailing, s.notified = nil, time.Now()
			later()
		})
	}
	return false
}

// silence makes sure that no notification comes later: the job has ended, which
// its last record told, or the node stops.
func (s *stats) silence() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent = true
	s.dropLater()
}

func (s *stats) speak() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent = false
}

func (s *stats) dropLater() {
	if s.trailing != nil {
		s.trailing.Stop()
		s.trailing = nil
	}
}

// statsCache holds the stats of the jobs that run here, and what is known of the
// programs that ran here lately: another job of the same program begins with
// chunks of the right size.
type statsCache struct {
	mu       sync.Mutex
	jobs     map[string]*stats
	programs map[programKey]known
}

// A programKey stands for a program and the number of its tasks at once.
type programKey [sha256.Size]byte

func keyOf(w *store.Work) programKey {
	text, err := json.Marshal([]any{w.OwnerID, w.Program, w.Policy.Threads})
	if err != nil {
		return programKey{} // it was made from JSON
	}
	return sha256.Sum256(text)
}

// known is what was seen of a program's tasks.
type known struct {
	task    time.Duration
	in, out float64
}

// maxPrograms is how many programs are remembered.
const maxPrograms = 256

// guess returns stats for a job that has none yet.
func (c *statsCache) guess(program programKey) *stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.programs[program]
	return &stats{task: k.task, in: k.in, out: k.out}
}

// enter returns the job's stats, kept until leave was called as often.
func (c *statsCache) enter(job string, program programKey) *stats {
	guess := c.guess(program)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.jobs == nil {
		c.jobs = make(map[string]*stats)
	}
	s := c.jobs[job]
	if s == nil {
		s = guess
		c.jobs[job] = s
	}
	s.users++
	s.speak() // a job that had ended may be run again
	return s
}

// knows reports whether the job runs here, or has a moment ago.
func (c *statsCache) knows(job string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.jobs[job] != nil
}

// silence keeps every job's stats from notifying later.
func (c *statsCache) silence() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.jobs {
		s.silence()
	}
}

// linger is how long the stats of a job outlive its last lane here: a turn that
// went to the end of the line finds them again.
const linger = time.Minute

func (c *statsCache) leave(job string, program programKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.jobs[job]
	if k := s.known(); k.task > 0 {
		if c.programs == nil || len(c.programs) >= maxPrograms {
			c.programs = make(map[programKey]known)
		}
		c.programs[program] = k
	}
	if s.users--; s.users > 0 {
		return
	}
	time.AfterFunc(linger, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.jobs[job] == s && s.users == 0 {
			delete(c.jobs, job)
		}
	})
}

// workCache holds what was last read of some jobs: what a lane must know of
// its job never changes.
type workCache struct {
	mu    sync.Mutex
	works map[string]*store.Work
	order []string
}

// maxWorks is how many jobs' programs are held in memory.
const maxWorks = 64

func (c *workCache) get(job string) *store.Work {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.works[job]
}

func (c *workCache) put(w *store.Work) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.works == nil {
		c.works = make(map[string]*store.Work)
	}
	if c.works[w.Job] == nil {
		c.order = append(c.order, w.Job)
	}
	c.works[w.Job] = w
	for len(c.order) > maxWorks {
		delete(c.works, c.order[0])
		c.order = c.order[1:]
	}
}
