package scopes

import (
	"context"
	"errors"
	"time"

	"github.com/allcores/allcores/internal/jobs/shared"
	"github.com/allcores/allcores/internal/store"
)

const (
	// gather is how long calls are gathered into one append while nobody waits for it.
	gather = 20 * time.Millisecond
	// maxUnwritten is how many bytes of the log may be in memory only before callers
	// wait.
	maxUnwritten = 32 << 20
	// snapshotAfter is how long the log gets at least before a snapshot replaces it.
	snapshotAfter = 8 << 20
)

// A flusher is the state of a home's log. The home's mutex guards it, but the channels.
type flusher struct {
	due    chan struct{} // holds a token when there is something to write
	urgent chan struct{} // holds one when somebody waits for it

	seq      int64                // of the last row
	appended int64                // bytes since the snapshot
	saved    int64                // bytes of the snapshot
	started  uint64               // appends begun
	written  uint64               // appends that are committed
	answers  []store.SharedAnswer // for the next append
	waiters  []flushWait
}

// A flushWait waits for an append.
type flushWait struct {
	append uint64
	done   chan struct{}
}

func newFlusher(state store.SharedState) flusher {
	return flusher{
		due: make(chan struct{}, 1), urgent: make(chan struct{}, 1),
		seq: state.Seq, appended: int64(len(state.Log)), saved: int64(len(state.Snapshot)),
	}
}

func put(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// kick has the log written soon, or at once.
func (h *home) kick(urgent bool) {
	put(h.log.due)
	if urgent {
		put(h.log.urgent)
	}
}

func (f *flusher) wakeAll() {
	for _, w := range f.waiters {
		close(w.done)
	}
	f.waiters = nil
}

// room waits while too much is in memory only.
func (h *home) room(ctx context.Context) error {
	h.mu.Lock()
	full := h.space.LogSize() > maxUnwritten && h.state == serving
	h.mu.Unlock()
	if full {
		return h.flush(ctx)
	}
	return nil
}

// flush returns when the log has all that was done so far. It returns errLost where
// another node may be the home: then what was answered here may not have happened.
func (h *home) flush(ctx context.Context) error {
	h.mu.Lock()
	target := h.log.started
	if h.space.LogSize() > 0 {
		target++ // the append that comes next has it
	}
	if h.state != serving || h.log.written >= target {
		state := h.state
		h.mu.Unlock()
		return flushed(state)
	}
	w := flushWait{target, make(chan struct{})}
	h.log.waiters = append(h.log.waiters, w)
	h.kick(true)
	h.mu.Unlock()
	select {
	case <-w.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.log.written >= target {
		return nil
	}
	return flushed(h.state)
}

// errLost is the error of a flush after the scope was lost.
var errLost = errors.New("the shared objects have another home by now")

func flushed(s homeState) error {
	if s == lost {
		return errLost
	}
	return nil
}

// run writes the log until the home ends.
func (h *home) run() {
	ctx := h.place.service.running
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.log.due:
		}
		select {
		case <-ctx.Done():
			return
		case <-h.log.urgent:
		case <-time.After(gather):
		}
		if err := h.write(ctx); err != nil {
			if ctx.Err() == nil && !errors.Is(err, errLost) && !errors.Is(err, errMoved) {
				h.place.service.Logger.Error("write the log of shared objects", "scope", h.place.scope, "error", err)
				h.abandon()
			}
			return
		}
	}
}

