package http

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Bounds of a request's body, in bytes. They hold before the user is known. Only
// addresses that read a body while it arrives have none.
const (
	maxSpecBytes  = 32 << 20 // of a submission
	maxFormBytes  = 64 << 20 // of the form of a new job without a file
	maxLoginBytes = 16 << 10 // of a sign-in, which anyone may send
	maxOtherBytes = 4 << 20
	bodyTimeout   = 2 * time.Minute
)

// Bounds of what is read and discarded of a body after the answer to it.
const (
	maxDrained   = 1 << 30
	drainTimeout = 30 * time.Second
	drainIdle    = 5 * time.Second // without a byte
)

// bodyLimit returns how many bytes r's body may have; 0 for any number.
func bodyLimit(r *http.Request) int64 {
	switch path := r.URL.Path; {
	case takesStream(r), takesBlob(r):
		return 0
	case path == "/login" || path == "/logout":
		return maxLoginBytes
	case path == apiPrefix+"/jobs":
		return maxSpecBytes
	case path == "/jobs/new":
		return maxFormBytes
	}
	return maxOtherBytes
}

// takesStream reports whether a request's body may be of any length: inputs for
// an open job, or the form of a new job, which may have a file in it.
func takesStream(r *http.Request) bool {
	if r.Method != http.MethodPost {
		return false
	}
	return isAPI(r) && strings.HasSuffix(r.URL.Path, "/tasks") ||
		r.URL.Path == "/jobs/new" && strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data")
}

// tooLarge returns errTooLarge with a message that names the limit and what to do.
func tooLarge(path string, limit int64) error {
	message := fmt.Sprintf("The request's body is larger than %d MiB, the limit of this address.", limit>>20)
	if limit < 1<<20 {
		message = fmt.Sprintf("The request's body is larger than %d KiB, the limit of this address.", limit>>10)
	}
	switch path {
	case apiPrefix + "/jobs":
		message += " Submit the job with inputs {\"open\": true} and send its inputs to POST " + apiPrefix + "/jobs/{id}/tasks, which takes any number."
	case "/jobs/new":
		message += " Give the inputs as a file, which may be of any length."
	}
	return explained(fmt.Errorf("%w: more than %d bytes", errTooLarge, limit), errTooLarge, message)
}

// limitBody bounds the size of a body and the time that it may take to arrive, and
// answers as answerEarly does.
func (s *Site) limitBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answerEarly(w, r, s.bodyTimeout, s.streams.Draining(), next)
	})
}

// answerEarly runs h. If h answers before the body's end, answerEarly sends the
// answer and reads the rest of the body, so that the client gets the answer. stop
// ends the reading.
func answerEarly(w http.ResponseWriter, r *http.Request, timeout time.Duration, stop context.Context, h http.Handler) {
	if r.Body == nil || r.Body == http.NoBody {
		h.ServeHTTP(w, r)
		return
	}
	b := &body{
		ReadCloser: r.Body, connection: http.NewResponseController(w),
		path: r.URL.Path, limit: bodyLimit(r), length: r.ContentLength, expects: r.Header.Get("Expect") != "",
	}
	if b.limit > 0 {
		// The deadline holds until the body's end is reached. Without support
		// there is no connection that could be held.
		_ = b.connection.SetReadDeadline(time.Now().Add(timeout))
	} else {
		b.patience = timeout
	}
	r.Body = b
	early := &earlyWriter{ResponseWriter: w, body: b, get: r.Method == http.MethodGet || r.Method == http.MethodHead}
	h.ServeHTTP(early, r)
	if early.held {
		early.send(stop)
	}
}

// A body is a request's body. Its errors say why it could not be read.
type body struct {
	io.ReadCloser
	connection *http.ResponseController
	path       string
	limit      int64         // bytes; 0 for any number
	length     int64         // as announced; -1 where it was not
	expects    bool          // the client may wait until it is read
	patience   time.Duration // how long each piece may take; 0 where the whole has a deadline

	read int64
	err  error // the last read's
}

func (b *body) Read(p []byte) (int, error) {
	if b.limit > 0 && (b.length > b.limit || b.read > b.limit) {
		return 0, tooLarge(b.path, b.limit)
	}
	if b.patience > 0 {
		_ = b.connection.SetReadDeadline(time.Now().Add(b.patience))
	}
	if b.limit > 0 {
		p = p[:min(int64(len(p)), b.limit+1-b.read)]
	}
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	b.err = bodyError(err)
	if b.limit > 0 && b.read > b.limit {
		return n - int(b.read-b.limit), tooLarge(b.path, b.limit)
	}
	return n, b.err
}

// bodyError maps the reasons why a body could not be read. It hides the
// connection's error: the store would take that of a body that streams into it
// for one of its own connections to the database.
func bodyError(err error) error {
	var timeout net.Error
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return err
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%w: %v", errSlowBody, err)
	}
	return fmt.Errorf("%w: %v", errBrokenBody, err)
}

// comes reports whether the client may still send.
func (b *body) comes() bool { return b.err == nil && b.read != b.length }

// drain reads on until the client has sent all, within bounds.
func (b *body) drain(stop context.Context) {
	if b.expects && b.read == 0 {
		return // the client waits to be asked for the body
	}
	until := time.Now().Add(drainTimeout)
	defer context.AfterFunc(stop, func() { _ = b.connection.SetReadDeadline(time.Now()) })()
	piece := make([]byte, 64<<10)
	for total := 0; total < maxDrained && time.Now().Before(until) && stop.Err() == nil; {
		// Without support there is no connection that could be held.
		_ = b.connection.SetReadDeadline(time.Now().Add(min(drainIdle, time.Until(until))))
		n, err := b.ReadCloser.Read(piece)
		if total += n; err != nil {
			return
		}
	}
}

// An earlyWriter buffers an answer that comes before the end of the request's body.
// Most clients read the answer only when they have sent everything: if the
// connection were closed before, they would see a reset instead. So the answer is
// sent as a whole, and then the rest of the body is read and discarded.
type earlyWriter struct {
	http.ResponseWriter
	body  *body
	get   bool // the answer to a GET may be a stream without end
	begun bool
	held  bool

	status int
	answer bytes.Buffer
}

func (w *earlyWriter) WriteHeader(status int) {
	if w.begun {
		return
	}
	w.begun = true
	if w.held = w.body.comes() && status >= 200 && (!w.get || status >= 300); w.held {
		w.status = status
		return
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *earlyWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.held {
		return w.answer.Write(p)
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *earlyWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// send sends the buffered answer, and drains the body until stop ends.
func (w *earlyWriter) send(stop context.Context) {
	// net/http would read a part of the body before it answers.
	_ = w.body.connection.EnableFullDuplex()
	h := w.Header()
	h.Set("Connection", "close")
	if w.status != http.StatusNoContent {
		h.Set("Content-Length", strconv.Itoa(w.answer.Len()))
	}
	w.ResponseWriter.WriteHeader(w.status)
	if _, err := w.answer.WriteTo(w.ResponseWriter); err != nil {
		return // the client is gone
	}
	if err := w.body.connection.Flush(); err == nil {
		w.body.drain(stop)
	}
}
