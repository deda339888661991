package tasksocket

import (
	"context"
	crand "crypto/rand"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"sync"
)

// ErrEnded cancels the requests of a session that is closed.
var ErrEnded = errors.New("the task has ended")

// A Session is one call of an executor's Run. Its fields do not change.
type Session struct {
	Job   string // the job's id
	Owner string // the owner's id
	Lane  int
	Alone bool // it runs one task at a time; set before the session is used

	key     string
	leaseOf func(task int64) (lease int64, ok bool)
	//lint:ignore containedctx ends the session's requests, which begin with others
	open   context.Context
	end    context.CancelFunc
	server *Server
}

// An Execution is one attempt at a task: a task under a lease. A task that runs again
// has another lease.
type Execution struct {
	*Session
	Task  int64 // its index
	Lease int64
}

// Open registers a session. leaseOf returns the lease under which the lane holds a
// task, and may be called at any time, by several goroutines at once.
func (s *Server) Open(job, owner string, lane int, leaseOf func(task int64) (lease int64, ok bool)) *Session {
	x := &Session{Job: job, Owner: owner, Lane: lane, leaseOf: leaseOf, server: s}
	x.open, x.end = context.WithCancel(context.Background())
	s.sessions.add(x)
	return x
}

// Execution returns the execution of a task that the session's lane holds now. Any
// goroutine may call it.
func (x *Session) Execution(task int64) (e Execution, ok bool) {
	lease, ok := x.leaseOf(task)
	return Execution{Session: x, Task: task, Lease: lease}, ok
}

// URL returns the address of the session. That of a task is URL()/tasks/INDEX.
func (x *Session) URL() string { return "http://allcores/" + x.key }

// Close ends the session and cancels its requests.
func (x *Session) Close() {
	x.server.sessions.remove(x)
	x.end()
}

// Done is closed when the session is.
func (x *Session) Done() <-chan struct{} { return x.open.Done() }

// A registry has the open sessions by key.
type registry struct {
	mu       sync.Mutex
	keys     *rand.ChaCha8
	open     map[string]*Session
	requests sync.WaitGroup
}

func newRegistry() registry {
	var seed [32]byte
	crand.Read(seed[:]) // never fails
	return registry{keys: rand.NewChaCha8(seed), open: make(map[string]*Session)}
}

// add gives the session a key. The generator is a cipher seeded by the system: keys
// cannot be guessed from others, and making one is no system call.
func (r *registry) add(x *Session) {
	var key [16]byte
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys.Read(key[:])
	x.key = hex.EncodeToString(key[:])
	r.open[x.key] = x
}

func (r *registry) remove(x *Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, x.key)
}

// enter returns the open session of a key, or nil, and counts a request of it until
// leave.
func (r *registry) enter(key string) *Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.open[key]
	if x != nil {
		r.requests.Add(1)
	}
	return x
}

func (r *registry) leave() { r.requests.Done() }
