package python

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"
)

// A frame is a length (u32, of the body alone), a type (u8) and a body, all
// little endian. The types to the runner:
//
//	P  the program, JSON
//	T  a session begins: its environment variables, and whether its job is another, JSON
//	C  a chunk
//	K  a source to check, JSON
//
// and from it:
//
//	H  hello: version, a line break, path of the interpreter
//	L  the program is loaded, or '!' and a TaskError as JSON
//	O  outcomes of neighbouring tasks
//	I  outcomes of neighbouring tasks that gave integers of 64 bits
//	F  outcomes of neighbouring tasks that gave floats
//	o  outcomes of single tasks, as they ended
//	G  log records: how many there have been with these (i64), and what they say;
//	   neighbours of one task are one here
//	E  a chunk has ended
//	K  what is wrong with a source, JSON
const (
	frameProgram  = 'P'
	frameSession  = 'T'
	frameChunk    = 'C'
	frameCheck    = 'K'
	frameHello    = 'H'
	frameLoaded   = 'L'
	frameOutcomes = 'O'
	frameInts     = 'I'
	frameFloats   = 'F'
	frameOutcome  = 'o'
	frameLogs     = 'G'
	frameEnd      = 'E'
)

// outcomeFrames carry outcomes.
var outcomeFrames = []byte{frameOutcomes, frameInts, frameFloats, frameOutcome}

const headSize = 5

// maxFrame bounds a frame in bytes: a full chunk of outputs and one more of the
// largest.
const maxFrame = 128 << 20

// maxShort bounds, in bytes, the frames without outputs, prints or answers to a check.
const maxShort = 1 << 20

// errFrame is the error of a frame that no runner sends.
var errFrame = errors.New("a frame of it is malformed")

type frame struct {
	kind byte
	body []byte
}

// limitOf returns how many bytes a frame of a type may have; negative for a type
// that no runner sends.
func limitOf(kind byte) int {
	switch kind {
	case frameHello, frameLoaded, frameEnd:
		return maxShort
	case frameOutcomes, frameInts, frameFloats, frameOutcome, frameLogs, frameCheck:
		return maxFrame
	}
	return -1
}

// readFrame reads the next frame. It calls bound(true) before it waits for the rest
// of a frame that has begun, and bound(false) afterwards; reading fails with errLate
// when it takes too long. The error is io.EOF at the end, also within a frame, as a
// process may die while it writes; else it wraps errFrame.
func readFrame(r *bufio.Reader, bound func(bool)) (frame, error) {
	if _, err := r.Peek(1); err != nil {
		return frame{}, io.EOF
	}
	bounded := false
	defer func() {
		if bounded {
			bound(false)
		}
	}()
	fill := func(b []byte) error {
		if !bounded && r.Buffered() < len(b) {
			bounded = true
			bound(true)
		}
		if _, err := io.ReadFull(r, b); errors.Is(err, errLate) {
			return fmt.Errorf("%w: it has begun, but does not end", errFrame)
		} else if err != nil {
			return io.EOF
		}
		return nil
	}
	var head [headSize]byte
	if err := fill(head[:]); err != nil {
		return frame{}, err
	}
	size, kind := binary.LittleEndian.Uint32(head[:]), head[4]
	if limit := limitOf(kind); limit < 0 {
		return frame{}, fmt.Errorf("%w: its type is %q", errFrame, kind)
	} else if int64(size) > int64(limit) {
		return frame{}, fmt.Errorf("%w: it announces %d bytes", errFrame, size)
	}
	// Whatever length is announced, memory grows to twice what has come at most.
	const trusted = 1 << 20
	body := make([]byte, min(int(size), trusted))
	err := fill(body)
	for err == nil && len(body) < int(size) {
		have := len(body)
		body = slices.Grow(body, min(have, int(size)-have))[:min(2*have, int(size))]
		err = fill(body[have:])
	}
	if err != nil {
		return frame{}, err
	}
	return frame{kind, body}, nil
}

// appendFrame appends a frame with the body.
func appendFrame(dst []byte, kind byte, body ...[]byte) []byte {
	size := 0
	for _, b := range body {
		size += len(b)
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(size))
	dst = append(dst, kind)
	for _, b := range body {
		dst = append(dst, b...)
	}
	return dst
}

// chunkHeadSize is the length of a chunk's frame without its inputs.
const chunkHeadSize = headSize + 7*8 + 1

// appendChunk appends the head of a chunk's frame; the inputs follow.
func appendChunk(dst []byte, c *chunk) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(chunkHeadSize-headSize+len(c.Inputs)))
	dst = append(dst, frameChunk)
	u64 := binary.LittleEndian.AppendUint64
	dst = u64(dst, uint64(c.base))
	dst = u64(dst, uint64(c.Count))
	dst = u64(dst, uint64(c.First))
	dst = u64(dst, uint64(wordLimit+c.limit))
	dst = u64(dst, uint64(c.Failures))
	if c.Range == nil {
		return u64(u64(append(dst, 0), 0), 0)
	}
	return u64(u64(append(dst, 1), uint64(c.Range.Start)), uint64(c.Range.Step))
}

// A reader takes values from a frame's body.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.bad = true
		r.rest = nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) u8() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) i64() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.LittleEndian.Uint64(b))
	}
	return 0
}

