package live

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"
)

// EventType is the media type of a stream of events.
const EventType = "text/event-stream"

// Bounds of a stream of events; there may be ten thousand of them.
const (
	// eventBuffer is small: events come in one piece, which many streams share.
	eventBuffer = 128
	// eventWindow is how much the system holds for a client that does not read.
	// (Linux takes twice of it, for its own needs.)
	eventWindow = 32 << 10
	// endTimeout is how long a stream that is ended may take for its last piece.
	endTimeout = 2 * time.Second
)

// ServeEvents answers with a stream of events. A token in wake makes write look
// for something to send. The stream outlives the handler on a connection of its
// own: most of the memory that a stream needs would be what net/http keeps for the
// request. Only where the connection cannot be taken over the handler stays, and
// the error is that of Serve.
func (s *Streams) ServeEvents(w http.ResponseWriter, r *http.Request, sub Subscriber, wake chan struct{}, write WriteFunc) error {
	w.Header().Set("Content-Type", EventType)
	w.Header().Set("X-Accel-Buffering", "no") // else nginx delays events
	conn := takeOver(w, r)
	if conn == nil {
		return s.Serve(w, r, sub, wake, write)
	}
	ctx, cancel := context.WithCancel(context.Background())
	leave := s.admit(&subscription{Subscriber: sub, wake: wake, end: func() {
		cancel()
		_ = conn.SetWriteDeadline(time.Now().Add(endTimeout)) // it may be closed already
	}})
	id, path, chunked := sub.RequestID, r.URL.Path, r.ProtoAtLeast(1, 1)
	go func() {
		defer leave()
		defer conn.Close()
		defer cancel()
		if err := s.writeEvents(ctx, conn, chunked, wake, write); err != nil {
			s.log.Debug("stream cut", "request", id, "path", path, "error", err)
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0) // drops what the client has not read
			}
		}
	}()
	go func() {
		// A client sends nothing more, so this waits until it is gone.
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			cancel()
		}
	}()
	return nil
}

// takeOver sends the header and takes the connection over from net/http. It
// returns nil where that is not possible.
func takeOver(w http.ResponseWriter, r *http.Request) net.Conn {
	if r.Method != http.MethodGet || r.ProtoMajor != 1 { // HTTP/2 has one connection for many answers
		return nil
	}
	w.Header().Set("Connection", "close")
	w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(w)
	if err := control.Flush(); err != nil {
		return nil // the handler finds out why
	}
	conn, _, err := control.Hijack()
	if err != nil {
		return nil
	}
	return conn
}

// writeEvents runs write on the connection. A panic must not end the process,
// which runs tasks too.
func (s *Streams) writeEvents(ctx context.Context, conn net.Conn, chunked bool, wake chan struct{}, write WriteFunc) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v", cause)
			s.log.Error("write events", "error", err, "stack", string(debug.Stack()))
		}
	}()
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(eventWindow) // an error means that the client is gone, which writing finds out
	}
	rest := answerWriter{conn, chunked, s.Bounds.Write}
	w := &Writer{Writer: bufio.NewWriterSize(rest, eventBuffer), Wake: wake, flush: func() error { return nil }}
	if err := write(ctx, w); err != nil {
		return err
	}
	if err := w.Push(); err != nil {
		return err
	}
	return rest.end()
}

// An answerWriter writes the rest of an answer on its connection, and gives each
// write a deadline. Answers of HTTP/1.1 are in chunks; older ones go on until the
// connection is closed.
type answerWriter struct {
	conn    net.Conn
	chunked bool
	timeout time.Duration
}

var lineEnd = []byte("\r\n")

func (w answerWriter) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil // an empty chunk is the last
	}
	if err := w.conn.SetWriteDeadline(time.Now().Add(w.timeout)); err != nil {
		return 0, err
	}
	if !w.chunked {
		return w.conn.Write(b)
	}
	size := append(strconv.AppendInt(nil, int64(len(b)), 16), lineEnd...)
	chunk := net.Buffers{size, b, lineEnd}
	if _, err := chunk.WriteTo(w.conn); err != nil {
		return 0, err
	}
	return len(b), nil
}

// end marks the answer as complete.
func (w answerWriter) end() error {
	if !w.chunked {
		return nil
	}
	if err := w.conn.SetWriteDeadline(time.Now().Add(min(w.timeout, endTimeout))); err != nil {
		return err
	}
	_, err := w.conn.Write([]byte("0\r\n\r\n"))
	return err
}
