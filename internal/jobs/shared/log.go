package shared

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Events of the log. Numbers are uvarints, and so are the lengths before texts.
const (
	eventOpen     = iota + 1 // job, task, lease, client
	eventCall                // execution, thread, replay, key, call
	eventReplayed            // execution, thread
	eventTimeUp              // wait
	eventCancel              // wait
	eventEnd                 // execution
	eventLeave               // execution
	eventLose                // execution
	eventRecorded            // job, task, succeeded
	eventDeadlock            // number of waits, waits, message
)

// TakeLog returns the events since it was last called. The next event overwrites what
// a caller keeps of into's memory, which is used for the events to come.
func (s *Space) TakeLog(into []byte) []byte {
	log := s.log
	s.log = into[:0]
	return log
}

// LogSize is how many bytes TakeLog would return.
func (s *Space) LogSize() int { return len(s.log) }

func appendUvarints(b []byte, list ...uint64) []byte {
	for _, n := range list {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

func appendText[T ~string | ~[]byte](b []byte, text T) []byte {
	b = binary.AppendUvarint(b, uint64(len(text)))
	return append(b, text...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func (s *Space) logNumber(event byte, n uint64) {
	if !s.replaying {
		s.log = appendUvarints(append(s.log, event), n)
	}
}

func (s *Space) logOpen(key partyKey, lease int64) {
	if s.replaying {
		return
	}
	s.log = appendText(append(s.log, eventOpen), key.job)
	s.log = appendUvarints(s.log, uint64(key.task), uint64(lease))
	s.log = appendText(s.log, key.client)
}

// logCall logs a call. Parameters that the object has already are left out.
func (s *Space) logCall(w *Wait) {
	if s.replaying {
		return
	}
	c := w.Call
	if obj := s.objects[c.Name]; c.Params != nil && obj != nil && obj.base().accepts(&c) == nil {
		c.Params = nil
	}
	s.log = appendUvarints(append(s.log, eventCall), w.exec.number, uint64(w.thread))
	s.log = appendText(appendBool(s.log, w.replay), w.key)
	at := len(s.log)
	s.log = append(s.log, 0, 0, 0, 0)
	s.log = c.Append(s.log)
	binary.LittleEndian.PutUint32(s.log[at:], uint32(len(s.log)-at-4))
}

func (s *Space) logReplayed(w *Wait) {
	if !s.replaying {
		s.log = appendUvarints(append(s.log, eventReplayed), w.exec.number, uint64(w.thread))
	}
}

func (s *Space) logRecorded(key partyKey, succeeded bool) {
	if s.replaying {
		return
	}
	s.log = appendText(append(s.log, eventRecorded), key.job)
	s.log = appendBool(appendUvarints(s.log, uint64(key.task)), succeeded)
}

func (s *Space) logDeadlock(waits []uint64, message string) {
	if s.replaying {
		return
	}
	s.log = appendUvarints(append(s.log, eventDeadlock), uint64(len(waits)))
	s.log = appendText(appendUvarints(s.log, waits...), message)
}

// Replay applies a log. The space must be as it was when the log began.
func (s *Space) Replay(log []byte) error {
	s.replaying = true
	defer func() { s.replaying = false }()
	r := reader{b: log}
	for len(r.b) > 0 {
		event := r.u8()
		if err := s.replay(event, &r); err != nil {
			return err
		}
		if r.bad {
			return fmt.Errorf("event %d: %w", event, ErrWire)
		}
		s.woken = s.woken[:0]
	}
	return nil
}

func (s *Space) replay(event byte, r *reader) error {
	switch event {
	case eventOpen:
		key := partyKey{job: string(r.text()), task: int64(r.uvarint())}
		lease := int64(r.uvarint())
		key.client = string(r.text())
		if !r.bad {
			s.open(key, lease)
		}
	case eventCall:
		return s.replayCall(r)
	case eventReplayed:
		e := s.execs[r.uvarint()]
		if e == nil {
			return fmt.Errorf("replay of an unknown execution: %w", ErrWire)
		}
		e.at[uint32(r.uvarint())]++
	case eventTimeUp:
		s.TimeUp(r.uvarint())
	case eventCancel:
		s.Cancel(r.uvarint())
	case eventEnd, eventLeave, eventLose:
		e := s.execs[r.uvarint()]
		switch {
		case e == nil:
			return fmt.Errorf("end of an unknown execution: %w", ErrWire)
		case event == eventLose:
			s.lose(e.party)
		default:
			s.end(e, event == eventEnd)
		}
	case eventRecorded:
		key := partyKey{job: string(r.text()), task: int64(r.uvarint())}
		succeeded := r.u8() == 1
		if p := s.parties[key]; p != nil {
			s.recorded(p, succeeded)
		}
	case eventDeadlock:
		var waits []uint64
		for range min(r.uvarint(), uint64(len(r.b))) {
			waits = append(waits, r.uvarint())
		}
		s.failDeadlocked(waits, string(r.text()))
	default:
		return fmt.Errorf("event %d: %w", event, ErrWire)
	}
	return nil
}

func (s *Space) replayCall(r *reader) error {
	e, thread := s.execs[r.uvarint()], uint32(r.uvarint())
	replay, key := r.u8() == 1, string(r.text())
	c, err := ParseCall(slices.Clone(r.take(int(r.u32()))))
	if e == nil || err != nil {
		return fmt.Errorf("call of an execution: %w", ErrWire)
	}
	w := Wait{Call: c, party: e.party, exec: e, thread: thread, key: key, replay: replay}
	if c.Op == OpMake || c.Op == OpRemove {
		s.manage(&w)
		return nil
	}
	o, bad := lookUp(&c)
	if bad != nil {
		return fmt.Errorf("call: %w", bad)
	}
	w.sum = sumOf(&w.Call)
	if replay {
		e.at[thread]++
	}
	s.make(&w, o)
	return nil
}
