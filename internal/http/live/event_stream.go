package live

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

// EventGap is the time between changes that a stream of events sends under load: at
// most 4 a second.
const EventGap = 250 * time.Millisecond

// silence is the greatest time without a byte, so that no proxy closes a stream.
const silence = 15 * time.Second

// These keep a silent stream open: a comment, which scripts in a page never see, or
// for those an event.
const (
	comment = ":\n\n"
	still   = "event: still\ndata:\n\n"
)

// An eventStream writes server-sent events.
type eventStream struct {
	*Writer
	last      int64 // id of the last event
	sent      time.Time
	keepAlive string // is sent after a silence
}

// newEventStream begins a stream and sends a comment, so that the client knows
// that it is connected. The ids go on from the last one that the client has seen,
// and follow the clock, so that they grow across connections and servers too.
func newEventStream(w *Writer, keepAlive, lastID string) (*eventStream, error) {
	e := &eventStream{Writer: w, keepAlive: keepAlive}
	if n, err := strconv.ParseInt(lastID, 10, 64); err == nil && n > 0 && n < 1<<53-1<<32 {
		e.last = n
	}
	return e, e.sign(comment)
}

// send writes one event. A stream of several pages names the page in a line
// before the data.
func (e *eventStream) send(m Message, page string) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "event: %s\n", m.Event)
	if m.Numbered {
		e.last = max(e.last+1, time.Now().UnixMilli())
		fmt.Fprintf(&b, "id: %d\n", e.last)
	}
	if page != "" {
		fmt.Fprintf(&b, "data: %s\n", page)
	}
	if _, err := e.Write(b.Bytes()); err != nil {
		return err
	}
	_, err := e.Write(m.Data)
	return err
}

// sign sends at once what shows that the stream is open.
func (e *eventStream) sign(text string) error {
	if _, err := e.WriteString(text); err != nil {
		return err
	}
	e.sent = time.Now()
	return e.Push()
}

// Events that a stream of pages sends beside the pages' fragments.
var (
	databaseAway = NewMessage("status", false, []byte("away"))
	databaseBack = NewMessage("status", false, []byte("back"))
	pageMissing  = NewMessage("gone", false, nil)
	pageOver     = NewMessage("end", false, nil)
)

// WriteEvents returns what writes the events of a hub, with ids that go on from
// lastID.
func (s *Streams) WriteEvents(h Hub, lastID string) WriteFunc {
	return func(ctx context.Context, w *Writer) error {
		e, err := newEventStream(w, comment, lastID)
		if err != nil {
			return err
		}
		reader := s.Join(h, w.Wake)
		defer reader.Leave()
		return s.sendAll(ctx, e, false, reader)
	}
}

// WritePages returns what writes the fragments of pages, and whether the database
// is away and a page does not exist. The readers have joined with the wake of the
// stream; they leave at its end.
func (s *Streams) WritePages(readers ...*Reader) WriteFunc {
	return func(ctx context.Context, w *Writer) error {
		defer LeaveAll(readers)
		e, err := newEventStream(w, still, "")
		if err != nil {
			return err
		}
		return s.sendAll(ctx, e, true, readers...)
	}
}

// sendAll sends what the readers get until all have got their last, or ctx ends.
func (s *Streams) sendAll(ctx context.Context, e *eventStream, pages bool, readers ...*Reader) error {
	silent := time.NewTimer(silence)
	defer silent.Stop()
	var sends pace
	away, held := false, false
	for {
		wrote := false
		if now := s.database.isAway(); pages && now != away {
			status := databaseBack
			if now {
				status = databaseAway
			}
			if err := e.send(status, ""); err != nil {
				return err
			}
			away, wrote = now, true
		}
		over := true
		for _, r := range readers {
			n, err := e.sendNews(r, pages)
			if err != nil {
				return err
			}
			wrote = wrote || n > 0
			over = over && r.over
		}
		if wrote {
			if err := e.Push(); err != nil {
				return err
			}
			e.sent = time.Now()
		}
		if over {
			return nil
		}
		if wrote {
			// A stream that was held up sends no more in a second than others.
			sends.done(e.sent, EventGap, held)
			select {
			case <-time.After(time.Until(sends.next(EventGap))):
			case <-ctx.Done():
			}
			if held = wanted(e.Wake, nil); held {
				continue
			}
		}
		held = false
		silent.Reset(max(silence-time.Since(e.sent), 0))
		select {
		case <-ctx.Done():
			return nil
		case <-e.Wake:
		case <-silent.C:
			if err := e.sign(e.keepAlive); err != nil {
				return err
			}
		}
	}
}

// sendNews sends the news of one reader, and returns how many events that is.
func (e *eventStream) sendNews(r *Reader, pages bool) (int, error) {
	if r.over {
		return 0, nil
	}
	messages, last, err := r.news()
	switch {
	case errors.Is(err, ErrUnread), errors.Is(err, jobs.ErrUnavailable):
		return 0, nil
	case pages && errors.Is(err, jobs.ErrNotFound):
		messages, last = []Message{pageMissing}, true
	case err != nil:
		return 0, err
	case pages && last:
		messages = append(slices.Clip(messages), pageOver)
	}
	for _, m := range messages {
		if err := e.send(m, r.Page); err != nil {
			return 0, err
		}
	}
	r.over = last
	return len(messages), nil
}
