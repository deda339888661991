package engine

import (
	"sync"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// Sizes of chunks. A chunk should be worth the round trip that records it and
// small enough that a wrong guess costs little.
const (
	firstAim   = 200 * time.Millisecond // work in a chunk, at first
	lastAim    = 500 * time.Millisecond // the same, of a turn that has run for long
	leastWork  = 5 * time.Millisecond   // a fair share is not cut smaller
	turnWork   = 4 * leastWork          // short tasks that are worth a turn of their own
	firstChunk = 8                      // tasks, before any task time is known
	maxChunk   = 1_000_000              // tasks
	maxBytes   = 2 << 20                // inputs or outputs in a chunk, by the estimate

	// A second chunk waits at the process only if it will not wait long.
	longestAhead = 100 * time.Millisecond
)

// aimAfter returns how much work a chunk should be for a turn that has run for age.
// Larger chunks amortise recording. The cost, coarser progress, matters less the
// longer a job runs.
func aimAfter(age time.Duration) time.Duration { return min(max(age/4, firstAim), lastAim) }

// nextClaim sizes the next claim of a lane that has run for age: the policy's
// fixed size, or what the estimate suggests. The caller adds who claims.
func nextClaim(w *store.Work, e *estimate, age time.Duration) store.Claim {
	c := store.Claim{Job: w.Job, Ranged: w.Inputs.Range != nil}
	if fixed := w.Policy.ChunkSize; fixed != nil {
		c.Want, c.Floor, c.Fixed = *fixed, *fixed, true
	} else {
		c.Want, c.Floor = e.size(*w.Policy.Threads, aimAfter(age))
	}
	if most := int(maxTasks(w.Policy)); most > 0 { // more would come back
		c.Want, c.Floor = min(c.Want, most), min(c.Floor, most)
	}
	return c
}

// maxTasks returns how many tasks a process may start; 0 for any number. A command has a
// process of its own.
func maxTasks(p jobs.Policy) int64 {
	if p.MaxTasksPerProcess == nil {
		return 0
	}
	return int64(*p.MaxTasksPerProcess)
}

// An estimate holds this node's measurements of the tasks of a job or program. It
// only tunes: nothing depends on it.
type estimate struct {
	mu sync.Mutex
	taskCost
}

// A taskCost is the mean cost of a task.
type taskCost struct {
	wall    time.Duration // over the lanes' chunks; 0 when unknown
	in, out float64       // bytes
}

// add adds a chunk: n tasks that took that long and had so many bytes. A chunk
// that its budget cut short counts for more than the history before it.
func (e *estimate) add(n int, took time.Duration, in, out int, cut bool) {
	if n == 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	task := max(took/time.Duration(n), 1)
	if e.wall == 0 || cut {
		e.wall = task
	} else {
		e.wall = (e.wall + task) / 2
	}
	e.in = max(float64(in)/float64(n), e.in/2)
	e.out = max(float64(out)/float64(n), e.out/2)
}

// size returns how many tasks a lane should claim: want, and floor although its
// fair share may be less. threads is how many tasks a process runs at once, aim how
// much work a chunk should be.
func (e *estimate) size(threads int, aim time.Duration) (want, floor int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.wall == 0 {
		return max(firstChunk, threads), min(threads, firstChunk)
	}
	want = clamp(int64(aim/e.wall), int64(threads), maxChunk)
	if bytes := max(e.in, e.out); bytes > 0 {
		want = clamp(int64(maxBytes/bytes), 1, int64(want))
	}
	floor = clamp(int64(leastWork/e.wall), 1, int64(want))
	return want, floor
}

// tasksPerTurn returns how many tasks are worth a turn of their own: one that fills a
// chunk, or so many short ones that the cost of a turn, some milliseconds of a core,
// is little beside them.
func (e *estimate) tasksPerTurn(threads int) int {
	_, floor := e.size(threads, firstAim)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.wall == 0 || floor == 1 {
		return floor
	}
	return max(floor, clamp(int64(turnWork/e.wall), 1, maxChunk))
}

// ahead returns how many chunks a lane should hold: two, so that its process has one
// while the other is recorded, unless the second would wait long for the first while
// other lanes could run it. A chunk of a fixed size (0 for none) has no time budget,
// so it is never given back while the first one runs.
func (e *estimate) ahead(unclaimed int64, lanes, fixed int) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if fixed > 0 && e.wall == 0 {
		return 1
	}
	wait := e.wall * time.Duration(max(fixed, 1))
	if wait > longestAhead || unclaimed <= 2*int64(lanes)*int64(max(fixed, 1)) && wait > leastWork {
		return 1
	}
	return 2
}

func (e *estimate) cost() taskCost {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.taskCost
}

func clamp(n, least, most int64) int { return int(max(min(n, most), least)) }
