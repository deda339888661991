package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// Pace of server-sent events.
const (
	eventGap     = 250 * time.Millisecond // between changes: at most 4 a second
	commentEvery = 15 * time.Second       // so that nobody on the way closes a quiet stream
)

// An eventStream writes server-sent events.
type eventStream struct {
	*streamWriter
	last int64 // id of the last event
	sent time.Time
}

// newEventStream begins a stream. Its ids go on from the last one that the
// client has seen, and follow the clock, so that they grow across connections
// and servers too.
func newEventStream(w *streamWriter, lastID string) *eventStream {
	w.enter()
	w.header.Set("Content-Type", eventStreamType)
	w.header.Set("X-Accel-Buffering", "no") // nginx would hold events back
	e := &eventStream{streamWriter: w, sent: time.Now()}
	if n, err := strconv.ParseInt(lastID, 10, 64); err == nil && n > 0 && n < 1<<53-1<<32 {
		e.last = n
	}
	return e
}

// send writes one event and pushes it out. Data must not contain carriage
// returns, which end a line of an event as line feeds do; JSON has none.
func (e *eventStream) send(name string, data []byte, numbered bool) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "event: %s\n", name)
	if numbered {
		e.last = max(e.last+1, time.Now().UnixMilli())
		fmt.Fprintf(&b, "id: %d\n", e.last)
	}
	for line := range bytes.SplitSeq(data, []byte{'\n'}) {
		b.WriteString("data: ")
		b.Write(line)
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	if _, err := e.Write(b.Bytes()); err != nil {
		return err
	}
	e.sent = time.Now()
	return e.push()
}

// idle keeps a quiet stream open.
func (e *eventStream) idle() error {
	if time.Since(e.sent) < commentEvery {
		return nil
	}
	if _, err := e.WriteString(":\n\n"); err != nil {
		return err
	}
	e.sent = time.Now()
	return e.push()
}

// begin sends the headers, so that the client knows that it is connected.
func (e *eventStream) begin() error {
	if _, err := e.WriteString(":\n\n"); err != nil {
		return err
	}
	return e.push()
}

// LastEventID is where a stream of events goes on.
type LastEventID struct {
	LastID string `header:"Last-Event-ID" doc:"Ids go on from here; browsers send it when they reconnect."`
}

// jobEvents streams a job: as it is now, then on each change, until it has
// ended.
func (s *Site) jobEvents(ctx context.Context, in *struct {
	JobPath
	LastEventID
}) (streamFunc, error) {
	if _, err := s.one(ctx, in.ID); err != nil {
		return nil, err
	}
	viewer := store.As(callOf(ctx).user)
	return func(ctx context.Context, w *streamWriter) error {
		e := newEventStream(w, in.LastID)
		if err := e.begin(); err != nil {
			return err
		}
		var last []byte
		look := func() error {
			job, err := s.store.Job(ctx, viewer, in.ID)
			if errors.Is(err, jobs.ErrNotFound) { // it was deleted
				return firstError(e.send("end", []byte("null"), true), errDone)
			}
			if err != nil {
				return err
			}
			if err := s.explainAll(ctx, []*jobs.Job{job}, false); err != nil {
				return err
			}
			text, err := json.Marshal(job)
			if err != nil {
				return fmt.Errorf("encode job: %w", err)
			}
			if !bytes.Equal(text, last) {
				if err := e.send("job", text, true); err != nil {
					return err
				}
				last = text
			}
			if job.State.Ended() {
				return firstError(e.send("end", text, true), errDone)
			}
			return nil
		}
		return s.follow(ctx, watch{job: in.ID, gap: eventGap, tick: time.Second}, look, e.idle)
	}, nil
}

