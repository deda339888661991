package python

import (
	"bytes"
	"math"
	"strings"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

// Bounds of what a task's log keeps, as in runner.
const (
	maxLine    = 64 << 10
	maxTaskLog = 256 << 10
)

// maxSources bounds how many lines without an end are kept.
const maxSources = 1024

// A source is where a line comes from: a stream, what was written past it, or, in a
// process whose tasks run at once and print in turn, the stream of one task.
type source struct {
	stream string
	raw    bool
	number int64 // 0 unless tasks run at once
}

// lineOf receives a line of the task with a number.
type lineOf func(number int64, stream, text string, at time.Time)

// An assembler makes lines of what a worker printed.
type assembler struct {
	open    map[source]*openLine
	several bool // tasks run at once
}

func newAssembler() assembler { return assembler{open: make(map[source]*openLine)} }

// An openLine is a line whose end has not come.
type openLine struct {
	number int64
	at     time.Time
	text   []byte
	cut    bool
}

// rewrite drops what a carriage return makes the part write over, so that of the
// many states of a progress bar the last one is kept. It returns the rest of the
// part. A carriage return at the end may belong to the end of the line.
func (p *openLine) rewrite(part []byte) []byte {
	if i := bytes.LastIndexByte(bytes.TrimRight(part, "\r"), '\r'); i >= 0 {
		*p = openLine{number: p.number, at: p.at, text: p.text[:0]}
		part = part[i+1:]
	} else if n := len(p.text); n > 0 && p.text[n-1] == '\r' && len(bytes.TrimRight(part, "\r")) > 0 {
		*p = openLine{number: p.number, at: p.at, text: p.text[:0]}
	}
	return part
}

// add turns text into lines and passes each on with the number of its task. It
// keeps a line without an end until the end comes, its task ends, or another task
// prints to the same source.
func (a *assembler) add(raw bool, l logText, line lineOf) {
	from := source{stream: l.stream, raw: raw}
	if a.several && !raw {
		from.number = l.number
	}
	p := a.open[from]
	if p == nil {
		if len(a.open) >= maxSources {
			a.finish(math.MaxInt64, line)
		}
		p = &openLine{}
		a.open[from] = p
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

// finish passes on the open lines of tasks below the number.
func (a *assembler) finish(below int64, line lineOf) {
	a.finishOf(func(number int64) bool { return number < below }, line)
}

// finishOf passes on the open lines of the tasks that have ended.
func (a *assembler) finishOf(ended func(number int64) bool, line lineOf) {
	for from, p := range a.open {
		if !ended(p.number) {
			continue
		}
		if len(p.text) > 0 {
			line(p.number, from.stream, lineText(p), p.at)
		}
		delete(a.open, from)
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
