package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
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
	header  http.Header
	control *http.ResponseController
	clients *atomic.Int64 // streams of server-sent events that are open
	counted bool          // among them
}

// enter counts the stream as one of server-sent events, until it leaves.
func (w *streamWriter) enter() {
	if !w.counted {
		w.counted = true
		w.clients.Add(1)
	}
}

func (w *streamWriter) leave() {
	if w.counted {
		w.clients.Add(-1)
	}
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

// serveStream runs write and sees to the stream's end. An error in the middle
// breaks the connection, so that the client cannot take a part for the whole.
func (s *Site) serveStream(w http.ResponseWriter, r *http.Request, write streamFunc) {
	ctx, cancel := s.untilDrain(r.Context())
	defer cancel()
	ctx, signedOut := s.untilSignedOut(ctx, r)
	defer signedOut()
	control := http.NewResponseController(w)
	stream := &streamWriter{
		Writer: bufio.NewWriterSize(timedWriter{w, control, s.writeTimeout}, streamBuffer),
		header: w.Header(), control: control, clients: &s.counters.events,
	}
	defer stream.leave()
	if r.Method == http.MethodHead {
		// Only the headers are wanted, and the body might never end.
		stream.Writer.Reset(io.Discard)
		ctx, cancel = context.WithCancel(ctx)
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
	s.log.Debug("stream cut", "request", requestID(r.Context()), "path", r.URL.Path, "error", err)
	panic(http.ErrAbortHandler)
}

// recheckEvery is how often a stream makes sure that who opened it is still let
// in.
const recheckEvery = 10 * time.Second

// untilSignedOut is ctx, cancelled also soon after whoever sent r is not let in
// any more, or has another role. Its second result must be called.
func (s *Site) untilSignedOut(ctx context.Context, r *http.Request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	user := callOf(r.Context()).user
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(s.recheckEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			// While the database is away nobody can be asked; those go on.
			now, err := s.recognise(r.WithContext(ctx))
			if errors.Is(err, errUnauthorized) || err == nil && *now != *user {
				cancel()
			}
		}
	}()
	return ctx, func() { cancel(); <-done }
}

// A watch says when a stream looks again.
type watch struct {
	job   string        // whose news count; empty for any
	fleet bool          // news of queues and nodes count instead
	gap   time.Duration // between looks at least
	tick  time.Duration // between looks at most: news are missed while the database is away
}

// errDone ends a watch in order.
var errDone = errors.New("nothing further will happen")

// follow calls look at once and then whenever there may be something new, until
// it returns errDone, another error, or ctx ends. While the database is away it
// goes on trying. idle, where given, is called when so much time has passed
// since the last look or idle that the connection should be seen to live.
func (s *Site) follow(ctx context.Context, wt watch, look func() error, idle func() error) error {
	var news <-chan struct{}
	if wt.fleet {
		watch := s.fleet.watch()
		defer watch.close()
		news = watch.C
	} else {
		sub := s.store.Feed.Watch(wt.job)
		defer sub.Close()
		news = sub.C
	}
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
		if idle != nil {
			if err := idle(); err != nil {
				return fmt.Errorf("keep stream open: %w", err)
			}
		}
		if wt.gap > 0 {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(wt.gap):
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-news:
		case <-tick.C:
		}
	}
}
