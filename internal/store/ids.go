package store

import (
	"crypto/rand"
	"encoding/binary"
	"sync"
	"time"

	"github.com/google/uuid"
)

// NewID returns a fresh id: a UUIDv7 (RFC 9562) by this node's clock.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

// NewJobID returns a fresh id of a job: a UUIDv7 by the database's clock, as the last
// heartbeats have read it. Jobs are listed in the order of their ids, whichever node
// made them, and were created at the time in their ids.
func (s *Store) NewJobID() string { return s.ids.next(time.Now()).String() }

// createdAt returns the time in a job's id, in whole milliseconds.
func createdAt(id string) time.Time {
	return time.Unix(uuid.MustParse(id).Time().UnixTime()).Truncate(time.Millisecond)
}

// idClock makes growing ids by a clock that is wrong by a known offset.
type idClock struct {
	mu     sync.Mutex
	offset time.Duration // of the database's clock from this node's
	last   int64         // the last id's time, in 1/4096 ms since 1970
}

// maxIDLead is how far ids may run ahead of the clock, so that they grow although
// it was set back a little.
const maxIDLead = time.Second

// read takes a reading of the database's clock between two of this node's. It changes
// the offset as little as they require, so that a slow answer changes nothing where
// both clocks agree.
func (c *idClock) read(sent, received, database time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset = min(max(c.offset, database.Sub(received)), database.Sub(sent))
}

// next returns an id. RFC 9562, 6.2, method 3: twelve bits are a fraction of the
// millisecond.
func (c *idClock) next(now time.Time) (id uuid.UUID) {
	const perMilli = 4096
	c.mu.Lock()
	ns := now.Add(c.offset).UnixNano()
	t := ns/1e6*perMilli + ns%1e6*perMilli/1e6
	if t <= c.last && c.last-t < maxIDLead.Milliseconds()*perMilli {
		t = c.last + 1
	}
	c.last = t
	c.mu.Unlock()
	rand.Read(id[8:]) // never fails
	binary.BigEndian.PutUint64(id[:8], uint64(t/perMilli)<<16|7<<12|uint64(t%perMilli))
	id[8] = id[8]&0x3f | 0x80
	return id
}
