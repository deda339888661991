package engine

import "sync"

// A gate lets callers in while it is open. The zero gate is closed.
type gate struct {
	mu     sync.Mutex
	opened bool
	inside sync.WaitGroup
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opened = true
}

// enter reports whether the gate is open. The caller must call leave then.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened {
		g.inside.Add(1)
	}
	return g.opened
}

func (g *gate) leave() { g.inside.Done() }

// close lets no caller in any more and waits for those inside to leave.
func (g *gate) close() {
	g.mu.Lock()
	g.opened = false
	g.mu.Unlock()
	g.inside.Wait()
}

func (g *gate) isOpen() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.opened
}
