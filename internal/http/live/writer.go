package live

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

// A WriteFunc writes an answer of unknown length. ctx ends with the request or
// when the server drains.
type WriteFunc func(ctx context.Context, w *Writer) error

// WriteTimeout is the default bound of each write: a client that reads nothing
// for so long is cut off.
const WriteTimeout = 30 * time.Second

const writeBuffer = 64 << 10

// A Writer is a buffered answer whose client must keep reading.
type Writer struct {
	*bufio.Writer
	Header http.Header   // of an answer that has not begun; nil for events
	Wake   chan struct{} // is sent a token when there may be something to send; nil if nothing does that

	flush func() error // sends what has left the buffer
}

// Push sends what is buffered to the client.
func (w *Writer) Push() error {
	if err := w.Flush(); err != nil {
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

// Serve runs write in the handler. wake may be nil. After an error the caller must
// break the connection, so that the client cannot take a part for the whole,
// unless nothing has been sent yet.
func (s *Streams) Serve(w http.ResponseWriter, r *http.Request, sub Subscriber, wake chan struct{}, write WriteFunc) error {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	control := http.NewResponseController(w)
	out := &Writer{
		Writer: bufio.NewWriterSize(timedWriter{w, control, s.Bounds.Write}, writeBuffer),
		Header: w.Header(), Wake: wake, flush: control.Flush,
	}
	defer s.admit(&subscription{Subscriber: sub, end: cancel, wake: wake})()
	if r.Method == http.MethodHead {
		// Only the headers are wanted, and the body might never end.
		out.Reset(io.Discard)
		cancel()
	}
	err := write(ctx, out)
	if err == nil {
		err = out.Push()
	}
	if err != nil && r.Method != http.MethodHead {
		return err
	}
	// The next request on the connection has its own deadlines.
	_ = control.SetWriteDeadline(time.Time{})
	return nil
}

// ErrDone ends a Follow in order.
var ErrDone = errors.New("nothing further will happen")

// Follow calls look at once and then on news, until look returns ErrDone, another
// error, or ctx ends. look returns how much it has found. News after a silence make it
// look at once; under load its looks get further apart, so that each finds more. While
// the database is away it goes on trying. It is for streams that each have read up to
// a place of their own; streams that show the same share a hub.
func (s *Streams) Follow(ctx context.Context, watch Watch, look func() (found int, err error)) error {
	news, end := s.options.News(watch)
	defer end()
	s.following.Add(1)
	defer s.following.Add(-1)
	tick := time.NewTicker(watch.Tick)
	defer tick.Stop()
	var gap loadGap
	for {
		began := time.Now()
		found, err := look()
		switch {
		case errors.Is(err, ErrDone):
			return nil
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, jobs.ErrUnavailable):
			s.log.Debug("stream waits for the database", "error", err)
		case err != nil:
			return err
		}
		least := max(watch.Gap, time.Since(began), s.followGap())
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(gap.after(found, least)):
		}
		select {
		case <-ctx.Done():
			return nil
		case <-news:
		case <-tick.C:
		}
	}
}

// followGap is the least gap of streams that share the database.
func (s *Streams) followGap() time.Duration {
	return min(time.Duration(s.following.Load())*followShare, maxShare)
}
