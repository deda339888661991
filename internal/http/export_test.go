package http

import "time"

// SetWriteTimeout changes how long a client may read nothing. It must be called
// before the streams that it is for.
func (s *Site) SetWriteTimeout(d time.Duration) { s.writeTimeout = d }

// SetBodyTimeout changes how long a body may take to arrive.
func (s *Site) SetBodyTimeout(d time.Duration) { s.bodyTimeout = d }

// SetRecheck changes how often it is made sure that who opened a stream is let in.
// It must be called before the streams that it is for.
func (s *Site) SetRecheck(d time.Duration) { s.recheckEvery = d }

// Watched reports whether queues and nodes are read because somebody watches.
func (s *Site) Watched() bool { return s.fleet.watched() }

// Streams is how many streams are open, and how many hubs they share.
func (s *Site) Streams() (guests, hubs int) {
	s.usher.mu.Lock()
	defer s.usher.mu.Unlock()
	s.hubs.mu.Lock()
	defer s.hubs.mu.Unlock()
	return len(s.usher.guests), len(s.hubs.all)
}

// Recheck makes sure at once that who opened streams is let in.
func (s *Site) Recheck() { s.usher.recheck() }

// InferFormat is the format and the separator that inferFormat reports.
func InferFormat(asked, name, head string) (kind string, separator byte) {
	f := inferFormat(asked, name, []byte(head))
	return f.kind, f.separator
}
