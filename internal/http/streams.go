package http

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/allcores/allcores/internal/http/live"
	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// recheckEvery is how often the users of open streams are checked.
const recheckEvery = 10 * time.Second

// newStreams makes the site's streams. Their news come from the store's feed,
// those of queues and nodes from the cluster's reader.
func (s *Site) newStreams() *live.Streams {
	return live.New(live.Options{
		News: func(w live.Watch) (news <-chan struct{}, end func()) {
			if w.Cluster {
				watch := s.cluster.watch()
				return watch.C, watch.close
			}
			watch := s.store.Feed.Watch
			if w.Outcomes {
				watch = s.store.Feed.WatchOutcomes
			}
			sub := watch(w.Job)
			return sub.C, sub.Close
		},
		Ready:  s.store.Ready,
		Users:  s.usersBy,
		Logger: s.log,
		Bounds: live.Bounds{Write: live.WriteTimeout, Recheck: recheckEvery},
	})
}

// usersBy returns the users that the credentials sign in now.
func (s *Site) usersBy(ctx context.Context, credentials []live.Credential) (map[live.Credential]jobs.User, error) {
	users := make(map[live.Credential]jobs.User, len(credentials))
	for some := range slices.Chunk(credentials, store.MaxCredentials) {
		asked := make([]store.Credential, len(some))
		for i, c := range some {
			asked[i] = c.(store.Credential)
		}
		found, err := s.store.UsersBy(ctx, asked)
		if err != nil {
			return nil, err
		}
		for credential, user := range found {
			users[credential] = user
		}
	}
	return users, nil
}

// subscriberOf returns the user of r as the subscriber of a stream.
func subscriberOf(r *http.Request) live.Subscriber {
	secret, session := secretOf(r)
	c := callOf(r.Context())
	return live.Subscriber{Credential: store.NewCredential(secret, session), User: *c.user, RequestID: c.id}
}

// serveStream answers with what write writes.
func (s *Site) serveStream(w http.ResponseWriter, r *http.Request, write live.WriteFunc) {
	s.endStream(w, r, s.streams.Serve(w, r, subscriberOf(r), nil, write))
}

// serveEvents answers with a stream of events. A token in wake makes write look
// for something to send.
func (s *Site) serveEvents(w http.ResponseWriter, r *http.Request, wake chan struct{}, write live.WriteFunc) {
	s.endStream(w, r, s.streams.ServeEvents(w, r, subscriberOf(r), wake, write))
}

// endStream handles the error of a stream. Before anything was sent, the error is
// the answer; later it breaks the connection, so that the client cannot take a
// part for the whole.
func (s *Site) endStream(w http.ResponseWriter, r *http.Request, err error) {
	if err == nil {
		return
	}
	known := errors.Is(err, jobs.ErrNotFound) || errors.Is(err, jobs.ErrConflict) || errors.Is(err, jobs.ErrUnavailable)
	if known && callOf(r.Context()).unanswered() {
		w.Header().Del("Content-Type")
		s.refuse(w, r, err)
		return
	}
	s.log.Debug("stream cut", "request", requestID(r.Context()), "path", r.URL.Path, "error", err)
	panic(http.ErrAbortHandler)
}