func (r *reader) f64() float64 { return math.Float64frombits(uint64(r.i64())) }

// seconds takes a duration that was sent as seconds.
func (r *reader) seconds() time.Duration { return seconds(r.f64()) }

func seconds(s float64) time.Duration {
	if !(s > 0) {
		return 0
	}
	return time.Duration(min(s*1e9, math.MaxInt64/2))
}

// instant takes a time that was sent as seconds since 1970.
func (r *reader) instant() time.Time {
	whole, part := math.Modf(r.f64())
	if !(whole >= 0 && whole < 1<<40) {
		r.bad = true
		return time.Time{}
	}
	return time.Unix(int64(whole), int64(part*1e9))
}

// outcomesFrame has the outcomes of neighbouring tasks.
type outcomesFrame struct {
	kind      byte // of the frame
	first     int64
	count     int
	failed    []byte // int32 offsets from first
	durations []byte // pairs of float64: tasks, seconds each
	outputs   []byte // lines, or 8 bytes a number
}

func parseOutcomes(f frame) (outcomesFrame, error) {
	r := reader{rest: f.body}
	o := outcomesFrame{kind: f.kind, first: r.i64(), count: int(r.u32())}
	failed, pairs := int(r.u32()), int(r.u32())
	o.failed = r.take(4 * failed)
	o.durations = r.take(16 * pairs)
	o.outputs = r.rest
	if r.bad || o.count == 0 || o.count > len(o.outputs) || o.first < 0 {
		return outcomesFrame{}, errFrame
	}
	if o.kind == frameOutcomes {
		if bytes.Count(o.outputs, []byte{'\n'}) != o.count || o.outputs[len(o.outputs)-1] != '\n' || !o.marked(failed) {
			return outcomesFrame{}, errFrame
		}
	} else if len(o.outputs) != 8*o.count || failed > 0 || o.kind == frameFloats && !finite(o.outputs) {
		return outcomesFrame{}, errFrame
	}
	return o, nil
}

// marked reports whether exactly the lines of the n tasks that are listed as failed
// are those of failures.
func (o outcomesFrame) marked(n int) bool {
	marks := bytes.Count(o.outputs, []byte("\n!"))
	if o.outputs[0] == '!' {
		marks++
	}
	if marks != n {
		return false
	}
	at, rest := 0, o.outputs
	for b := o.failed; len(b) > 0; b = b[4:] {
		offset := int(int32(binary.LittleEndian.Uint32(b)))
		if offset < at || offset >= o.count {
			return false
		}
		for ; at < offset; at++ {
			rest = rest[bytes.IndexByte(rest, '\n')+1:]
		}
		end := bytes.IndexByte(rest, '\n')
		if !isFailure(rest[:end]) {
			return false
		}
		rest, at = rest[end+1:], at+1
	}
	return true
}

// finite reports whether packed floats are all numbers.
func finite(floats []byte) bool {
	const exponent = 0x7ff << 52
	for ; len(floats) >= 8; floats = floats[8:] {
		if binary.LittleEndian.Uint64(floats)&exponent == exponent {
			return false
		}
	}
	return true
}

// isFailure reports whether a line without its end is that of a failure.
func isFailure(line []byte) bool {
	return len(line) > 1 && line[0] == '!' && line[1] == '{' && json.Valid(line[1:])
}

// outcome is how one task ended.
type outcome struct {
	number int64
	spent  time.Duration
	failed bool
	line   []byte // with its end

	reported bool // it was sent on, and line is empty
}

func (r *reader) outcome() (outcome, error) {
	o := outcome{number: r.i64(), spent: r.seconds(), failed: r.u8() != 0}
	o.line = r.take(int(r.u32()))
	if r.bad || len(o.line) < 2 || bytes.IndexByte(o.line, '\n') != len(o.line)-1 {
		return outcome{}, errFrame
	}
	if text := o.line[:len(o.line)-1]; o.failed != (text[0] == '!') || o.failed && !isFailure(text) {
		return outcome{}, errFrame
	}
	return o, nil
}

// logText is text that a task printed.
type logText struct {
	number int64 // of the task, or -1
	stream string
	at     time.Time
	text   []byte
}

func (r *reader) log() (logText, error) {
	l := logText{number: r.i64(), stream: streamName(r.u8()), at: r.instant()}
	l.text = r.take(int(r.u32()))
	if r.bad {
		return logText{}, errFrame
	}
	return l, nil
}

func streamName(number byte) string {
	if number == 0 {
		return "stdout"
	}
	return "stderr"
}

// ending is the runner's report at the end of a chunk. CPU time and memory are of
// the whole life of the process.
type ending struct {
	base, done      int64
	began           time.Time
	inTasks, moving time.Duration
	user, system    time.Duration
	peak            int64
}

func parseEnding(body []byte) (ending, error) {
	r := reader{rest: body}
	e := ending{
		base: r.i64(), done: r.i64(), began: r.instant(),
		inTasks: r.seconds(), moving: r.seconds(), user: r.seconds(), system: r.seconds(),
		peak: r.i64(),
	}
	if r.bad || len(r.rest) > 0 || e.done < 0 {
		return ending{}, errFrame
	}
	return e, nil
}