// firstError is err, or otherwise where there is none.
func firstError(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// Bounds of what the stream of all jobs looks at. Jobs that begin and end
// between two looks are found among the newest.
const (
	newestSeen = 50
	activeSeen = 1000
)

var activeStates = []jobs.State{jobs.Open, jobs.Queued, jobs.Running, jobs.Paused}

// allEvents streams every job that the caller may see and that changes, and for
// admins queues and nodes.
func (s *Site) allEvents(ctx context.Context, in *LastEventID) (streamFunc, error) {
	user := callOf(ctx).user
	return func(ctx context.Context, w *streamWriter) error {
		f := fleetEvents{site: s, viewer: store.As(user), admin: user.Role.Allows(jobs.Admin), out: newEventStream(w, in.LastID)}
		if err := f.out.begin(); err != nil {
			return err
		}
		return s.follow(ctx, watch{gap: eventGap, tick: time.Second}, func() error { return f.look(ctx) }, f.out.idle)
	}, nil
}

// fleetEvents finds out what changed since the last look.
type fleetEvents struct {
	site   *Site
	viewer store.Viewer
	admin  bool
	out    *eventStream

	newest  string                 // id of the newest job that was seen
	known   map[string]fingerprint // of what is active, or was among the newest
	machine map[string]fingerprint // of queues and nodes
	looked  time.Time              // at queues and nodes
}

// A fingerprint is what was sent last of something.
type fingerprint struct {
	text   string
	active bool
}

func (f *fleetEvents) look(ctx context.Context) error {
	list, err := f.changedJobs(ctx)
	if err != nil {
		return err
	}
	if err := f.site.explainAll(ctx, list, false); err != nil {
		return err
	}
	known := make(map[string]fingerprint, len(list))
	slices.SortFunc(list, func(a, b *jobs.Job) int { return strings.Compare(a.ID, b.ID) })
	for _, job := range list {
		if known[job.ID], err = f.send("job", f.known[job.ID], job); err != nil {
			return err
		}
		p := known[job.ID]
		p.active = !job.State.Ended()
		known[job.ID] = p
		f.newest = max(f.newest, job.ID)
	}
	f.known = known
	if f.admin && time.Since(f.looked) >= time.Second {
		return f.lookAtFleet(ctx)
	}
	return nil
}

// changedJobs reads the jobs that may have changed: the active ones, those
// that were, and those that are new.
func (f *fleetEvents) changedJobs(ctx context.Context) ([]*jobs.Job, error) {
	list, _, err := f.site.store.Jobs(ctx, f.viewer, store.Filter{States: activeStates, Limit: activeSeen})
	if err != nil {
		return nil, err
	}
	seen := make(map[string]bool, len(list))
	for _, job := range list {
		seen[job.ID] = true
	}
	add := func(job *jobs.Job) {
		if !seen[job.ID] {
			seen[job.ID] = true
			list = append(list, job)
		}
	}
	for before, first := "", true; ; first = false {
		page, next, err := f.site.store.Jobs(ctx, f.viewer, store.Filter{Before: before, Limit: newestSeen})
		if err != nil {
			return nil, err
		}
		for _, job := range page {
			if first || job.ID > f.newest {
				add(job)
			}
		}
		// At first the newest page is enough; later every page of new jobs.
		if next == "" || f.newest == "" || next <= f.newest || len(list) > 2*activeSeen {
			break
		}
		before = next
	}
	for id, was := range f.known {
		if !was.active || seen[id] {
			continue
		}
		job, err := f.site.store.Job(ctx, f.viewer, id)
		if errors.Is(err, jobs.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		add(job)
	}
	return list, nil
}

func (f *fleetEvents) lookAtFleet(ctx context.Context) error {
	now, err := f.site.fleet.now(ctx)
	if err != nil {
		return err
	}
	known := make(map[string]fingerprint, len(now.queues)+len(now.nodes))
	for _, q := range now.queues {
		if known["queue "+q.Name], err = f.send("queue", f.machine["queue "+q.Name], q); err != nil {
			return err
		}
	}
	for _, n := range now.nodes {
		if known["node "+n.ID], err = f.send("node", f.machine["node "+n.ID], n); err != nil {
			return err
		}
	}
	f.machine, f.looked = known, time.Now()
	return nil
}

// send sends v if it differs from what was sent before.
func (f *fleetEvents) send(name string, before fingerprint, v any) (fingerprint, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return before, fmt.Errorf("encode %s: %w", name, err)
	}
	if string(text) == before.text {
		return before, nil
	}
	return fingerprint{text: string(text)}, f.out.send(name, text, true)
}
