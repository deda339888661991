package live

import (
	"errors"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

// A Reader is one stream's part of a hub. Only its stream uses it.
type Reader struct {
	Page string // its address, if the stream carries several pages

	hub    *hub
	wake   chan<- struct{} // is sent a token when there may be something to send
	joined time.Time
	sent   int64 // version of the view that was sent last; guarded by hub.mu
	over   bool  // everything has been sent
}

// ErrUnread reports that a hub has read nothing since the reader joined.
var ErrUnread = errors.New("nothing has been read yet")

// Join makes a reader of a hub. wake is sent a token when there may be something
// to send. Leave must be called.
func (s *Streams) Join(h Hub, wake chan<- struct{}) *Reader { return s.hubs.join(h, wake) }

// Leave removes the reader from its hub. The last reader waits for the hub to end.
func (r *Reader) Leave() {
	h := r.hub
	h.hubs.mu.Lock()
	h.mu.Lock()
	delete(h.readers, r)
	last := len(h.readers) == 0
	h.mu.Unlock()
	if last {
		h.hubs.remove(h)
	}
	h.hubs.mu.Unlock()
	if last {
		close(h.stop)
		<-h.done
	}
}

// LeaveAll removes readers from their hubs.
func LeaveAll(readers []*Reader) {
	for _, r := range readers {
		r.Leave()
	}
}

// Err returns why the stream cannot be sent now: ErrUnread when nothing has been
// read since the reader joined, [jobs.ErrNotFound] when what is watched does not
// exist, and, before the first view only, [jobs.ErrUnavailable] when it cannot be
// read now.
func (r *Reader) Err() error {
	_, _, err := r.now()
	return err
}

// now returns the view that the stream must send, and the version that it has
// sent. A new reader gets no view that was read before it joined: a page must not
// go back to what was true before it was loaded. The error is that of Err.
func (r *Reader) now() (v *View, sent int64, err error) {
	h := r.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case r.sent == 0 && h.began.Before(r.joined):
		return nil, 0, ErrUnread
	case h.err != nil && (r.sent == 0 || !errors.Is(h.err, jobs.ErrUnavailable)):
		return nil, r.sent, h.err
	}
	return h.view, r.sent, nil
}

// news returns what the stream must send now. last reports that there will be
// nothing after it. The error is that of Err.
func (r *Reader) news() (messages []Message, last bool, err error) {
	view, sent, err := r.now()
	if err != nil {
		return nil, false, err
	}
	if view.Version > sent {
		if messages, err = view.since(sent); err != nil {
			return nil, false, err
		}
		r.hub.mu.Lock()
		r.sent = view.Version
		r.hub.mu.Unlock()
	}
	return messages, view.Last, nil
}
