package engine

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestNotificationsAreThrottledButTheLastIsNotLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s notifier
		later := 0
		notify := func() bool { return s.notify(func() { later++ }) }
		for range 3 {
			if !notify() {
				t.Error("the first record after a silence does not notify")
			}
			for range 5 {
				if notify() {
					t.Error("a record right after another notifies again")
				}
			}
			time.Sleep(notifyEvery)
			synctest.Wait()
		}
		if later != 3 {
			t.Errorf("%d notifications of the last records of 3 bursts", later)
		}
		notify()
		notify()
		s.silence()
		time.Sleep(2 * notifyEvery)
		synctest.Wait()
		if later != 3 {
			t.Error("notified after it was silenced")
		}
	})
}

// TestNotificationsGetFurtherApart checks that a job that records all the time notifies
// four times a second.
func TestNotificationsGetFurtherApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s notifier
		n := 0
		for range 10_000 { // 10 s
			if s.notify(func() { n++ }) {
				n++
			}
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		if n < 38 || n > 60 {
			t.Errorf("%d notifications in 10 s", n)
		}
		s.silence()
	})
}
