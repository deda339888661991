package shared

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
)

// snapshotVersion begins a snapshot.
const snapshotVersion = 1

// Snapshot appends the whole space. Events of before it are in it.
func (s *Space) Snapshot(b []byte) []byte {
	b = append(b, snapshotVersion)
	b = appendUvarints(b, s.nextExec, s.nextWait, s.orders, uint64(len(s.parties)))
	for _, key := range sortedKeys(maps.Keys(s.parties)) {
		b = s.parties[key].append(b)
	}
	b = appendUvarints(b, uint64(len(s.names)))
	for _, name := range s.names {
		obj := s.objects[name]
		b = obj.base().append(b)
		b = obj.appendTo(b)
	}
	b = s.appendPermits(b)
	b = appendUvarints(b, uint64(len(s.waits)))
	for _, id := range slices.Sorted(maps.Keys(s.waits)) {
		b = s.waits[id].append(b)
	}
	b = appendUvarints(b, uint64(len(s.keys.order)))
	for _, key := range s.keys.order {
		a := s.keys.answers[key]
		b = appendUvarints(appendText(b, key), a.sum)
		b = appendText(b, a.answer.Append(nil))
	}
	return b
}

// Restore makes a space of a snapshot.
func Restore(bounds Bounds, snapshot []byte) (*Space, error) {
	s := New(bounds)
	r := reader{b: slices.Clone(snapshot)}
	if v := r.u8(); v != snapshotVersion {
		return nil, fmt.Errorf("snapshot of version %d: %w", v, ErrWire)
	}
	s.nextExec, s.nextWait, s.orders = r.uvarint(), r.uvarint(), r.uvarint()
	for range r.length() {
		s.readParty(&r)
	}
	for range r.length() {
		c := readCommon(&r)
		obj := c.make()
		if r.bad || obj == nil {
			return nil, fmt.Errorf("snapshot of an object: %w", ErrWire)
		}
		obj.readFrom(s, &r)
		s.keep(obj)
		s.bytes, s.items = s.bytes+c.bytes, s.items+c.items
	}
	s.readPermits(&r)
	if !s.readWaits(&r) {
		return nil, fmt.Errorf("snapshot of a wait: %w", ErrWire)
	}
	for range r.length() {
		key := string(r.text())
		sum := r.uvarint()
		answer, err := ParseAnswer(r.text())
		if err != nil {
			return nil, fmt.Errorf("snapshot of an answer: %w", err)
		}
		s.journals += s.keys.add(key, keyed{sum, answer})
	}
	if r.bad || len(r.b) > 0 {
		return nil, fmt.Errorf("snapshot: %w", ErrWire)
	}
	return s, nil
}

// length reads a number of things of at least one byte each.
func (r *reader) length() uint64 {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.take(len(r.b) + 1)
		return 0
	}
	return n
}

func sortedKeys(keys iter.Seq[partyKey]) []partyKey {
	return slices.SortedFunc(keys, func(a, b partyKey) int {
		return cmp.Or(cmp.Compare(a.job, b.job), cmp.Compare(a.task, b.task), cmp.Compare(a.client, b.client))
	})
}

func (k partyKey) append(b []byte) []byte {
	return appendText(appendUvarints(appendText(b, k.job), uint64(k.task)), k.client)
}

func readPartyKey(r *reader) partyKey {
	return partyKey{job: string(r.text()), task: int64(r.uvarint()), client: string(r.text())}
}

func (p *party) append(b []byte) []byte {
	b = appendUvarints(p.partyKey.append(b), uint64(p.lease), uint64(len(p.journals)))
	for _, thread := range slices.Sorted(maps.Keys(p.journals)) {
		j := p.journals[thread]
		b = appendText(appendUvarints(b, uint64(thread), uint64(j.n)), j.text)
	}
	if p.exec == nil {
		return appendUvarints(b, 0)
	}
	b = appendUvarints(b, p.exec.number, uint64(len(p.exec.at)))
	for _, thread := range slices.Sorted(maps.Keys(p.exec.at)) {
		b = appendUvarints(b, uint64(thread), uint64(p.exec.at[thread]))
	}
	return b
}

