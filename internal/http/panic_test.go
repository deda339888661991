package http

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/views"
)

// A stream that panics is one that has failed.
func TestStreamOutlivesAPanic(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	s := &Site{log: slog.New(slog.DiscardHandler), writeTimeout: time.Second}
	err := s.writeEvents(t.Context(), server, true, nil, func(context.Context, *streamWriter) error { panic("broken") })
	if err == nil || err.Error() != "panic: broken" {
		t.Error(err)
	}
}

// A page that cannot be rendered costs its own streams, not the process.
func TestHubOutlivesAPanic(t *testing.T) {
	t.Parallel()
	broken := &pageTelling{fill: func(context.Context) ([]views.Fragment, bool, error) {
		return []views.Fragment{{ID: "broken"}}, false, nil // without a component
	}}
	view, err := (&hub{look: broken.look}).safely(t.Context())
	if view != nil || err == nil || !strings.Contains(err.Error(), "panic: ") || !strings.Contains(err.Error(), "fragment.go") {
		t.Errorf("%v, %v", view, err)
	}
}
