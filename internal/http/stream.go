package http

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

// A streamFunc writes an answer of unknown length. ctx ends with the request or
// when the site drains.
type streamFunc func(ctx context.Context, w *streamWriter) error

// Bounds of a stream. writeTimeout is for each piece: a client that reads
// nothing for so long is cut off.
const (
	writeTimeout = 30 * time.Second
	streamBuffer = 64 << 10
)

// A streamWriter is a buffered answer whose client must keep reading.
type streamWriter struct {
	*bufio.Writer
	header http.Header   // of an answer that has not begun
	flush  func() error  // sends what has left the buffer
	wake   chan struct{} // sent a token when there may be something to tell; nil where nothing does
}

// push sends what is buffered to the client.
func (w *streamWriter) push() error {
	if err := w.Writer.Flush(); err != nil {
		return err
	}
	return w.flush()
}

// A timedWriter gives each write a deadline.
type timedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

func (w timedWriter) Write(b []byte) (int, error) {
	if err := w.control.SetWriteDeadline(time.Now().Add(w.timeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return w.ResponseWriter.Write(b)
}

// serveStream runs write in the handler and sees to the stream's end. An error in the middle
// breaks the connection, so that the client cannot take a part for the whole;
// before anything was sent it is the answer.
func (s *Site) serveStream(w http.ResponseWriter, r *http.Request, wake chan struct{}, write streamFunc) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	control := http.NewResponseController(w)
	stream := &streamWriter{
		Writer: bufio.NewWriterSize(timedWriter{w, control, s.writeTimeout}, streamBuffer),
		header: w.Header(), flush: control.Flush, wake: wake,
	}
	defer s.usher.admit(newGuest(r, wake, cancel))()
	if r.Method == http.MethodHead {
		// Only the headers are wanted, and the body might never end.
		stream.Writer.Reset(io.Discard)
		cancel()
	}
	err := write(ctx, stream)
	if err == nil {
		err = stream.push()
	}
	if err == nil || r.Method == http.MethodHead {
		// The next request on the connection has its own deadlines.
		_ = control.SetWriteDeadline(time.Time{})
		return
	}
	known := errors.Is(err, jobs.ErrNotFound) || errors.Is(err, jobs.ErrConflict) || errors.Is(err, jobs.ErrUnavailable)
	if known && callOf(r.Context()).unanswered() {
		w.Header().Del("Content-Type")
		s.refuse(w, r, err)
		return
	}
	s.log.Debug("stream cut", "request", requestID(r.Context()), "path", r.URL.Path, "error", err)
	panic(http.ErrAbortHandler)
}

// A watch says when to look again.
type watch struct {
	job   string        // whose news count; empty for any
	fleet bool          // news of queues and nodes count instead
	gap   time.Duration // between looks at least
	tick  time.Duration // between looks at most: news are missed while the database is away
}

// newsOf is sent a token when there are news of what is watched, until end is
// called.
func (s *Site) newsOf(wt watch) (news <-chan struct{}, end func()) {
	if wt.fleet {
		w := s.fleet.watch()
		return w.C, w.close
	}
	sub := s.store.Feed.Watch(wt.job)
	return sub.C, sub.Close
}

// errDone ends a watch in order.
var errDone = errors.New("nothing further will happen")

// follow calls look at once and then whenever there may be something new, until
// it returns errDone, another error, or ctx ends. While the database is away it
// goes on trying. It is for streams that each have read up to a place of their
// own; those that show the same share a hub.
func (s *Site) follow(ctx context.Context, wt watch, look func() error) error {
	news, end := s.newsOf(wt)
	defer end()
	tick := time.NewTicker(wt.tick)
	defer tick.Stop()
	for {
		err := look()
		switch {
		case errors.Is(err, errDone):
			return nil
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, jobs.ErrUnavailable):
			s.log.Debug("stream waits for the database", "error", err)
		case err != nil:
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wt.gap):
		}
		select {
		case <-ctx.Done():
			return nil
		case <-news:
		case <-tick.C:
		}
	}
}
