package shared

// A keyed answer is the answer to an outside client's call.
type keyed struct {
	sum    uint64
	answer Answer
}

// maxKeys is how many keys of outside clients are kept; the oldest go first.
const maxKeys = 10_000

// maxKeyBytes bounds the answers that are kept for keys.
const maxKeyBytes = 16 << 20

// keyedAnswers are the answers by key, the oldest first in order.
type keyedAnswers struct {
	answers map[string]keyed
	order   []string
	bytes   int64
}

func newKeyedAnswers() keyedAnswers { return keyedAnswers{answers: make(map[string]keyed)} }

// keyOf returns the key of a call within the space.
func keyOf(w *Wait) string { return w.party.client + "\x00" + w.key }

func (k *keyedAnswers) size(key string) int64 {
	return int64(len(key) + len(k.answers[key].answer.Value) + 64)
}

// add keeps an answer. It returns by how many bytes the answers grew.
func (k *keyedAnswers) add(key string, a keyed) int64 {
	before := k.bytes
	k.answers[key] = a
	k.order = append(k.order, key)
	k.bytes += k.size(key)
	for len(k.order) > maxKeys || k.bytes > maxKeyBytes && len(k.order) > 1 {
		k.bytes -= k.size(k.order[0])
		delete(k.answers, k.order[0])
		k.order = k.order[1:]
	}
	return k.bytes - before
}

// knownKey looks for an outside call by its key.
func (s *Space) knownKey(w *Wait) (Answer, *Wait, familiarity) {
	if w.key == "" {
		return Answer{}, nil, fresh
	}
	if a, ok := s.keys.answers[keyOf(w)]; ok {
		if a.sum != w.sum {
			return Answer{Err: errorf(ErrDiffers, "the key %.40q was used for another call", w.key)}, nil, answered
		}
		return a.answer, nil, answered
	}
	for _, p := range w.exec.parked {
		if p.key == w.key {
			if p.sum != w.sum {
				return Answer{Err: errorf(ErrDiffers, "the key %.40q was used for another call", w.key)}, nil, answered
			}
			return Answer{}, p, answered
		}
	}
	return Answer{}, nil, fresh
}
