package shared

import (
	"fmt"
	"slices"
	"strings"
)

// A Blocked is a task's execution that goes on only when a call that waits for ever is
// answered.
type Blocked struct {
	Running
	Wait uint64
}

// Blocked lists the tasks of a job that wait for ever, one wait each. A task of which
// another thread may go on is not among them.
func (s *Space) Blocked(job string) []Blocked {
	var list []Blocked
	for _, r := range s.Running() {
		if r.Job != job {
			continue
		}
		e := s.parties[partyKey{job: job, task: r.Task}].exec
		waits := 0
		for _, w := range e.parked {
			if w.Call.Timeout >= 0 || w.Call.Company {
				waits = 0
				break
			}
			waits++
		}
		if waits > 0 && waits >= len(e.at) {
			list = append(list, Blocked{r, e.parked[0].ID})
		}
	}
	return list
}

// Quiet is a number that stays the same while nothing changes and no call is made.
func (s *Space) Quiet() uint64 { return s.steps }

// Deadlock fails the calls of blocked tasks with an error that names who waits for
// what. rest, if not empty, says why nobody else could wake them.
func (s *Space) Deadlock(blocked []Blocked, rest string) {
	var waits []uint64
	for _, b := range blocked {
		if w := s.waits[b.Wait]; w != nil {
			for _, p := range w.exec.parked {
				waits = append(waits, p.ID)
			}
		}
	}
	if len(waits) == 0 {
		return
	}
	message := "deadlock: " + s.graph(waits)
	if rest != "" {
		message += "; " + rest
	}
	s.logDeadlock(waits, message)
	s.failDeadlocked(waits, message)
}

// failDeadlocked answers all the waits before any object hears of it, so that each
// gets this error.
func (s *Space) failDeadlocked(waits []uint64, message string) {
	var taken []*Wait
	for _, id := range waits {
		if w := s.waits[id]; w != nil {
			s.take(w)
			taken = append(taken, w)
			s.woken = append(s.woken, Woken{w.ID, Answer{Err: &Error{Kind: ErrDeadlock, Message: message}}})
		}
	}
	for _, w := range taken {
		w.object.dropped(s, w)
	}
}

// maxGraph is how many waits a deadlock's message names.
const maxGraph = 20

// graph says who waits for what.
func (s *Space) graph(waits []uint64) string {
	var words []string
	for _, id := range waits[:min(len(waits), maxGraph)] {
		words = append(words, s.waits[id].describe())
	}
	slices.Sort(words)
	text := strings.Join(words, "; ")
	if more := len(waits) - len(words); more > 0 {
		text += fmt.Sprintf("; and %d more wait", more)
	}
	return text
}

// describe says in words what a call waits for.
func (w *Wait) describe() string {
	c := &w.Call
	held := ""
	if m := mutexOf(w.object); m != nil && m.owner != nil && (c.Op == "acquire" || w.stage != unnotified) {
		held = ", held by " + m.owner.party.String()
		if m.owner == w.exec {
			held = ", which it holds itself"
		}
	}
	what := fmt.Sprintf("for %s %q", c.Kind, c.Name)
	switch c.Kind {
	case Queue:
		what = map[string]string{"get": "to get from", "put": "to put into", "join": "to join"}[c.Op] + fmt.Sprintf(" queue %q", c.Name)
	case Pipe:
		what = fmt.Sprintf("to receive at end %s of pipe %q", c.Args[0], c.Name)
	case Barrier:
		b, _ := w.object.(*barrier)
		what += fmt.Sprintf(", where %d of %d parties are", b.waiters.len(), b.params.Size)
	case Condition:
		if c.Op == "wait" && w.stage == unnotified {
			what = fmt.Sprintf("to be notified of condition %q", c.Name)
		}
	case Value, Array, Dict, List, Lock, Event, Semaphore:
	}
	return fmt.Sprintf("%s waits %s%s", w.party, what, held)
}
