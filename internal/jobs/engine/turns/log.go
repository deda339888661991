package turns

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// quietHandler logs what River logs, without what is normal here, and without one
// message at every poll while the database is away.
type quietHandler struct {
	slog.Handler
	logged *sync.Map // message → time it was last logged
}

// repeatAfter is the shortest time between two records with one message.
const repeatAfter = 10 * time.Second

// Enabled implements slog.Handler.
func (q *quietHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && q.Handler.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (q *quietHandler) Handle(ctx context.Context, r slog.Record) error {
	if last, ok := q.logged.Load(r.Message); ok && r.Time.Sub(last.(time.Time)) < repeatAfter {
		return nil
	}
	q.logged.Store(r.Message, r.Time)
	return q.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (q *quietHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &quietHandler{q.Handler.WithAttrs(attrs), q.logged}
}

// WithGroup implements slog.Handler.
func (q *quietHandler) WithGroup(name string) slog.Handler {
	return &quietHandler{q.Handler.WithGroup(name), q.logged}
}
