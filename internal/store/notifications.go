package store

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// channel is the channel on which jobs' ids are notified. progressMark before an id
// means that only more of the tasks have ended.
const (
	channel      = "allcores"
	progressMark = "+"
)

// A Feed wakes subscribers when a job changes. It does not say what changed:
// subscribers read the state themselves.
type Feed struct {
	cancel context.CancelFunc
	done   chan struct{}

	mu   sync.Mutex
	subs map[topic]map[*Sub]struct{}
}

// A topic selects the notifications of a subscription.
type topic struct {
	job    string // "" for every job
	states bool   // changes of state only, without the progress of a job that goes on
}

// A Sub is one subscription to a Feed. It must be closed.
type Sub struct {
	C    <-chan struct{} // a token when there was a notification since the last receive
	c    chan struct{}
	feed *Feed
	topic
}

// Watch subscribes to changes of the job, or of every job when job is empty.
func (f *Feed) Watch(job string) *Sub { return f.watch(topic{job: job}) }

// WatchStates is Watch without the progress of a job that goes on, which is most of
// the notifications.
func (f *Feed) WatchStates(job string) *Sub { return f.watch(topic{job: job, states: true}) }

func (f *Feed) watch(t topic) *Sub {
	c := make(chan struct{}, 1)
	sub := &Sub{C: c, c: c, feed: f, topic: t}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.subs[t] == nil {
		f.subs[t] = make(map[*Sub]struct{})
	}
	f.subs[t][sub] = struct{}{}
	return sub
}

// Close ends the subscription.
func (s *Sub) Close() {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	delete(s.feed.subs[s.topic], s)
	if len(s.feed.subs[s.topic]) == 0 {
		delete(s.feed.subs, s.topic)
	}
}

// Wake notifies this node's subscribers of a change that was committed here, without
// the detour through the database.
func (f *Feed) Wake(job string) { f.wake(job, true) }

// wake wakes the subscribers of Watch, and with states those of WatchStates.
func (f *Feed) wake(job string, states bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, about := range []string{job, ""} {
		wake(f.subs[topic{job: about}])
		if states {
			wake(f.subs[topic{job: about, states: true}])
		}
		if about == "" {
			return
		}
	}
}

// wakeAll wakes everyone, after notifications may have been missed.
func (f *Feed) wakeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, subs := range f.subs {
		wake(subs)
	}
}

func wake(subs map[*Sub]struct{}) {
	for sub := range subs {
		select {
		case sub.c <- struct{}{}:
		default:
		}
	}
}

func listen(config *pgx.ConnConfig, logger *slog.Logger) *Feed {
	ctx, cancel := context.WithCancel(context.Background())
	f := &Feed{cancel: cancel, done: make(chan struct{}), subs: make(map[topic]map[*Sub]struct{})}
	go func() {
		defer close(f.done)
		logged := false // the present interruption
		for ctx.Err() == nil {
			err := f.receive(ctx, config, func() { logged = false })
			if ctx.Err() == nil && !logged {
				logger.Warn("listening for notifications was interrupted; reconnecting", "error", err)
				logged = true
			}
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	}()
	return f
}

// receive listens on one connection until it fails or ctx ends.
func (f *Feed) receive(ctx context.Context, config *pgx.ConnConfig, connected func()) error {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "listen "+channel); err != nil {
		return err
	}
	connected()
	f.wakeAll()
	for {
		notification, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		job, progress := strings.CutPrefix(notification.Payload, progressMark)
		f.wake(job, !progress)
	}
}

func (f *Feed) close() {
	f.cancel()
	<-f.done
}
