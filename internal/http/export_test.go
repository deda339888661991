package http

import "time"

// SetWriteTimeout changes how long a client may read nothing. It must be called
// before the streams that it is for.
func (s *Site) SetWriteTimeout(d time.Duration) { s.streams.Bounds.Write = d }

// SetBodyTimeout changes how long a body may take to arrive.
func (s *Site) SetBodyTimeout(d time.Duration) { s.bodyTimeout = d }

// SetRecheck changes how often the users of open streams are checked. It must be
// called before the streams that it is for.
func (s *Site) SetRecheck(d time.Duration) { s.streams.Bounds.Recheck = d }

// Watched reports whether queues and nodes are read for watches.
func (s *Site) Watched() bool { return s.cluster.watched() }

// Streams returns how many streams are open, and how many hubs they share.
func (s *Site) Streams() (open, hubs int) {
	open, _, hubs = s.streams.Counts()
	return open, hubs
}

// Looks makes the hub of a key look, and returns how often it has looked.
func (s *Site) Looks(key string) int { return s.streams.Looks(key) }

// Recheck checks the users of open streams at once.
func (s *Site) Recheck() { s.streams.Recheck() }

// InferFormat returns the format and the separator of inferFormat.
func InferFormat(asked, name, head string) (kind string, separator byte) {
	f := inferFormat(asked, name, []byte(head))
	return f.kind, f.separator
}
