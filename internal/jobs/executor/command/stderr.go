package command

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/allcores/allcores/internal/jobs"
)

// Bounds of what is kept of a command's standard error, in bytes. The end has the
// larger share, as errors come last.
const (
	maxLine    = 64 << 10 // longer lines are split
	keptHead   = 64 << 10
	keptTail   = 192 << 10
	lastLines  = 5 // of a failure's message
	maxMessage = 2000
)

// A stderrLog turns what a command writes to standard error into lines. It
// passes on the first keptHead bytes as they come, and the last keptTail bytes
// at the end.
type stderrLog struct {
	emit func(line string, at time.Time)
	each func(line string) // is called for every line, unless nil

	held    []byte // of a line without its end
	head    int    // bytes passed on
	tail    []stderrLine
	kept    int // bytes in tail
	dropped int64
	last    []string // the last lines, for the failure's message
}

type stderrLine struct {
	text string
	at   time.Time
}

// add takes bytes as they come.
func (r *stderrLog) add(b []byte) {
	for len(b) > 0 {
		end := bytes.IndexByte(b, '\n')
		part := b
		if end >= 0 {
			part = b[:end]
		}
		if room := maxLine - len(r.held); len(part) > room {
			r.held = append(r.held, part[:room]...)
			b = b[room:]
			r.split()
			continue
		}
		r.held = append(r.held, part...)
		if end < 0 {
			return
		}
		b = b[end+1:]
		r.line(r.held)
		r.held = r.held[:0]
	}
}

// split passes on a line that is too long, up to the last whole character.
func (r *stderrLog) split() {
	end := len(r.held)
	for i := 1; i < utf8.UTFMax && i < end; i++ {
		if utf8.RuneStart(r.held[end-i]) {
			if !utf8.FullRune(r.held[end-i:]) {
				end -= i
			}
			break
		}
	}
	r.line(r.held[:end])
	r.held = append(r.held[:0], r.held[end:]...)
}

// end passes on what is left.
func (r *stderrLog) end() {
	if len(r.held) > 0 {
		r.line(r.held)
	}
	if r.dropped > 0 {
		r.emit(fmt.Sprintf("[cut: %s left out; a task keeps the first %d and the last %d KiB of stderr]", jobs.ByteSize(r.dropped), keptHead>>10, keptTail>>10), r.tail[0].at)
	}
	for _, line := range r.tail {
		r.emit(line.text, line.at)
	}
}

func (r *stderrLog) line(b []byte) {
	now, size := time.Now(), len(b)+1
	s := strings.TrimSuffix(text(b), "\r")
	if r.each != nil {
		r.each(s)
	}
	r.remember(s)
	if len(r.tail) == 0 && r.head+size <= keptHead {
		r.head += size
		r.emit(s, now)
		return
	}
	r.tail, r.kept = append(r.tail, stderrLine{s, now}), r.kept+len(s)+1
	drop := 0
	for ; r.kept > keptTail; drop++ {
		r.kept -= len(r.tail[drop].text) + 1
		r.dropped += int64(len(r.tail[drop].text) + 1)
	}
	r.tail = slices.Delete(r.tail, 0, drop)
}

// remember keeps a line for the message. Of a line that overwrites itself, such as a
// progress bar, it keeps what remains visible.
func (r *stderrLog) remember(s string) {
	s = strings.TrimRight(s, "\r \t")
	s = s[strings.LastIndexByte(s, '\r')+1:]
	if s == "" && len(r.last) == 0 {
		return
	}
	if over := len(s) - maxMessage; over > 0 {
		s = "…" + strings.ToValidUTF8(s[over:], "")
	}
	r.last = append(r.last, s)
	filled := 0
	for i := len(r.last) - 1; i >= 0; i-- {
		if r.last[i] != "" {
			filled++
		}
		if filled > lastLines || len(r.last)-i > 2*lastLines {
			r.last = slices.Delete(r.last, 0, i+1)
			break
		}
	}
}

// message returns the last lines, at most maxMessage bytes of them. The very last line
// comes first, as lists of failures show that.
func (r *stderrLog) message() string {
	end := len(r.last) - 1
	for end >= 0 && r.last[end] == "" {
		end--
	}
	if end < 0 {
		return ""
	}
	begin, size := end, len(r.last[end])
	for begin > 0 && size+len(r.last[begin-1])+1 <= maxMessage {
		begin--
		size += len(r.last[begin]) + 1
	}
	if before := strings.Trim(strings.Join(r.last[begin:end], "\n"), "\n"); before != "" {
		return r.last[end] + jobs.LinesBefore + before
	}
	return r.last[end]
}
