package http

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

// Pace of server-sent events.
const (
	eventGap = 250 * time.Millisecond // between changes: at most 4 a second
	quietFor = 15 * time.Second       // at most, so that nobody on the way closes a stream
)

// An eventStream writes server-sent events.
type eventStream struct {
	*streamWriter
	last  int64 // id of the last event
	sent  time.Time
	quiet string // what is sent when there was nothing to send for a while
}

// What keeps a quiet stream open: a comment, which scripts in a page are not told
// of, or for those an event.
const (
	comment = ":\n\n"
	still   = "event: still\ndata:\n\n"
)

// newEventStream begins a stream, and sends something, so that the client knows
// that it is connected. Its ids go on from the last one that the client
// has seen, and follow the clock, so that they grow across connections and
// servers too.
func newEventStream(w *streamWriter, quiet, lastID string) (*eventStream, error) {
	e := &eventStream{streamWriter: w, quiet: quiet}
	if n, err := strconv.ParseInt(lastID, 10, 64); err == nil && n > 0 && n < 1<<53-1<<32 {
		e.last = n
	}
	return e, e.live(comment)
}

// write writes one event. A stream of several pages names the page in a line
// before the data.
func (e *eventStream) write(m message, page string) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "event: %s\n", m.event)
	if m.numbered {
		e.last = max(e.last+1, time.Now().UnixMilli())
		fmt.Fprintf(&b, "id: %d\n", e.last)
	}
	if page != "" {
		fmt.Fprintf(&b, "data: %s\n", page)
	}
	if _, err := e.Write(b.Bytes()); err != nil {
		return err
	}
	_, err := e.Write(m.data)
	return err
}

// live sends at once what shows that the stream is open.
func (e *eventStream) live(sign string) error {
	if _, err := e.WriteString(sign); err != nil {
		return err
	}
	e.sent = time.Now()
	return e.push()
}

// What a stream of pages tells beside the pages' fragments.
var (
	databaseAway  = newMessage("status", false, []byte("away"))
	databaseBack  = newMessage("status", false, []byte("back"))
	pageIsMissing = newMessage("gone", false, nil)
	pageIsOver    = newMessage("end", false, nil)
)

// tell sends what the seats have to tell until they have told their last, or ctx
// ends. With pages it also tells when the database goes away and comes back,
// and when there is no such page.
func (s *Site) tell(ctx context.Context, e *eventStream, pages bool, seats ...*seat) error {
	quiet := time.NewTimer(quietFor)
	defer quiet.Stop()
	away := false
	for {
		wrote := false
		if now := s.usher.isAway(); pages && now != away {
			status := databaseBack
			if now {
				status = databaseAway
			}
			if err := e.write(status, ""); err != nil {
				return err
			}
			away, wrote = now, true
		}
		over := true
		for _, seat := range seats {
			n, err := e.tellSeat(seat, pages)
			if err != nil {
				return err
			}
			wrote = wrote || n > 0
			over = over && seat.over
		}
		if wrote {
			if err := e.push(); err != nil {
				return err
			}
			e.sent = time.Now()
		}
		if over {
			return nil
		}
		if wrote {
			// Who was held up is not told more in a second than others.
			select {
			case <-time.After(eventGap):
			case <-ctx.Done():
			}
		}
		quiet.Reset(max(quietFor-time.Since(e.sent), 0))
		select {
		case <-ctx.Done():
			return nil
		case <-e.wake:
		case <-quiet.C:
			if err := e.live(e.quiet); err != nil {
				return err
			}
		}
	}
}

// tellSeat sends what one seat has to tell, and returns how many events that is.
func (e *eventStream) tellSeat(seat *seat, pages bool) (int, error) {
	if seat.over {
		return 0, nil
	}
	messages, last, err := seat.news()
	switch {
	case errors.Is(err, errUnread), errors.Is(err, jobs.ErrUnavailable):
		return 0, nil
	case pages && errors.Is(err, jobs.ErrNotFound):
		messages, last = []message{pageIsMissing}, true
	case err != nil:
		return 0, err
	case pages && last:
		messages = append(slices.Clip(messages), pageIsOver)
	}
	for _, m := range messages {
		if err := e.write(m, seat.page); err != nil {
			return 0, err
		}
	}
	seat.over = last
	return len(messages), nil
}