func (s *Space) readParty(r *reader) {
	p := &party{partyKey: readPartyKey(r), lease: int64(r.uvarint())}
	s.parties[p.partyKey] = p
	for range r.length() {
		thread, n := uint32(r.uvarint()), int(r.uvarint())
		text := bytes.Clone(r.text())
		s.journals += int64(len(text))
		if p.journals == nil {
			p.journals = make(map[uint32]*journal)
		}
		p.journals[thread] = readJournal(text, n)
	}
	number := r.uvarint()
	if number == 0 {
		return
	}
	p.exec = &execution{number: number, party: p, at: make(map[uint32]int)}
	s.execs[number] = p.exec
	for range r.length() {
		thread := uint32(r.uvarint())
		p.exec.at[thread] = int(r.uvarint())
	}
}

func readJournal(text []byte, n int) *journal {
	j := &journal{text: text, n: n}
	for at, i := 0, 0; i < n && at < len(text); i++ {
		if i%markEvery == 0 {
			j.marks = append(j.marks, at)
		}
		at += j.read(at).size
	}
	return j
}

func (c *common) append(b []byte) []byte {
	b = appendText(appendText(b, c.name), c.kind)
	b = appendText(appendUvarints(b, uint64(c.params.Size)), c.params.Type)
	b = appendBool(b, c.params.Initial != nil)
	return appendUvarints(appendText(b, c.params.Initial), uint64(c.bytes), uint64(c.items))
}

func readCommon(r *reader) common {
	c := common{name: string(r.text()), kind: Kind(r.text())}
	c.params.Size, c.params.Type = int64(r.uvarint()), string(r.text())
	given, initial := r.u8() == 1, r.text()
	if given {
		c.params.Initial = initial
	}
	c.bytes, c.items = int64(r.uvarint()), int64(r.uvarint())
	return c
}

func (s *Space) appendPermits(b []byte) []byte {
	for _, key := range sortedKeys(maps.Keys(s.parties)) {
		p := s.parties[key]
		for _, name := range p.semaphores() {
			b = appendText(p.partyKey.append(append(b, 1)), name)
			b = appendUvarints(b, uint64(p.permits[s.objects[name].(*semaphore)]))
		}
	}
	return append(b, 0)
}

func (s *Space) readPermits(r *reader) {
	for r.u8() == 1 {
		p := s.parties[readPartyKey(r)]
		sem, ok := s.objects[string(r.text())].(*semaphore)
		n := int64(r.uvarint())
		if p == nil || !ok {
			r.take(len(r.b) + 1)
			return
		}
		if p.permits == nil {
			p.permits = make(map[*semaphore]int64)
		}
		p.permits[sem] = n
	}
}

func (w *Wait) append(b []byte) []byte {
	b = appendUvarints(b, w.ID, w.exec.number, uint64(w.thread), w.sum, w.order, uint64(w.stage), uint64(w.depth))
	b = appendBool(appendText(b, w.key), w.replay)
	return appendText(b, w.Call.Append(nil))
}

// readWaits reads the waits and puts them back into their objects' lists.
func (s *Space) readWaits(r *reader) bool {
	var list []*Wait
	for range r.length() {
		w := &Wait{ID: r.uvarint()}
		w.exec = s.execs[r.uvarint()]
		w.thread, w.sum, w.order = uint32(r.uvarint()), r.uvarint(), r.uvarint()
		w.stage, w.depth = uint8(r.uvarint()), int(r.uvarint())
		w.key, w.replay = string(r.text()), r.u8() == 1
		call, err := ParseCall(r.text())
		if err != nil || w.exec == nil || s.objects[call.Name] == nil {
			return false
		}
		w.Call, w.party, w.object = call, w.exec.party, s.objects[call.Name]
		w.exec.parked = append(w.exec.parked, w)
		s.waits[w.ID] = w
		list = append(list, w)
	}
	slices.SortFunc(list, func(a, b *Wait) int { return cmp.Compare(a.order, b.order) })
	for _, w := range list {
		w.object.park(s, w)
	}
	return true
}

