package slots

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func acquire(t *testing.T, table *Table, n int) *Slot {
	t.Helper()
	s, err := table.Acquire(t.Context(), n, 2)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPinnedSlotsSpreadOverCores(t *testing.T) {
	t.Parallel()
	table := New([]int{4, 6, 7}, 6, true)
	counts := make(map[int]int)
	var held []*Slot
	for range 6 {
		s := acquire(t, table, 1)
		counts[s.Cores[0]]++
		held = append(held, s)
	}
	if diff := cmp.Diff(map[int]int{4: 2, 6: 2, 7: 2}, counts); diff != "" {
		t.Errorf("slots a core (-want +got):\n%s", diff)
	}
	held[1].Release()
	held[1].Release() // the second does nothing
	if s := acquire(t, table, 1); s.Cores[0] != held[1].Cores[0] {
		t.Errorf("got core %v, want the free %v", s.Cores, held[1].Cores)
	}
	if used, total := table.Busy(); used != 6 || total != 6 {
		t.Errorf("%d of %d in use", used, total)
	}
}

func TestServedInOrder(t *testing.T) {
	t.Parallel()
	table := New(nil, 2, false)
	one, two := acquire(t, table, 1), acquire(t, table, 1)
	both := make(chan *Slot)
	go func() { s, _ := table.Acquire(t.Context(), 2, 2); both <- s }()
	for table.Waiting() != 1 {
	}
	later, cancel := context.WithCancel(t.Context())
	defer cancel()
	single := make(chan error)
	go func() { _, err := table.Acquire(later, 1, 2); single <- err }()
	for table.Waiting() != 2 {
	}
	one.Release()
	if table.Waiting() != 2 {
		t.Error("the request for one slot overtook the one for two")
	}
	cancel()
	if err := <-single; !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled request got %v", err)
	}
	two.Release()
	(<-both).Release()
	if used, _ := table.Busy(); used != 0 {
		t.Errorf("%d in use at the end", used)
	}
}

func TestUrgentFirst(t *testing.T) {
	t.Parallel()
	table := New(nil, 1, false)
	one := acquire(t, table, 1)
	served := make(chan int)
	for i, priority := range []int{3, 1, 4, 1, 2} {
		go func() {
			s, err := table.Acquire(t.Context(), 1, priority)
			if err != nil {
				t.Error(err)
			}
			served <- priority
			s.Release()
		}()
		for table.Waiting() != i+1 {
		}
	}
	one.Release()
	var order []int
	for range 5 {
		order = append(order, <-served)
	}
	if diff := cmp.Diff([]int{1, 1, 2, 3, 4}, order); diff != "" {
		t.Errorf("served (-want +got):\n%s", diff)
	}
}

func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	table := New(nil, 2, false)
	one, two := acquire(t, table, 1), acquire(t, table, 1)
	if _, err := table.AcquireWithin(t.Context(), 2, 2, time.Millisecond); !errors.Is(err, context.DeadlineExceeded) || table.Waiting() != 0 {
		t.Errorf("got %v, and %d wait", err, table.Waiting())
	}
	one.Release()
	// One slot is free, and kept for who needs two.
	both := make(chan *Slot)
	go func() {
		s, err := table.AcquireWithin(t.Context(), 2, 2, time.Millisecond)
		if err != nil {
			t.Error(err)
		}
		both <- s
	}()
	for table.Waiting() != 1 {
	}
	if _, err := table.AcquireWithin(t.Context(), 1, 2, 10*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) || table.Waiting() != 1 {
		t.Errorf("got %v, and %d wait", err, table.Waiting())
	}
	two.Release()
	(<-both).Release()
	if used, _ := table.Busy(); used != 0 {
		t.Errorf("%d in use at the end", used)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer acquire(t, table, 1).Release()
	go func() {
		for table.Waiting() != 1 {
		}
		cancel()
	}()
	if _, err := table.AcquireWithin(ctx, 2, 2, time.Millisecond); !errors.Is(err, context.Canceled) || table.Waiting() != 0 {
		t.Errorf("the cancelled caller got %v, and %d wait", err, table.Waiting())
	}
}

func TestMoreThanThereAre(t *testing.T) {
	t.Parallel()
	table := New([]int{0, 1}, 2, true)
	if s := acquire(t, table, 5); !cmp.Equal(s.Cores, []int{0, 1}) {
		t.Errorf("got cores %v", s.Cores)
	}
}

func TestResizeUnderLoad(t *testing.T) {
	t.Parallel()
	table := New([]int{0, 1, 2, 3}, 4, true)
	var running, most atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				s, err := table.Acquire(t.Context(), 1, 2)
				if err != nil {
					t.Error(err)
					return
				}
				n := running.Add(1)
				if most.Load() < n {
					most.Store(n)
				}
				running.Add(-1)
				s.Release()
			}
		})
	}
	for _, n := range []int{1, 3, 2, 4} {
		table.Resize(n)
	}
	all.Wait()
	if most.Load() > 4 {
		t.Errorf("%d ran at once", most.Load())
	}
	if used, total := table.Busy(); used != 0 || total != 4 {
		t.Errorf("%d of %d in use at the end", used, total)
	}
}

func TestLentSlots(t *testing.T) {
	t.Parallel()
	table := New([]int{0, 1}, 2, true)
	a, b := table.TryAcquire(1), table.TryAcquire(1)
	a.Lend()
	a.Lend() // once is enough
	c := table.TryAcquire(1)
	if c == nil || table.TryAcquire(1) != nil {
		t.Fatal("one lent slot is not one more")
	}
	a.Reclaim()
	a.Reclaim()
	if used, total := table.Busy(); used != 3 || total != 2 {
		t.Errorf("%d of %d slots are used", used, total)
	}
	c.Release()
	if table.TryAcquire(1) != nil {
		t.Error("a slot that was taken back is free")
	}
	b.Lend()
	b.Release()
	b.Reclaim()
	a.Release()
	if used, _ := table.Busy(); used != 0 {
		t.Errorf("%d slots are used after all were released", used)
	}
}
