package store

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// channel is the channel on which jobs' ids are notified. A mark before an id means
// that the state of the job is as it was: outcomeMark that more of its tasks have
// ended, inputMark that it has more inputs. A slash and the tag of a feed may follow
// the id: that feed has woken its subscribers already.
const (
	channel     = "allcores"
	outcomeMark = "+"
	inputMark   = "*"
)

// A Feed wakes subscribers when a job changes. It does not say what changed:
// subscribers read the state themselves.
type Feed struct {
	cancel context.CancelFunc
	done   chan struct{}
	tag    string // of this feed's own notifications

	mu   sync.Mutex
	subs map[topic]map[*Sub]struct{}
}

// A topic selects the notifications of a subscription.
type topic struct {
	job   string // "" for every job
	least news
}

// news is what a notification is about. A subscription has its own kind and those
// after it.
type news int

const (
	inputNews   news = iota // the job has more inputs
	outcomeNews             // more of its tasks have ended
	stateNews               // its state has changed
)

// newsOf returns what the payload of a notification is about.
func newsOf(payload string) (job string, about news, tag string) {
	about = stateNews
	if rest, ok := strings.CutPrefix(payload, outcomeMark); ok {
		payload, about = rest, outcomeNews
	} else if rest, ok := strings.CutPrefix(payload, inputMark); ok {
		payload, about = rest, inputNews
	}
	job, tag, _ = strings.Cut(payload, "/")
	return job, about, tag
}

// payload is the payload of a notification that comes with a wake of f.
func (f *Feed) payload(job string, about news) string {
	mark := ""
	switch about {
	case inputNews:
		mark = inputMark
	case outcomeNews:
		mark = outcomeMark
	case stateNews:
	}
	return mark + job + "/" + f.tag
}

// A Sub is one subscription to a Feed. It must be closed.
type Sub struct {
	C    <-chan struct{} // a token when there was a notification since the last receive
	c    chan struct{}
	feed *Feed
	topic
}

// Watch subscribes to changes of the job, or of every job when job is empty.
func (f *Feed) Watch(job string) *Sub { return f.watch(topic{job, inputNews}) }

// WatchOutcomes is Watch without the inputs that are appended to an open job.
func (f *Feed) WatchOutcomes(job string) *Sub { return f.watch(topic{job, outcomeNews}) }

// WatchStates is Watch without the progress of a job that goes on, which is most of
// the notifications.
func (f *Feed) WatchStates(job string) *Sub { return f.watch(topic{job, stateNews}) }

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
func (f *Feed) Wake(job string) { f.wake(job, stateNews) }

// wake wakes the subscribers of that kind of news.
func (f *Feed) wake(job string, about news) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for least := inputNews; least <= about; least++ {
		wake(f.subs[topic{job, least}])
		if job != "" {
			wake(f.subs[topic{"", least}])
		}
	}
}

// wakeShared wakes the subscribers of WatchShared.
func (f *Feed) wakeShared(payload string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	wake(f.subs[topic{job: payload}])
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
	f := &Feed{cancel: cancel, done: make(chan struct{}), tag: NewID(), subs: make(map[topic]map[*Sub]struct{})}
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
		if strings.HasPrefix(notification.Payload, sharedMark) {
			f.wakeShared(notification.Payload)
			continue
		}
		if job, about, tag := newsOf(notification.Payload); tag != f.tag {
			f.wake(job, about)
		}
	}
}

func (f *Feed) close() {
	f.cancel()
	<-f.done
}
