package engine

import (
	"crypto/sha256"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/store"
)

// A localJob is the state that the lanes of a job on this node share. It can be lost.
type localJob struct {
	estimate
	notifier
	lanes int // guarded by localJobs
}

// learn adds a chunk that has ended to the estimate. cut says that not all of it
// was run.
func (j *localJob) learn(h *lease, u executor.Update, cut bool) {
	done, out := h.early.tasks, h.early.bytes
	for _, run := range u.Outcomes {
		done += run.Count
		out += len(run.Outputs)
	}
	j.add(done, u.Usage.FinishedAt.Sub(u.Usage.StartedAt), len(h.Inputs), out, h.cut || cut)
}

// localJobs are the jobs that run here, and the costs of the programs that ran
// here lately: another job of the same program begins with chunks of the right
// size.
type localJobs struct {
	works    workCache
	mu       sync.Mutex
	jobs     map[string]*localJob
	programs map[programKey]taskCost
}

// A programKey stands for a program and the number of its tasks at once.
type programKey [sha256.Size]byte

func keyOf(w *store.Work) programKey {
	text, err := json.Marshal([]any{w.OwnerID, w.Program, w.Policy.Threads})
	if err != nil {
		return programKey{} // cannot happen: w was decoded from JSON
	}
	return sha256.Sum256(text)
}

// maxPrograms is how many programs are remembered.
const maxPrograms = 256

// guess returns the estimate of a job that has not run here yet.
func (c *localJobs) guess(program programKey) *estimate {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &estimate{taskCost: c.programs[program]}
}

// estimate returns the estimate of a job, or the guess where it has not run here yet.
func (c *localJobs) estimate(w *store.Work) *estimate {
	c.mu.Lock()
	j := c.jobs[w.Job]
	c.mu.Unlock()
	if j != nil {
		return &j.estimate
	}
	return c.guess(keyOf(w))
}

// enter returns the job for one more lane, until leave is called.
func (c *localJobs) enter(job string, program programKey) *localJob {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.jobs == nil {
		c.jobs = make(map[string]*localJob)
	}
	j := c.jobs[job]
	if j == nil {
		j = &localJob{estimate: estimate{taskCost: c.programs[program]}}
		c.jobs[job] = j
	}
	j.lanes++
	j.speak() // a job that had ended may be run again
	return j
}

// knows reports whether the job runs here, or ran within the last minute.
func (c *localJobs) knows(job string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.jobs[job] != nil
}

// silence keeps every job from notifying later.
func (c *localJobs) silence() {
	c.mu.Lock()
	all := slices.Collect(maps.Values(c.jobs))
	c.mu.Unlock()
	for _, j := range all {
		j.silence()
	}
}

// linger is how long a job outlives its last lane here: a turn that went to the
// end of the line finds its estimate again.
const linger = time.Minute

// leave undoes enter.
func (c *localJobs) leave(job string, program programKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	j := c.jobs[job]
	if cost := j.cost(); cost.wall > 0 {
		if c.programs == nil || len(c.programs) >= maxPrograms {
			c.programs = make(map[programKey]taskCost)
		}
		c.programs[program] = cost
	}
	if j.lanes--; j.lanes > 0 {
		return
	}
	time.AfterFunc(linger, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.jobs[job] == j && j.lanes == 0 {
			delete(c.jobs, job)
		}
	})
}

// workCache keeps what was last read of some jobs. What a lane must know of its job
// never changes.
type workCache struct {
	mu    sync.Mutex
	works map[string]*store.Work
	order []string
}

// maxWorks is how many jobs' programs are kept in memory.
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
