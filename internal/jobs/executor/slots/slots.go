// Package slots hands out the core slots of one queue on one node.
package slots

import (
	"container/list"
	"context"
	"slices"
	"sync"
	"time"
)

// A Table has the slots of one queue on one node. It serves requests by priority,
// the lower number first, and then in their order: a later request for few slots
// overtakes one for many only when it is more urgent.
type Table struct {
	mu     sync.Mutex
	cores  []int
	used   []int // slots in use, by index into cores; of a pinned table
	pinned bool
	total  int
	free   int
	line   list.List // of *request
}

type request struct {
	n, priority int
	granted     chan *Slot
}

// A Slot is the right to run one process. It must be released.
type Slot struct {
	Cores []int // to run on; empty where the queue is not pinned

	table *Table
	n     int
	lent  bool
}

// New makes a table of n slots over cores. With pinned, each slot gets the cores that
// the fewest others have.
func New(cores []int, n int, pinned bool) *Table {
	return &Table{cores: slices.Clone(cores), used: make([]int, len(cores)), pinned: pinned && len(cores) > 0, total: n, free: n}
}

// Acquire waits for n slots, or for all slots where the table has fewer. The error is
// ctx's.
func (t *Table) Acquire(ctx context.Context, n, priority int) (*Slot, error) {
	return t.acquire(ctx, n, priority, nil)
}

// AcquireWithin is Acquire that fails with context.DeadlineExceeded after patience,
// unless slots are being kept free for it then: a request for several would never
// succeed if it released the first.
func (t *Table) AcquireWithin(ctx context.Context, n, priority int, patience time.Duration) (*Slot, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	return t.acquire(ctx, n, priority, timer.C)
}

func (t *Table) acquire(ctx context.Context, n, priority int, impatient <-chan time.Time) (*Slot, error) {
	r := &request{n: max(n, 1), priority: priority, granted: make(chan *Slot, 1)}
	t.mu.Lock()
	place := t.enter(r)
	t.serve()
	t.mu.Unlock()
	for {
		var err error
		select {
		case s := <-r.granted:
			return s, nil
		case <-ctx.Done():
			err = ctx.Err()
		case <-impatient:
			impatient = nil
			err = context.DeadlineExceeded
		}
		switch s, left := t.leave(place, ctx.Err() == nil); {
		case s != nil: // granted in the meantime
			return s, nil
		case left:
			return nil, err
		}
	}
}

// enter puts a request in the line, before less urgent ones.
func (t *Table) enter(r *request) *list.Element {
	for e := t.line.Back(); e != nil; e = e.Prev() {
		if e.Value.(*request).priority <= r.priority {
			return t.line.InsertAfter(r, e)
		}
	}
	return t.line.PushFront(r)
}

// leave takes a request out of the line, unless it was granted, or it may stay and
// slots are being kept free for it.
func (t *Table) leave(place *list.Element, mayStay bool) (s *Slot, left bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case s := <-place.Value.(*request).granted:
		return s, true
	default:
	}
	if mayStay && t.line.Front() == place && t.free > 0 {
		return nil, false
	}
	t.line.Remove(place)
	t.serve() // those behind may fit
	return nil, true
}

// TryAcquire takes n slots, or all slots where the table has fewer, if they are free
// and no request waits. Otherwise it returns nil.
func (t *Table) TryAcquire(n int) *Slot {
	r := &request{n: max(n, 1), granted: make(chan *Slot, 1)}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.line.Len() > 0 {
		return nil
	}
	place := t.line.PushBack(r)
	t.serve()
	select {
	case s := <-r.granted:
		return s
	default:
		t.line.Remove(place)
		return nil
	}
}

// serve grants what can be granted, in order.
func (t *Table) serve() {
	for t.line.Len() > 0 {
		r := t.line.Front().Value.(*request)
		n := min(r.n, max(t.total, 1))
		if n > t.free {
			return
		}
		t.line.Remove(t.line.Front())
		t.free -= n
		s := &Slot{table: t, n: n}
		if t.pinned {
			s.Cores = t.place(n)
		}
		r.granted <- s
	}
}

// place picks n cores, those with the fewest slots in use first.
func (t *Table) place(n int) []int {
	n = min(n, len(t.cores))
	picked := make([]int, 0, n)
	for range n {
		best := -1
		for i, core := range t.cores {
			if !slices.Contains(picked, core) && (best < 0 || t.used[i] < t.used[best]) {
				best = i
			}
		}
		t.used[best]++
		picked = append(picked, t.cores[best])
	}
	slices.Sort(picked)
	return picked
}

// Release gives the slots back. A second call does nothing.
func (s *Slot) Release() {
	t := s.table
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.n == 0 {
		return
	}
	if !s.lent {
		s.give()
	}
	s.n = 0
	t.serve()
}

// give returns the slots to the table.
func (s *Slot) give() {
	s.table.free += s.n
	for _, core := range s.Cores {
		s.table.used[slices.Index(s.table.cores, core)]--
	}
}

// Lend lets others use the slots while their process only waits, until Reclaim. It does
// nothing to slots that are lent or released.
func (s *Slot) Lend() {
	t := s.table
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.n == 0 || s.lent {
		return
	}
	s.lent = true
	s.give()
	t.serve()
}

// Reclaim takes lent slots back at once, although more may be in use then than the
// table has.
func (s *Slot) Reclaim() {
	t := s.table
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.n == 0 || !s.lent {
		return
	}
	s.lent = false
	t.free -= s.n
	for _, core := range s.Cores {
		t.used[slices.Index(t.cores, core)]++
	}
}

// Resize changes the number of slots. Slots in use stay in use until released, even
// if they are more.
func (t *Table) Resize(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.free += n - t.total
	t.total = n
	t.serve()
}

// Pin changes whether slots have cores. Slots in use keep theirs.
func (t *Table) Pin(pinned bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pinned = pinned && len(t.cores) > 0
}

// Busy returns how many slots are in use, and how many the table has.
func (t *Table) Busy() (used, total int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.total - t.free, t.total
}

// Waiting returns how many requests wait.
func (t *Table) Waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.line.Len()
}
