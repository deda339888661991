package scopes

import (
	"sync"
	"time"

	"github.com/allcores/allcores/internal/store"
)

// A sentCall is a message whose answer is waited for.
type sentCall struct {
	remote *remote
	data   []byte
	answer chan []byte // holds one
	sent   time.Time
}

// sentCalls are the calls of this node that wait for answers, by number.
type sentCalls struct {
	mu    sync.Mutex
	sent  map[int64]*sentCall
	early map[int64]earlyAnswer // answers that came before the call's number was known
}

// An earlyAnswer is the answer to a call whose number is not known yet, or to one that
// nobody waits for.
type earlyAnswer struct {
	data []byte
	at   time.Time
}

// maxEarly bounds the answers to calls that nobody knows.
const maxEarly = 10_000

// forget stops waiting for the answer of a call. It returns the call's number, or 0.
func (s *sentCalls) forget(c *sentCall) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, other := range s.sent {
		if other == c {
			delete(s.sent, id)
			return id
		}
	}
	return 0
}

// add notes the numbers of calls.
func (s *sentCalls) add(ids []int64, calls []*sentCall) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sent == nil {
		s.sent, s.early = make(map[int64]*sentCall), make(map[int64]earlyAnswer)
	}
	for i, id := range ids {
		calls[i].sent = time.Now()
		if early, ok := s.early[id]; ok {
			delete(s.early, id)
			calls[i].answer <- early.data
			continue
		}
		s.sent[id] = calls[i]
	}
}

// answer hands answers to who waits for them.
func (s *sentCalls) answer(answers []store.SharedAnswer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range answers {
		if c := s.sent[a.Call]; c != nil {
			delete(s.sent, a.Call)
			c.answer <- a.Data
		} else if s.early != nil && len(s.early) < maxEarly {
			s.early[a.Call] = earlyAnswer{a.Data, time.Now()}
		}
	}
}

// forgetEarly drops answers that nobody has asked for.
func (s *sentCalls) forgetEarly() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, a := range s.early {
		if time.Since(a.at) > time.Minute {
			delete(s.early, id)
		}
	}
}

// waits reports whether a call of a remote waits for its answer.
func (s *sentCalls) waits(r *remote) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.sent {
		if c.remote == r {
			return true
		}
	}
	return false
}

// take returns the calls of a remote and waits for them no longer.
func (s *sentCalls) take(r *remote) (list []*sentCall) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, c := range s.sent {
		if c.remote == r {
			list = append(list, c)
			delete(s.sent, id)
		}
	}
	return list
}

// old returns the numbers of calls that wait for longer than age.
func (s *sentCalls) old(age time.Duration) []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []int64
	for id, c := range s.sent {
		if time.Since(c.sent) > age {
			ids = append(ids, id)
		}
	}
	return ids
}

// resend sends calls again that were lost on their way.
func (s *sentCalls) resend(ids []int64) {
	s.mu.Lock()
	var lost []*sentCall
	for _, id := range ids {
		if c := s.sent[id]; c != nil {
			delete(s.sent, id)
			lost = append(lost, c)
		}
	}
	s.mu.Unlock()
	for _, c := range lost {
		c.remote.mu.Lock()
		c.remote.queue = append(c.remote.queue, c)
		c.remote.mu.Unlock()
		put(c.remote.due)
	}
}