// Waits lists the calls that wait, for who restored the space.
func (s *Space) Waits() []*Wait {
	list := slices.Collect(maps.Values(s.waits))
	slices.SortFunc(list, func(a, b *Wait) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

func (l *itemList) append(b []byte) []byte { return appendItems(b, l.items) }

func appendItems(b []byte, items []json.RawMessage) []byte {
	b = appendUvarints(b, uint64(len(items)))
	for _, item := range items {
		b = appendText(b, item)
	}
	return b
}

func readItems(r *reader) []json.RawMessage {
	var items []json.RawMessage
	for range r.length() {
		items = append(items, r.text())
	}
	return items
}

func (l *itemList) read(r *reader) {
	l.items = readItems(r)
	l.bytes = sizeOf(l.items)
}

func (q *queue) appendTo(b []byte) []byte {
	return appendUvarints(q.items.append(b), uint64(q.unfinished))
}

func (q *queue) readFrom(_ *Space, r *reader) {
	q.items.read(r)
	q.unfinished = int64(r.uvarint())
}

func (p *pipe) appendTo(b []byte) []byte {
	for i := range p.ends {
		b = appendBool(p.ends[i].items.append(b), p.ends[i].closed)
	}
	return b
}

func (p *pipe) readFrom(_ *Space, r *reader) {
	for i := range p.ends {
		p.ends[i].items.read(r)
		p.ends[i].closed = r.u8() == 1
	}
}

func (v *value) appendTo(b []byte) []byte     { return appendText(b, v.v) }
func (v *value) readFrom(_ *Space, r *reader) { v.v = r.text() }
func (a *array) appendTo(b []byte) []byte {
	return appendUvarints(appendUvarints(b, uint64(len(a.elements))), a.elements...)
}
func (l *list) appendTo(b []byte) []byte          { return appendItems(b, l.items) }
func (l *list) readFrom(_ *Space, r *reader)      { l.items = readItems(r) }
func (l *lock) appendTo(b []byte) []byte          { return l.mutex.appendTo(b) }
func (l *lock) readFrom(s *Space, r *reader)      { l.mutex.readFrom(s, r) }
func (c *condition) appendTo(b []byte) []byte     { return c.mutex.appendTo(b) }
func (e *event) appendTo(b []byte) []byte         { return appendBool(b, e.flag) }
func (e *event) readFrom(_ *Space, r *reader)     { e.flag = r.u8() == 1 }
func (m *semaphore) appendTo(b []byte) []byte     { return appendUvarints(b, uint64(m.free)) }
func (c *condition) readFrom(s *Space, r *reader) { c.mutex.readFrom(s, r) }

func (m *semaphore) readFrom(_ *Space, r *reader) { m.free = int64(r.uvarint()) }

func (a *array) readFrom(_ *Space, r *reader) {
	for range r.length() {
		a.elements = append(a.elements, r.uvarint())
	}
}

func (d *dict) appendTo(b []byte) []byte {
	b = appendUvarints(b, uint64(len(d.at)))
	for _, p := range d.pairs {
		if p.key != nil {
			b = appendText(appendText(b, p.key), p.value)
		}
	}
	return b
}

func (d *dict) readFrom(_ *Space, r *reader) {
	for range r.length() {
		key := r.text()
		d.put(pair{key, r.text()})
	}
}

func (b *barrier) appendTo(text []byte) []byte {
	text = appendUvarints(appendBool(text, b.broken), uint64(len(b.last)))
	for _, key := range b.sortedLast() {
		text = key.append(text)
	}
	return text
}

func (b *barrier) readFrom(_ *Space, r *reader) {
	b.broken = r.u8() == 1
	for range r.length() {
		if b.last == nil {
			b.last = make(map[partyKey]bool)
		}
		b.last[readPartyKey(r)] = true
	}
}
