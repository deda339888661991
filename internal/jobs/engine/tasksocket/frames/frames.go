package frames

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Protocol is the value of the header Upgrade.
const Protocol = "allcores-shared"

// MaxRequest is the largest length of a request, in bytes. An item has at most
// 1 MiB; the rest is for operations that take several.
const MaxRequest = 8 << 20

// Lengths of the fixed parts of a frame, in bytes, without the frame's length.
const (
	requestHead = 4 + 8 + 1 + 2 + 2
	answerHead  = 4 + 1
)

// Status is the outcome of a call.
type Status byte

// The statuses of an answer.
const (
	OK     Status = 0
	Failed Status = 1
)

// A Request is a call of a task.
type Request struct {
	ID    uint32
	Task  int64
	Op    string
	Scope string // empty for the task's job
	Name  string
	Args  []byte // JSON, or empty
}

// An Answer is the result of a call.
type Answer struct {
	ID     uint32
	Status Status
	Body   []byte // JSON
}

// Errors of [ReadRequest].
var (
	// ErrTooLarge reports a request longer than MaxRequest. Its bytes have been
	// skipped, and the request has its ID; the next one can be read.
	ErrTooLarge = errors.New("a request has more than 8 MiB")
	// ErrMalformed reports bytes that are no frame. Nothing more can be read.
	ErrMalformed = errors.New("malformed frame")
)

// ReadRequest reads the next request. Its Args are newly allocated. The error is
// io.EOF when the connection ended between two requests.
func ReadRequest(r *bufio.Reader) (Request, error) {
	var head [4 + requestHead]byte
	if _, err := io.ReadFull(r, head[:4]); err != nil {
		return Request{}, err
	}
	length := int64(binary.LittleEndian.Uint32(head[:4]))
	if length < requestHead {
		return Request{}, fmt.Errorf("%w: a request of %d bytes", ErrMalformed, length)
	}
	if _, err := io.ReadFull(r, head[4:]); err != nil {
		return Request{}, unexpected(err)
	}
	q := Request{
		ID:   binary.LittleEndian.Uint32(head[4:]),
		Task: int64(binary.LittleEndian.Uint64(head[8:])),
	}
	rest := length - requestHead
	if length > MaxRequest {
		if _, err := io.CopyN(io.Discard, r, rest); err != nil {
			return Request{}, unexpected(err)
		}
		return q, ErrTooLarge
	}
	body := make([]byte, rest)
	if _, err := io.ReadFull(r, body); err != nil {
		return Request{}, unexpected(err)
	}
	op := int(head[16])
	scope := op + int(binary.LittleEndian.Uint16(head[17:]))
	name := scope + int(binary.LittleEndian.Uint16(head[19:]))
	if name > len(body) {
		return Request{}, fmt.Errorf("%w: texts of %d bytes in %d", ErrMalformed, name, len(body))
	}
	q.Op, q.Scope, q.Name, q.Args = string(body[:op]), string(body[op:scope]), string(body[scope:name]), body[name:]
	return q, nil
}

// unexpected returns io.ErrUnexpectedEOF for an end within a frame.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// AppendAnswer appends the frame of an answer to dst.
func AppendAnswer(dst []byte, a Answer) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(answerHead+len(a.Body)))
	dst = binary.LittleEndian.AppendUint32(dst, a.ID)
	dst = append(dst, byte(a.Status))
	return append(dst, a.Body...)
}

// AppendRequest appends the frame of a request to dst. It is for clients; the
// texts must fit in their lengths.
func AppendRequest(dst []byte, q Request) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(requestHead+len(q.Op)+len(q.Scope)+len(q.Name)+len(q.Args)))
	dst = binary.LittleEndian.AppendUint32(dst, q.ID)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(q.Task))
	dst = append(dst, byte(len(q.Op)))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(q.Scope)))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(q.Name)))
	dst = append(dst, q.Op...)
	dst = append(dst, q.Scope...)
	dst = append(dst, q.Name...)
	return append(dst, q.Args...)
}

// ReadAnswer reads the next answer. It is for clients.
func ReadAnswer(r *bufio.Reader) (Answer, error) {
	var head [4 + answerHead]byte
	if _, err := io.ReadFull(r, head[:4]); err != nil {
		return Answer{}, err
	}
	length := int64(binary.LittleEndian.Uint32(head[:4]))
	if length < answerHead {
		return Answer{}, fmt.Errorf("%w: an answer of %d bytes", ErrMalformed, length)
	}
	if _, err := io.ReadFull(r, head[4:]); err != nil {
		return Answer{}, unexpected(err)
	}
	body := make([]byte, length-answerHead)
	if _, err := io.ReadFull(r, body); err != nil {
		return Answer{}, unexpected(err)
	}
	return Answer{ID: binary.LittleEndian.Uint32(head[4:]), Status: Status(head[8]), Body: body}, nil
}
