package shared

// A Wait is a call that waits for its answer.
type Wait struct {
	ID   uint64
	Call Call

	party  *party
	exec   *execution
	thread uint32
	key    string // of an outside call
	sum    uint64
	object object
	order  uint64 // of the waits of an object
	stage  uint8  // of a condition's wait: see condition
	depth  int    // of the lock that it will have
	replay bool   // the answer is in the journal already
	done   bool
}

// Keyed reports whether an outside client may ask for the answer again.
func (w *Wait) Keyed() bool { return w.key != "" }

// Woken is the answer to a call that waited.
type Woken struct {
	Wait   uint64
	Answer Answer
}

// A waitList is the waits of one sort at an object, first come first. Those that are
// done are dropped as they come to the front.
type waitList struct{ list []*Wait }

func (l *waitList) add(s *Space, w *Wait) {
	s.orders++
	w.order = s.orders
	l.list = append(l.list, w)
}

// first returns the first wait that is not done, or nil.
func (l *waitList) first() *Wait {
	for len(l.list) > 0 {
		if w := l.list[0]; !w.done {
			return w
		}
		l.list[0] = nil
		l.list = l.list[1:]
	}
	l.list = nil
	return nil
}

// drop removes a wait that is done.
func (l *waitList) drop(w *Wait) {
	for i, other := range l.list {
		if other == w {
			l.list = append(l.list[:i:i], l.list[i+1:]...)
			return
		}
	}
}

func (l *waitList) len() int {
	n := 0
	for _, w := range l.list {
		if !w.done {
			n++
		}
	}
	return n
}

// finishAll answers all waits of a list alike.
func (l *waitList) finishAll(s *Space, r result) {
	for w := l.first(); w != nil; w = l.first() {
		s.finish(w, r)
	}
}
