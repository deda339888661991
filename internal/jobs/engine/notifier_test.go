package engine

import (
	"testing"
	"time"
)

func TestNotificationsAreThrottledButTheLastIsNotLost(t *testing.T) {
	t.Parallel()
	var s notifier
	later := make(chan struct{}, 10)
	tell := func() bool { return s.notify(func() { later <- struct{}{} }) }
	if !tell() {
		t.Error("the first record tells nobody")
	}
	for range 5 {
		if tell() {
			t.Error("a record right after another tells the world again")
		}
	}
	select {
	case <-later:
	case <-time.After(10 * time.Second):
		t.Fatal("the last records were never told")
	}
	if tell() { // it was told just now; this one comes later
		t.Error("told twice at once")
	}
	s.silence()
	select {
	case <-later:
		t.Error("told after it was silenced")
	case <-time.After(2 * notifyEvery):
	}
}
