package python

import (
	"bytes"
	"math"
	"strings"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

// Bounds of what is kept of a task's prints, as in runner.
const (
	maxLine    = 64 << 10
	maxTaskLog = 256 << 10
)

// readPrinted reads what the process and what it started print on a
// descriptor. The runner moves the mark only when the pipe is empty, so the
// mark that is seen *before* a read that finds something belongs to it.
func (w *worker) readPrinted(p *pipe, stream string) {
	buf := make([]byte, 16<<10)
	task, kept := int64(-1), 0
	for {
		var mark int64
		var n int
		var readErr error
		err := p.take(func(fd uintptr) bool {
			w.taking.RLock()
			mark = w.shared.oldest()
			n, readErr = readFD(int(fd), buf)
			if again(readErr) {
				w.taking.RUnlock()
				return false
			}
			return true
		})
		if err != nil {
			return
		}
		if readErr != nil || n <= 0 {
			w.taking.RUnlock()
			return
		}
		if mark >= 0 && n > 0 {
			w.shared.store(wordRaw, w.shared.load(wordRaw)+1)
		}
		if mark < 0 {
			mark = task // a straggler of the task before
		}
		if mark != task {
			task, kept = mark, 0
		}
		text := buf[:n]
		switch {
		case kept > maxTaskLog:
			p.used(n)
			w.taking.RUnlock()
			continue
		case kept+n > maxTaskLog:
			text = append(text[:maxTaskLog-kept:maxTaskLog-kept], "\n[cut: a task keeps 256 KiB of "+stream+"]\n"...)
		}
		kept += n
		p.used(n)
		w.push(event{log: &logText{number: mark, stream: stream, at: time.Now(), text: append([]byte(nil), text...)}})
		w.taking.RUnlock()
	}
}

// printing is a line of which the end has not been seen.
type openLine struct {
	number int64
	at     time.Time
	text   []byte
	cut    bool
}

// rewrite drops what a carriage return makes the part write over, as progress bars
// do: of their many states the last one is kept. It returns what is left of the
// part. One at the end may belong to the end of the line.
func (p *openLine) rewrite(part []byte) []byte {
	if i := bytes.LastIndexByte(bytes.TrimRight(part, "\r"), '\r'); i >= 0 {
		*p = openLine{number: p.number, at: p.at, text: p.text[:0]}
		part = part[i+1:]
	} else if n := len(p.text); n > 0 && p.text[n-1] == '\r' && len(bytes.TrimRight(part, "\r")) > 0 {
		*p = openLine{number: p.number, at: p.at, text: p.text[:0]}
	}
	return part
}

// A source is where a line comes from: a stream, what was written past it, or in a
// process of several tasks at once, which print in turn, a stream of one task.
type source struct {
	stream string
	raw    bool
	number int64 // 0 but with several at once
}

// maxSources bounds how many lines without an end are kept.
const maxSources = 1024

// printedLines turns text into lines and passes each on with the number of its
// task. A line without an end is kept until its end comes, its task ends, or
// another task prints the next to the same source.
func (w *worker) printedLines(raw bool, l logText, line func(number int64, stream, text string, at time.Time)) {
	from := source{stream: l.stream, raw: raw}
	if w.several && !raw {
		from.number = l.number
	}
	p := w.printed[from]
	if p == nil {
		if len(w.printed) >= maxSources {
			w.finishLines(math.MaxInt64, line)
		}
		p = &openLine{}
		w.printed[from] = p
	}
	if len(p.text) > 0 && p.number != l.number {
		line(p.number, l.stream, lineText(p), p.at)
		*p = openLine{}
	}
	rest := l.text
	for len(rest) > 0 {
		end := bytes.IndexByte(rest, '\n')
		part, ended := rest, false
		if end >= 0 {
			part, rest, ended = rest[:end], rest[end+1:], true
		} else {
			rest = nil
		}
		if len(p.text) == 0 {
			p.number, p.at = l.number, l.at
		}
		part = p.rewrite(part)
		if room := maxLine - len(p.text); len(part) > room {
			part, p.cut = part[:room], true
		}
		p.text = append(p.text, part...)
		if ended {
			p.number, p.at = l.number, l.at
			line(p.number, l.stream, lineText(p), p.at)
			p.text, p.cut = p.text[:0], false
		}
	}
}

// finishLines passes on the lines without an end of tasks below the number.
func (w *worker) finishLines(below int64, line func(number int64, stream, text string, at time.Time)) {
	for from, p := range w.printed {
		if p.number >= below {
			continue
		}
		if len(p.text) > 0 {
			line(p.number, from.stream, lineText(p), p.at)
		}
		delete(w.printed, from)
	}
}

func lineText(p *openLine) string {
	text := strings.ToValidUTF8(string(p.text), "\uFFFD")
	text = strings.TrimRight(text, "\r")
	if p.cut {
		text += " [cut]"
	}
	return text
}

func logLine(task int64, stream, text string, at time.Time) jobs.LogLine {
	return jobs.LogLine{Task: task, Stream: stream, Line: text, At: jobs.Time{Time: at}}
}
