package http

import (
	"context"
	"errors"
	"testing"
)

// TestExclusive checks that one caller holds an exclusive at a time, and that a caller
// may stop waiting.
func TestExclusive(t *testing.T) {
	t.Parallel()
	e := newExclusive()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.acquire(ended); err != nil {
		t.Fatalf("while free: %v", err)
	}
	if err := e.acquire(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("while held: %v", err)
	}
	next := make(chan error, 1)
	go func() { next <- e.acquire(t.Context()) }()
	e.release()
	if err := <-next; err != nil {
		t.Errorf("after the release: %v", err)
	}
}
