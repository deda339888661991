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

// Words of the memory shared with the runner; runner/__init__.py defines them.
const (
	wordHigh    = 0
	wordDirty   = 1
	wordRaw     = 2
	wordAnswers = 3
	wordUnsent  = 4
	wordSent    = 5
	wordLimit   = 8 // of 8 chunks
	wordMark    = 16
	markStep    = 8                              // one cache line
	wordBegun   = wordMark + markStep*maxThreads // of 8 chunks

	limitWords = 8

	// At the end of the memory are logRoom bytes for what was printed and is not
	// sent, and traceSize for the stack of a crash: ROOM and TRACE in shared.py.
	logRoom   = 64 << 10
	traceSize = 16 << 10
)

// sharedMemory is shared with a runner: words, which are 64-bit integers, and two
// areas of bytes. The program can write anything there, at any time.
type sharedMemory struct {
	file   *os.File
	memory []byte // the mapped file; nil where it is not sealed
	size   int
	marks  int // threads that have a mark
}

// newSharedMemory makes the memory of a process of at most that many threads, which
// run no task.
func newSharedMemory(threads int) (*sharedMemory, error) {
	size := (8*(wordBegun+limitWords)+4095)&^4095 + logRoom + traceSize
	file, sealed, err := process.Memory(size)
	if err != nil {
		return nil, err
	}
	m := &sharedMemory{file: file, size: size, marks: threads}
	if sealed {
		m.memory, err = syscall.Mmap(int(file.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
		if err != nil {
			file.Close()
			return nil, fmt.Errorf("map shared memory: %w", err)
		}
	}
	for i := range threads {
		m.store(wordMark+i*markStep, -1)
	}
	return m, nil
}

// load reads a word. One of a file that was cut is 0.
func (m *sharedMemory) load(i int) int64 {
	if m.memory != nil {
		return atomic.LoadInt64((*int64)(unsafe.Pointer(&m.memory[8*i])))
	}
	return int64(binary.NativeEndian.Uint64(m.read(8*i, 8)))
}

func (m *sharedMemory) store(i int, v int64) {
	if m.memory != nil {
		atomic.StoreInt64((*int64)(unsafe.Pointer(&m.memory[8*i])), v)
		return
	}
	m.file.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(v)), int64(8*i))
}

// read copies n bytes from an offset on. Bytes that a cut file lacks are zero.
func (m *sharedMemory) read(at, n int) []byte {
	if m.memory != nil {
		return bytes.Clone(m.memory[at : at+n])
	}
	b := make([]byte, n)
	m.file.ReadAt(b, int64(at))
	return b
}

// mark returns the number of the task that thread i runs, or -1.
func (m *sharedMemory) mark(i int) int64 { return m.load(wordMark + i*markStep) }

// oldest returns the lowest number of a running task, or -1.
func (m *sharedMemory) oldest() int64 {
	low := int64(-1)
	for i := range m.marks {
		if mark := m.mark(i); mark >= 0 && (low < 0 || mark < low) {
			low = mark
		}
	}
	return low
}

// unsent returns what the process had printed when it died but not sent, without
// those of the first received records that are still there.
func (m *sharedMemory) unsent(received int64) []logText {
	room := m.read(m.size-traceSize-logRoom, logRoom)
	r := reader{rest: room[:min(max(m.load(wordUnsent), 0), logRoom)]}
	var logs []logText
	for n := m.load(wordSent); len(r.rest) > 0; n++ {
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

// trace returns what Python's faulthandler wrote about the crash of the process.
func (m *sharedMemory) trace() string {
	room := m.read(m.size-traceSize, traceSize)
	if end := bytes.IndexByte(room, 0); end >= 0 {
		room = room[:end]
	}
	return string(room)
}

// handedOver closes the file once the process has it, where it is mapped here.
func (m *sharedMemory) handedOver() {
	if m.memory != nil {
		m.file.Close()
	}
}

// close frees the memory.
func (m *sharedMemory) close() {
	if m.memory != nil {
		syscall.Munmap(m.memory)
	}
	m.file.Close()
}
