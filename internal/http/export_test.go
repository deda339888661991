package web

import "time"

// SetWriteTimeout changes how long a client may read nothing. It must be called
// before the streams that it is for.
func (s *Site) SetWriteTimeout(d time.Duration) { s.writeTimeout = d }

// SetBodyTimeout changes how long a body may take to arrive.
func (s *Site) SetBodyTimeout(d time.Duration) { s.bodyTimeout = d }

// SetRecheck changes how often a stream makes sure that who opened it is let in.
// It must be called before the streams that it is for.
func (s *Site) SetRecheck(d time.Duration) { s.recheckEvery = d }

// Watched reports whether queues and nodes are read because somebody watches.
func (s *Site) Watched() bool { return s.fleet.watched() }
