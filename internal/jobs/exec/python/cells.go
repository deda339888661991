package python

import (
	"bytes"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/allcores/allcores/internal/jobs/exec/process"
)

// Cells of the memory shared with the runner; runner says what they mean.
const (
	cellHigh    = 0
	cellDirty   = 1
	cellRaw     = 2
	cellAnswers = 3
	cellLimit   = 8 // of 8 chunks
	cellMark    = 16
	markStep    = 8 // one cache line

	limitCells = 8

	// traceSize is how many bytes at the end of the memory are room for the
	// stack of a process that crashes; TRACE in cells.py.
	traceSize = 16 << 10
)

// cells are 64-bit integers in memory shared with a runner.
type cells struct {
	file   *os.File
	memory []byte
	marks  int // threads that have a mark
}

// newCells makes the cells of a process of that many threads at most. No task
// is in hand.
func newCells(threads int) (*cells, error) {
	size := (8*(cellMark+markStep*threads)+4095)&^4095 + traceSize
	file, err := process.Memory(size)
	if err != nil {
		return nil, err
	}
	memory, err := syscall.Mmap(int(file.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("map shared memory: %w", err)
	}
	c := &cells{file: file, memory: memory, marks: threads}
	for i := range threads {
		c.store(cellMark+i*markStep, -1)
	}
	return c, nil
}

func (c *cells) at(i int) *int64 { return (*int64)(unsafe.Pointer(&c.memory[8*i])) }

func (c *cells) load(i int) int64     { return atomic.LoadInt64(c.at(i)) }
func (c *cells) store(i int, v int64) { atomic.StoreInt64(c.at(i), v) }

// mark is the number of the task that thread i has in hand, or -1.
func (c *cells) mark(i int) int64 { return c.load(cellMark + i*markStep) }

// oldest is the lowest number in hand, or -1.
func (c *cells) oldest() int64 {
	low := int64(-1)
	for i := range c.marks {
		if m := c.mark(i); m >= 0 && (low < 0 || m < low) {
			low = m
		}
	}
	return low
}

// trace is what Python's faulthandler wrote about the crash of the process.
func (c *cells) trace() string {
	room := c.memory[len(c.memory)-traceSize:]
	if end := bytes.IndexByte(room, 0); end >= 0 {
		room = room[:end]
	}
	return string(room)
}

// close frees the memory; the file is closed already, or again.
func (c *cells) close() {
	syscall.Munmap(c.memory)
	c.file.Close()
}
