package engine

import (
	"runtime"
	"testing"
)

func TestGate(t *testing.T) {
	t.Parallel()
	var g gate
	if g.enter() || g.isOpen() {
		t.Error("a new gate is open")
	}
	g.open()
	if !g.enter() || !g.isOpen() {
		t.Fatal("an open gate lets no caller in")
	}
	closed := make(chan struct{})
	go func() { g.close(); close(closed) }()
	for g.isOpen() {
		runtime.Gosched()
	}
	if g.enter() {
		t.Error("a gate that closes lets a caller in")
	}
	select {
	case <-closed:
		t.Error("closed with a caller inside")
	default:
	}
	g.leave()
	<-closed
}
