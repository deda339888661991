package http

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/http/live"
	"github.com/allcores/allcores/views"
)

// TestHubOutlivesAPanic checks that a page that cannot be rendered ends its own
// streams, and not the process.
func TestHubOutlivesAPanic(t *testing.T) {
	t.Parallel()
	broken := &pageLooks{fill: func(context.Context) ([]views.Fragment, bool, error) {
		return []views.Fragment{{ID: "broken"}}, false, nil // without a component
	}}
	s := live.New(live.Options{
		Logger: slog.New(slog.DiscardHandler),
		News:   func(live.Watch) (<-chan struct{}, func()) { return nil, func() {} },
	})
	wake := make(chan struct{}, 1)
	hub := live.Hub{Key: "broken", Watch: live.Watch{Gap: time.Millisecond, Tick: time.Second}, Open: func() live.LookFunc { return broken.look }}
	reader := s.Join(hub, wake)
	defer reader.Leave()
	<-wake
	if err := reader.Err(); err == nil || !strings.Contains(err.Error(), "panic: ") || !strings.Contains(err.Error(), "fragment.go") {
		t.Error(err)
	}
}
