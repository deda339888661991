package store

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// channel is the name under which jobs' ids are notified.
const channel = "allcores"

// A Feed wakes those who wait for news of a job, or of any. It tells only that
// something changed: whoever is woken reads what is true now.
type Feed struct {
	cancel context.CancelFunc
	done   chan struct{}

	mu   sync.Mutex
	subs map[string]map[*Sub]struct{} // by job id; "" for those who want all
}

// A Sub is one subscription to a Feed. It must be closed.
type Sub struct {
	C    <-chan struct{} // one token when there is news since the last receive
	c    chan struct{}
	feed *Feed
	job  string
}

// Watch subscribes to news of the job, or of everything when job is empty.
func (f *Feed) Watch(job string) *Sub {
	c := make(chan struct{}, 1)
	sub := &Sub{C: c, c: c, feed: f, job: job}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.subs[job] == nil {
		f.subs[job] = make(map[*Sub]struct{})
	}
	f.subs[job][sub] = struct{}{}
	return sub
}

// Close ends the subscription.
func (s *Sub) Close() {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	delete(s.feed.subs[s.job], s)
	if len(s.feed.subs[s.job]) == 0 {
		delete(s.feed.subs, s.job)
	}
}

// Wake tells this node's subscribers of a change that was committed here,
// without waiting for the database to say so.
func (f *Feed) Wake(job string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	wake(f.subs[job])
	if job != "" {
		wake(f.subs[""])
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
	f := &Feed{cancel: cancel, done: make(chan struct{}), subs: make(map[string]map[*Sub]struct{})}
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
		f.Wake(news.Payload)
	}
}

func (f *Feed) close() {
	f.cancel()
	<-f.done
}
