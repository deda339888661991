package web

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// A streamFunc writes an answer of unknown length. ctx ends with the request or
// when the site drains.
type streamFunc func(ctx context.Context, w *streamWriter) error

// Bounds of a stream. writeTimeout is for each piece: a client that reads
// nothing for so long is cut off.
const (
	writeTimeout = 30 * time.Second
	streamBuffer = 64 << 10
	// eventBuffer is that of a stream of events, which come in one piece and are
	// shared by many streams. There may be ten thousand of them.
	eventBuffer = 128
	// eventWindow is how much of such a stream the system holds for a client
	// that does not read. (Linux takes twice of it, for its own needs.)
	eventWindow = 32 << 10
)

// A streamWriter is a buffered answer whose client must keep reading.
type streamWriter struct {
	*bufio.Writer
	header  http.Header
	control *http.ResponseController
	wake    chan struct{} // see [Site.stream]
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

// push sends what is buffered to the client.
func (w *streamWriter) push() error {
	if err := w.Writer.Flush(); err != nil {
		return err
	}
	return w.control.Flush()
}

// connKey is where the context of a request has its connection.
type connKey struct{}

// withConn is for http.Server.ConnContext.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// stream makes write the answer of the call. It begins when all handlers have
// returned: that leaves little of what they needed, their stack above all, to each
// of ten thousand streams. A stream of events has a wake, which is sent a token
// when there may be something to tell; for others it is nil.
func (s *Site) stream(ctx context.Context, wake chan struct{}, write streamFunc) {
	c := callOf(ctx)
	c.stream = func() { s.serveStream(c, wake, write) }
}

// serveStream runs write and sees to the stream's end. An error in the middle
// breaks the connection, so that the client cannot take a part for the whole.
func (s *Site) serveStream(c *call, wake chan struct{}, write streamFunc) {
	w, r := c.w, c.r
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	control := http.NewResponseController(w)
	buffer := streamBuffer
	conn, _ := r.Context().Value(connKey{}).(*net.TCPConn) // nil for what is no TCP
	if wake != nil {
		buffer = eventBuffer
		s.counters.events.Add(1)
		defer s.counters.events.Add(-1)
		if conn != nil {
			// What waits for a client that does not read is little, and is not kept
			// when the connection is cut.
			if err := errors.Join(conn.SetWriteBuffer(eventWindow), conn.SetLinger(0)); err != nil {
				s.log.Debug("bound what waits for a client", "error", err)
			}
		}
	}
	stream := &streamWriter{
		Writer: bufio.NewWriterSize(timedWriter{w, control, s.writeTimeout}, buffer),
		header: w.Header(), control: control, wake: wake,
	}
	secret, session := secretOf(r)
	defer s.usher.admit(&guest{store.NewCredential(secret, session), *c.user, cancel, wake})()
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
		if wake != nil && conn != nil {
			_ = conn.SetLinger(-1)
		}
		return
	}
	s.log.Debug("stream cut", "request", c.id, "path", r.URL.Path, "error", err)
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
