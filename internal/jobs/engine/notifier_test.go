package engine

import (
	"testing"
	"time"
)

func TestNotificationsAreThrottledButTheLastIsNotLost(t *testing.T) {
	t.Parallel()
	var s notifier
	later := make(chan struct{}, 10)
	notify := func() bool { return s.notify(func() { later <- struct{}{} }) }
	if !notify() {
		t.Error("the first record does not notify")
	}
	for range 5 {
		if notify() {
			t.Error("a record right after another notifies again")
		}
	}
	select {
	case <-later:
	case <-time.After(10 * time.Second):
		t.Fatal("there was no notification of the last records")
	}
	if notify() { // the last one was just now; this one comes later
		t.Error("notified twice at once")
	}
	s.silence()
	select {
	case <-later:
		t.Error("notified after it was silenced")
	case <-time.After(2 * notifyEvery):
	}
}
