package engine

import (
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

// Bounds of the log lines that are buffered to be written together.
const (
	maxLogBuffer = 64 << 10 // bytes
	maxLogWait   = 250 * time.Millisecond
)

// A logBuffer keeps log lines until they are written with the record of a chunk,
// or before it when they are many or the chunk takes long.
type logBuffer struct {
	lines []jobs.LogLine
	bytes int
	chunk int64            // of the newest update, by whose lease they are written
	due   <-chan time.Time // when they must be written; nil while there are none
}

func (b *logBuffer) add(chunk int64, lines []jobs.LogLine) {
	if len(b.lines) == 0 && len(lines) > 0 {
		b.due = time.After(maxLogWait)
	}
	b.chunk = chunk
	b.lines = append(b.lines, lines...)
	for _, line := range lines {
		b.bytes += len(line.Line)
	}
}

// full reports whether the lines must be written now.
func (b *logBuffer) full() bool { return b.bytes >= maxLogBuffer }

func (b *logBuffer) clear() { b.lines, b.bytes, b.due = nil, 0, nil }