// write appends what is in memory only, and saves a snapshot where the log has grown
// long.
func (h *home) write(ctx context.Context) error {
	h.mu.Lock()
	if h.state != serving {
		h.mu.Unlock()
		return errMoved
	}
	h.log.seq++
	a := store.SharedAppend{
		Scope: h.at.ID, Node: h.place.service.Node, Epoch: h.at.Epoch,
		Seq: h.log.seq, Data: h.space.TakeLog(nil), Answers: h.log.answers,
	}
	h.log.answers = nil
	h.log.started++
	h.log.appended += int64(len(a.Data))
	var snapshot []byte
	if h.log.appended > max(snapshotAfter, 2*h.log.saved) {
		snapshot = h.space.Snapshot(nil)
		h.log.appended, h.log.saved = 0, int64(len(snapshot))
	}
	h.mu.Unlock()
	if a.Data == nil {
		a.Data = []byte{}
	}
	err := h.again(ctx, func(ctx context.Context) (bool, error) { return h.place.service.Store.AppendShared(ctx, a) })
	if err != nil {
		return err
	}
	h.wrote()
	if snapshot == nil {
		return nil
	}
	return h.again(ctx, func(ctx context.Context) (bool, error) {
		return h.place.service.Store.SaveShared(ctx, a, snapshot)
	})
}

// wrote wakes those who wait for the append that is committed.
func (h *home) wrote() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.log.written++
	left := h.log.waiters[:0]
	for _, w := range h.log.waiters {
		if w.append <= h.log.written {
			close(w.done)
		} else {
			left = append(left, w)
		}
	}
	h.log.waiters = left
}

// again writes under the fence, over outages. Where the fence is closed it ends the home.
func (h *home) again(ctx context.Context, f func(context.Context) (bool, error)) error {
	held := false
	err := h.place.service.again(ctx, func(ctx context.Context) (err error) {
		held, err = f(ctx)
		return err
	})
	if err != nil || held {
		return err
	}
	return h.fenced(ctx)
}

// fenced ends a home whose append was refused.
func (h *home) fenced(ctx context.Context) error {
	s := h.place.service
	exists := true
	if err := s.again(ctx, func(ctx context.Context) (err error) {
		exists, err = s.Store.SharedExists(ctx, row(h.place.scope))
		return err
	}); err != nil {
		return err
	}
	if !exists {
		h.end(removed, &shared.Error{Kind: shared.ErrRemoved, Message: "the shared objects were deleted"})
		h.place.lose(h)
		return errMoved
	}
	s.Logger.Warn("lost shared objects to another node", "scope", h.place.scope)
	h.abandon()
	return errLost
}

// abandon ends a home whose log lacks a part: tasks that saw that part run
// again.
func (h *home) abandon() {
	s := h.place.service
	h.end(lost, &shared.Error{Kind: shared.ErrUnavailable, Message: "the node has lost the shared objects; the task runs again"})
	// Before a Flush can find another backend, which knows nothing of what was lost.
	for job := range h.jobs {
		if s.Lost != nil {
			s.Lost(job)
		}
	}
	h.place.lose(h)
}

// unload writes everything and gives the scope up. It does nothing where the home is
// used meanwhile, unless the node stops.
func (h *home) unload(ctx context.Context) error {
	s := h.place.service
	for {
		if err := h.flush(ctx); err != nil {
			return err
		}
		h.mu.Lock()
		if h.state != serving {
			h.mu.Unlock()
			return nil
		}
		if h.space.LogSize() == 0 && h.log.started == h.log.written && (s.closing.Load() || h.space.Idle()) {
			break
		}
		h.mu.Unlock()
		if !s.closing.Load() {
			return nil
		}
	}
	a := store.SharedAppend{Scope: h.at.ID, Node: s.Node, Epoch: h.at.Epoch, Seq: h.log.seq}
	var snapshot []byte
	if h.log.appended > 0 {
		snapshot = h.space.Snapshot(nil)
	}
	h.endLocked(unloaded, &shared.Error{Kind: shared.ErrUnavailable, Message: "the node is stopping"})
	h.kick(true) // its flusher ends
	h.mu.Unlock()
	h.place.lose(h)
	if snapshot != nil {
		if _, err := s.Store.SaveShared(ctx, a, snapshot); err != nil {
			return err
		}
	}
	return s.Store.ReleaseShared(ctx, h.at.ID, s.Node, h.at.Epoch)
}
