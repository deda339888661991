package shared

// maxShown is the length up to which List shows a value.
const maxShown = 4 << 10

// List describes all objects, in the order of their creation, at most limit of them.
func (s *Space) List(limit int) []Info {
	waiting := s.waitingFor()
	list := make([]Info, 0, min(len(s.names), limit))
	for _, name := range s.names[:min(len(s.names), limit)] {
		obj := s.objects[name]
		i := s.info(obj, waiting[name])
		if b := obj.base(); b.bytes <= maxShown {
			if v := obj.show(); len(v) <= maxShown {
				i.Value = v
			}
		}
		if i.Value == nil {
			i.Value = null
		}
		list = append(list, i)
	}
	return list
}

// Read describes one object with its whole value. It reports false where there is none.
func (s *Space) Read(name string) (Info, bool) {
	obj := s.objects[name]
	if obj == nil {
		return Info{}, false
	}
	i := s.info(obj, s.waitingFor()[name])
	i.Value = obj.show()
	return i, true
}

func (s *Space) waitingFor() map[string]int {
	waiting := make(map[string]int)
	for _, w := range s.waits {
		waiting[w.Call.Name]++
	}
	return waiting
}

func (s *Space) info(obj object, waiting int) Info {
	b := obj.base()
	i := Info{Name: b.name, Kind: b.kind, Size: b.params.Size, Type: b.params.Type, Items: b.items, Bytes: b.bytes, Waiting: waiting}
	if m := mutexOf(obj); m != nil && m.owner != nil {
		i.Holder = m.owner.party.String()
	}
	return i
}

// mutexOf returns the lock of a lock or a condition, or nil.
func mutexOf(obj object) *mutex {
	switch obj := obj.(type) {
	case *lock:
		return &obj.mutex
	case *condition:
		return &obj.mutex
	}
	return nil
}

// Size returns the bytes and the number of all items, and the bytes of the journals.
func (s *Space) Size() (bytes, items, journals int64) { return s.bytes, s.items, s.journals }

// Idle reports whether no execution runs and nobody waits.
func (s *Space) Idle() bool { return len(s.execs) == 0 && len(s.waits) == 0 }
