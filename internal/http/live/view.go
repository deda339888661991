package live

import (
	"bytes"
	"context"
	"sync"
	"time"
)

// A Message is an event as many streams send it, without the id, which each
// stream has its own of.
type Message struct {
	Event    string
	Numbered bool   // has an id
	Data     []byte // as lines of the stream, with the empty line that ends them
}

// NewMessage makes the message of an event. Data must not contain carriage
// returns, which end a line of an event as line feeds do; JSON has none.
func NewMessage(event string, numbered bool, data []byte) Message {
	var b bytes.Buffer
	for line := range bytes.SplitSeq(data, []byte{'\n'}) {
		b.WriteString("data: ")
		b.Write(line)
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	return Message{event, numbered, b.Bytes()}
}

// A View is the state at one time, for all streams of a hub. It is immutable.
type View struct {
	Version int64 // from 1 on, greater than that of every earlier view that differs
	Last    bool  // nothing will change any more

	// Messages returns the messages for a stream that has sent everything up to a
	// version; 0 is a new stream.
	Messages func(since int64) ([]Message, error)

	mu   sync.Mutex
	made map[int64][]Message // by since: most streams have sent the same
}

// maxMade bounds for how many versions a view keeps the messages.
const maxMade = 8

func (v *View) since(version int64) ([]Message, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if messages, ok := v.made[version]; ok {
		return messages, nil
	}
	messages, err := v.Messages(version)
	if err == nil && len(v.made) < maxMade {
		if v.made == nil {
			v.made = make(map[int64][]Message)
		}
		v.made[version] = messages
	}
	return messages, err
}

// A LookFunc reads what is true now. It returns the same view again if nothing
// differs. Callers keep earlier views as long as they need them.
type LookFunc func(ctx context.Context) (*View, error)

// A Watch says when to look again.
type Watch struct {
	Job      string        // whose news count; empty for any job's
	Outcomes bool          // but not that it has more inputs
	Cluster  bool          // news of queues and nodes count instead
	Gap      time.Duration // between looks under load
	Tick     time.Duration // greatest time between looks: news are lost while the database is away
}

// A Hub describes the hub that a stream joins.
type Hub struct {
	Key   string // what the hub shows, and to whom
	Watch Watch
	Open  func() LookFunc // called if there is no hub of that key yet
}
