package turns

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// logHandler passes on River's warnings and errors, each message at most once in
// repeatAfter: while the database is away River logs the same at every poll.
type logHandler struct {
	slog.Handler
	logged *sync.Map // message → time it was last logged
}

// repeatAfter is the shortest time between two records with one message.
const repeatAfter = 10 * time.Second

// Enabled implements slog.Handler.
func (q *logHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && q.Handler.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (q *logHandler) Handle(ctx context.Context, r slog.Record) error {
	if last, ok := q.logged.Load(r.Message); ok && r.Time.Sub(last.(time.Time)) < repeatAfter {
		return nil
	}
	q.logged.Store(r.Message, r.Time)
	return q.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (q *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logHandler{q.Handler.WithAttrs(attrs), q.logged}
}

// WithGroup implements slog.Handler.
func (q *logHandler) WithGroup(name string) slog.Handler {
	return &logHandler{q.Handler.WithGroup(name), q.logged}
}
