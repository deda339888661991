package store_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/store"
)

func TestFeedWakesOtherNodes(t *testing.T) {
	t.Parallel()
	url := template.New(t)
	var stores []*store.Store
	for range 2 {
		s, err := store.Open(t.Context(), store.Options{URL: url, MaxConns: 4, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		stores = append(stores, s)
	}
	job := store.NewID()
	sub := stores[1].Feed.Watch(job)
	defer sub.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for { // until its connection listens
		if err := stores[0].NotifyProgress(ctx, job); err != nil {
			t.Fatal("the notification did not arrive: ", err)
		}
		select {
		case <-sub.C:
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// TestFeedOfStates checks that a job's progress does not wake those that wait for its
// end, that more inputs do not wake those that wait for outcomes, and that a feed is
// not woken by its own notifications.
func TestFeedOfStates(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	job := store.NewID()
	all, outcomes, states := s.Feed.Watch(job), s.Feed.WatchOutcomes(job), s.Feed.WatchStates(job)
	defer all.Close()
	defer outcomes.Close()
	defer states.Close()
	notify := func(payload string) {
		t.Helper()
		if _, err := s.Pool.Exec(t.Context(), `select pg_notify('allcores', $1)`, payload); err != nil {
			t.Fatal(err)
		}
	}
	hear := func(sub *store.Sub, what string) {
		t.Helper()
		select {
		case <-sub.C:
		case <-time.After(20 * time.Second):
			t.Fatalf("no notification of %s", what)
		}
	}
	// settle waits until the feed listens. The notification of a new job arrives after
	// all earlier ones.
	settle := func() {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; {
			mark := store.NewID()
			marked := s.Feed.Watch(mark)
			notify(mark)
			select {
			case <-marked.C:
				marked.Close()
				return
			case <-time.After(100 * time.Millisecond):
				marked.Close()
			}
			if time.Now().After(deadline) {
				t.Fatal("the feed does not listen")
			}
		}
	}
	settle()
	for _, sub := range []*store.Sub{all, outcomes, states} {
		select {
		case <-sub.C: // it began to listen
		default:
		}
	}
	silent := func(sub *store.Sub, what string) {
		t.Helper()
		select {
		case <-sub.C:
			t.Errorf("woken by %s", what)
		default:
		}
	}
	if err := s.NotifyProgress(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	settle()
	silent(all, "what it has notified itself")
	notify("+" + job)
	hear(all, "progress")
	hear(outcomes, "progress")
	settle()
	silent(states, "progress")
	notify("*" + job)
	hear(all, "more inputs")
	settle()
	silent(states, "more inputs")
	silent(outcomes, "more inputs")
	notify(job)
	hear(states, "the job's state")
	hear(outcomes, "the job's state")
	hear(all, "the job's state")
}
