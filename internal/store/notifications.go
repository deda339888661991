package store

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// channel is the name under which jobs' ids are notified, with progressMark
// before the id where only more of the tasks have ended.
const (
	channel      = "allcores"
	progressMark = "+"
)

// A Feed wakes those who wait for news of a job, or of any. It tells only that
// something changed: whoever is woken reads what is true now.
type Feed struct {
	cancel context.CancelFunc
	done   chan struct{}

	mu   sync.Mutex
	subs map[topic]map[*Sub]struct{}
}

// A topic is what a subscription is about.
type topic struct {
	job    string // "" for every job
	states bool   // not the progress of a job that goes on
}

// A Sub is one subscription to a Feed. It must be closed.
type Sub struct {
	C    <-chan struct{} // one token when there is news since the last receive
	c    chan struct{}
	feed *Feed
	topic
}

// Watch subscribes to news of the job, or of everything when job is empty.
func (f *Feed) Watch(job string) *Sub { return f.watch(topic{job: job}) }

// WatchStates is Watch for those who are not interested in the progress of a
// job that goes on: in most of the news, that is.
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

// Wake tells this node's subscribers of a change that was committed here,
// without waiting for the database to say so.
func (f *Feed) Wake(job string) { f.wake(job, true) }

// wake wakes those who want all news, and with states those who want no
// progress too.
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

// wakeAll is for when news may have been missed.
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
		quiet := false
		for ctx.Err() == nil {
			err := f.receive(ctx, config, func() { quiet = false })
			if ctx.Err() == nil && !quiet {
				logger.Warn("listening for news was interrupted; trying again", "error", err)
				quiet = true
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
		news, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		job, progress := strings.CutPrefix(news.Payload, progressMark)
		f.wake(job, !progress)
	}
}

func (f *Feed) close() {
	f.cancel()
	<-f.done
}
