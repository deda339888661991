package live

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"
)

// TestStreamOutlivesAPanic checks that a panic in a stream is an error of that
// stream.
func TestStreamOutlivesAPanic(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	s := New(Options{Logger: slog.New(slog.DiscardHandler), Bounds: Bounds{Write: time.Second}})
	err := s.writeEvents(t.Context(), server, true, nil, func(context.Context, *Writer) error { panic("broken") })
	if err == nil || err.Error() != "panic: broken" {
		t.Error(err)
	}
}
