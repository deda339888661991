package http

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

// Bounds of a stream of events, of which there may be ten thousand.
const (
	// eventBuffer is small: events come in one piece, which many streams share.
	eventBuffer = 128
	// eventWindow is how much the system holds for a client that does not read.
	// (Linux takes twice of it, for its own needs.)
	eventWindow = 32 << 10
	// endTimeout is how long a stream that is ended may take for its last piece.
	endTimeout = 2 * time.Second
)

// serveEvents makes write the answer: a stream of events, which is woken by wake
// when there may be something to tell. It outlives the handler on a connection of
// its own, as most of what a stream needs would be what net/http keeps for the
// request. Only where there is no such connection the handler stays.
func (s *Site) serveEvents(w http.ResponseWriter, r *http.Request, wake chan struct{}, write streamFunc) {
	w.Header().Set("Content-Type", eventStreamType)
	w.Header().Set("X-Accel-Buffering", "no") // nginx would hold events back
	conn := takeOver(w, r)
	if conn == nil {
		s.serveStream(w, r, wake, write)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	leave := s.usher.admit(newGuest(r, wake, func() {
		cancel()
		_ = conn.SetWriteDeadline(time.Now().Add(endTimeout)) // it may be closed already
	}))
	id, path, chunked := requestID(r.Context()), r.URL.Path, r.ProtoAtLeast(1, 1)
	go func() {
		defer leave()
		defer conn.Close()
		defer cancel()
		if err := s.writeEvents(ctx, conn, chunked, wake, write); err != nil {
			s.log.Debug("stream cut", "request", id, "path", path, "error", err)
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0) // what waits for the client is not kept
			}
		}
	}()
	go func() {
		// A client sends nothing more, so this waits until it is gone.
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			cancel()
		}
	}()
}

// takeOver sends the header and takes the connection over from net/http. It is
// nil where that is not possible.
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

// writeEvents runs write on the connection. Not even a panic may end the process,
// which runs tasks too.
func (s *Site) writeEvents(ctx context.Context, conn net.Conn, chunked bool, wake chan struct{}, write streamFunc) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v", cause)
			s.log.Error("write events", "error", err, "stack", string(debug.Stack()))
		}
	}()
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(eventWindow) // a connection that is gone is noticed by writing
	}
	answer := answerWriter{conn, chunked, s.writeTimeout}
	stream := &streamWriter{Writer: bufio.NewWriterSize(answer, eventBuffer), wake: wake, flush: func() error { return nil }}
	if err := write(ctx, stream); err != nil {
		return err
	}
	if err := stream.push(); err != nil {
		return err
	}
	return answer.end()
}

// An answerWriter writes the rest of an answer on its connection, and gives each
// piece a deadline. Answers of HTTP/1.1 are in chunks, older ones go on until the
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

// end writes what says that the answer is complete.
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
