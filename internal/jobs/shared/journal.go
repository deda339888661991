package shared

import (
	"encoding/binary"
	"hash/crc32"
)

// A journal has the answers to the calls of one thread of a task, by ordinal. It is
// one text, so that a million short answers take little more than their bytes.
type journal struct {
	text  []byte
	marks []int // where each markEvery-th entry begins
	n     int   // entries
}

const markEvery = 16

// An entry is a call of a journal: u64 sum, u8 class, uvarint length, answer.
type entry struct {
	sum    uint64
	class  class
	large  bool // the answer was not kept
	answer []byte
	size   int // bytes of the entry
}

// largeAnswer is from how many bytes on the answer of a read is not kept.
const largeAnswer = 4 << 10

const largeMark = 0x80

func (j *journal) add(sum uint64, c class, a Answer) (bytes int) {
	if j.n%markEvery == 0 {
		j.marks = append(j.marks, len(j.text))
	}
	before := len(j.text)
	j.text = binary.LittleEndian.AppendUint64(j.text, sum)
	if c == reads && len(a.Value) > largeAnswer {
		j.text = append(j.text, byte(c)|largeMark, 0)
	} else {
		size := 1 + len(a.Value)
		if a.Err != nil {
			size = 2 + len(a.Err.Kind) + len(a.Err.Message)
		}
		j.text = append(j.text, byte(c))
		j.text = binary.AppendUvarint(j.text, uint64(size))
		j.text = a.Append(j.text)
	}
	j.n++
	return len(j.text) - before
}

// at returns the entry of an ordinal below n.
func (j *journal) at(ordinal int) entry {
	at := j.marks[ordinal/markEvery]
	for range ordinal % markEvery {
		at += j.read(at).size
	}
	return j.read(at)
}

func (j *journal) read(at int) entry {
	r := reader{b: j.text[at:]}
	e := entry{sum: r.u64()}
	c := r.u8()
	e.class, e.large = class(c&^largeMark), c&largeMark != 0
	e.answer = r.text()
	e.size = len(j.text) - at - len(r.b)
	return e
}

// trim forgets the entries after the last change. It returns how many bytes they had.
func (j *journal) trim() int {
	keep, end := 0, 0
	for at, i := 0, 0; i < j.n; i++ {
		e := j.read(at)
		at += e.size
		if e.class == changes {
			keep, end = i+1, at
		}
	}
	freed := len(j.text) - end
	j.text, j.n, j.marks = j.text[:end:end], keep, j.marks[:(keep+markEvery-1)/markEvery]
	return freed
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sumOf identifies what a call asks for: everything but its parameters and timeout.
func sumOf(c *Call) uint64 {
	var head [600]byte
	b := append(head[:0], c.Kind...)
	b = append(b, 0)
	b = append(b, c.Op...)
	b = append(b, 0)
	b = append(b, c.Name...)
	size := uint32(len(b))
	for _, a := range c.Args {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(a)))
		size += uint32(len(a))
	}
	sum := crc32.Update(0, castagnoli, b)
	for _, a := range c.Args {
		sum = crc32.Update(sum, castagnoli, a)
	}
	return uint64(sum)<<32 | uint64(size)
}
