package live

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestSharedReads checks that fifty pages that read at any time cost as much as one,
// and that each gets a value read after its call.
func TestSharedReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const gap = 250 * time.Millisecond
		var lists Coalescer[time.Time]
		var mu sync.Mutex
		reads := map[string]int{}
		read := func(key string) func(context.Context) (time.Time, error) {
			return func(context.Context) (time.Time, error) {
				mu.Lock()
				reads[key]++
				mu.Unlock()
				began := time.Now()
				time.Sleep(30 * time.Millisecond)
				return began, nil
			}
		}
		began := time.Now()
		var pages sync.WaitGroup
		for i := range 50 {
			key := []string{"mine", "yours"}[i%2]
			pages.Go(func() {
				time.Sleep(time.Duration(i) * 17 * time.Millisecond)
				for looks := 0; time.Since(began) < 10*time.Second; looks++ {
					asked := time.Now()
					at, err := lists.Get(t.Context(), key, gap, read(key))
					if err != nil || at.Before(asked) || at.Sub(asked) > gap {
						t.Errorf("asked at %v, read at %v, %v", asked.Sub(began), at.Sub(began), err)
					}
					time.Sleep(time.Duration(i) * time.Millisecond)
				}
			})
		}
		pages.Wait()
		for key, n := range reads {
			if n < 38 || n > 42 {
				t.Errorf("%s was read %d times in 10 s", key, n)
			}
		}
		time.Sleep(time.Minute)
		if _, err := lists.Get(t.Context(), "another", gap, read("another")); err != nil || len(lists.began) != 1 || len(lists.next) != 0 {
			t.Errorf("%d keys are remembered, %d readings wait, %v", len(lists.began), len(lists.next), err)
		}
	})
}

// TestSharedReadsWithoutTheirLeader checks that the others get the value when the
// caller that reads has left, and that a waiting caller may leave too.
func TestSharedReadsWithoutTheirLeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var lists Coalescer[int]
		ctx, leave := context.WithCancel(t.Context())
		leader, led := lists.Get(ctx, "k", time.Second, func(context.Context) (int, error) { return 1, nil })
		if leader != 1 || led != nil {
			t.Fatal(leader, led)
		}
		read := func(ctx context.Context) (int, error) {
			time.Sleep(time.Second)
			return 2, ctx.Err()
		}
		var all sync.WaitGroup
		all.Go(func() { _, _ = lists.Get(ctx, "k", time.Second, read) })
		synctest.Wait()
		all.Go(func() {
			if got, err := lists.Get(t.Context(), "k", time.Second, read); got != 2 || err != nil {
				t.Errorf("got %d, %v", got, err)
			}
		})
		gone, quit := context.WithCancel(t.Context())
		all.Go(func() {
			if _, err := lists.Get(gone, "k", time.Second, read); !errors.Is(err, context.Canceled) {
				t.Errorf("the caller that left got %v", err)
			}
		})
		synctest.Wait()
		leave()
		quit()
		all.Wait()
	})
}
