package python

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/allcores/allcores/internal/jobs/executor/process"
)

// Cells of the memory shared with the runner; runner says what they mean.
const (
	wordHigh    = 0
	wordDirty   = 1
	wordRaw     = 2
	wordAnswers = 3
	wordUnsent  = 4
	wordSent    = 5
	wordLimit   = 8 // of 8 chunks
	wordMark    = 16
	markStep    = 8 // one cache line

	limitWords = 8

	// At the end of the memory are logRoom bytes for what was printed and is not
	// sent, and traceSize for the stack of a process that crashes: ROOM and TRACE in
	// shared.py.
	logRoom   = 64 << 10
	traceSize = 16 << 10
)

// cells are 64-bit integers in memory shared with a runner. The program that it
// runs can write there whatever it likes, at any time.
type sharedMemory struct {
	file   *os.File
	memory []byte // the mapped file; nil where it is not sealed
	size   int
	marks  int // threads that have a mark
}

// newCells makes the cells of a process of that many threads at most. No task
// is in hand.
func newSharedMemory(threads int) (*sharedMemory, error) {
	size := (8*(wordMark+markStep*threads)+4095)&^4095 + logRoom + traceSize
	file, sealed, err := process.Memory(size)
	if err != nil {
		return nil, err
	}
	c := &sharedMemory{file: file, size: size, marks: threads}
	if sealed {
		c.memory, err = syscall.Mmap(int(file.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
		if err != nil {
			file.Close()
			return nil, fmt.Errorf("map shared memory: %w", err)
		}
	}
	for i := range threads {
		c.store(wordMark+i*markStep, -1)
	}
	return c, nil
}

// load reads a cell. One of a file that was cut is 0.
func (c *sharedMemory) load(i int) int64 {
	if c.memory != nil {
		return atomic.LoadInt64((*int64)(unsafe.Pointer(&c.memory[8*i])))
	}
	return int64(binary.NativeEndian.Uint64(c.read(8*i, 8)))
}

func (c *sharedMemory) store(i int, v int64) {
	if c.memory != nil {
		atomic.StoreInt64((*int64)(unsafe.Pointer(&c.memory[8*i])), v)
		return
	}
	c.file.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(v)), int64(8*i))
}

// read copies n bytes from an offset on. What a file that was cut lacks is zero.
func (c *sharedMemory) read(at, n int) []byte {
	if c.memory != nil {
		return bytes.Clone(c.memory[at : at+n])
	}
	b := make([]byte, n)
	c.file.ReadAt(b, int64(at))
	return b
}

// mark is the number of the task that thread i has in hand, or -1.
func (c *sharedMemory) mark(i int) int64 { return c.load(wordMark + i*markStep) }

// oldest is the lowest number in hand, or -1.
func (c *sharedMemory) oldest() int64 {
	low := int64(-1)
	for i := range c.marks {
		if m := c.mark(i); m >= 0 && (low < 0 || m < low) {
			low = m
		}
	}
	return low
}

// unsent is what the process had printed when it died but not sent. received is
// how many records had come; those of them that lie there are left out.
func (c *sharedMemory) unsent(received int64) []logText {
	room := c.read(c.size-traceSize-logRoom, logRoom)
	r := reader{rest: room[:min(max(c.load(wordUnsent), 0), logRoom)]}
	var logs []logText
	for n := c.load(wordSent); len(r.rest) > 0; n++ {
		l, err := r.log()
		if err != nil {
			break // it died while it wrote that
		}
		if n >= received {
			logs = append(logs, l)
		}
	}
	return logs
}

// trace is what Python's faulthandler wrote about the crash of the process.
func (c *sharedMemory) trace() string {
	room := c.read(c.size-traceSize, traceSize)
	if end := bytes.IndexByte(room, 0); end >= 0 {
		room = room[:end]
	}
	return string(room)
}

// shared closes the file once the process has it, where it is mapped here.
func (c *sharedMemory) handedOver() {
	if c.memory != nil {
		c.file.Close()
	}
}

// close frees the memory.
func (c *sharedMemory) close() {
	if c.memory != nil {
		syscall.Munmap(c.memory)
	}
	c.file.Close()
}
