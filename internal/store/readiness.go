package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/allcores/allcores/migrations"
)

// A SchemaError says that the database's schema is not this server's.
type SchemaError struct {
	Of         string // "Allcores" or "River"
	Have, Want int64  // version of the last migration; 0 for none
}

func (e *SchemaError) Error() string {
	if e.Have < e.Want {
		return fmt.Sprintf("the tables of %s are at version %d, and this server needs %d: restart it to migrate them", e.Of, e.Have, e.Want)
	}
	return fmt.Sprintf("the tables of %s are at version %d, and this server knows %d: it must be upgraded", e.Of, e.Have, e.Want)
}

// ErrReadOnly is what Ready finds where the database takes no writes: it is a
// standby, or has been made read-only.
var ErrReadOnly = errors.New("the database is read-only")

// A probe asks the database how it is, over a connection of its own: it must
// not wait for those that are busy, or that hang because the network is cut.
type probe struct {
	config *pgx.ConnConfig

	mu   sync.Mutex
	conn *pgx.Conn // nil until the first question and after an error
	at   time.Time // of the last answer
	last error
}

// Bounds of a probe.
const (
	probeTimeout = time.Second            // for an answer
	probeFor     = 200 * time.Millisecond // that an answer holds, however many ask
)

// Ready reports within a second whether the database answers (if not, the error
// is jobs.ErrUnavailable), takes writes (ErrReadOnly), and has the schema that
// this server needs (*SchemaError).
func (s *Store) Ready(ctx context.Context) error {
	p := &s.probe
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.at) < probeFor {
		return p.last
	}
	// What is found out is for everyone: it does not end with the one who asked.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTimeout)
	defer cancel()
	p.last = p.ask(ctx)
	p.at = time.Now()
	return p.last
}

func (p *probe) ask(ctx context.Context) error {
	if p.conn != nil {
		if err := p.query(ctx); p.conn != nil {
			return err
		}
		// It was broken, since when nobody knows: by now there may be another.
	}
	var err error
	if p.conn, err = pgx.ConnectConfig(ctx, p.config); err != nil {
		p.conn = nil
		return wrap("connect to database", err)
	}
	return p.query(ctx)
}

// query asks over the connection, and drops it when it fails.
func (p *probe) query(ctx context.Context) error {
	var readOnly bool
	var ours, river int64
	err := p.conn.QueryRow(ctx, `
		select current_setting('transaction_read_only')::bool,
			(select coalesce(max(version_id) filter (where is_applied), 0) from goose_db_version),
			(select coalesce(max(version), 0) from river_migration where line = 'main')`).Scan(&readOnly, &ours, &river)
	var failed *pgconn.PgError
	switch {
	case errors.As(err, &failed) && failed.Code == "42P01": // there is no such table
		return &SchemaError{"Allcores", 0, newest()}
	case err != nil:
		p.drop(ctx)
		return wrap("ask database", err)
	case readOnly:
		return ErrReadOnly
	case ours != newest():
		return &SchemaError{"Allcores", ours, newest()}
	case river != newestOfRiver():
		return &SchemaError{"River", river, newestOfRiver()}
	}
	return nil
}

// drop closes the connection, which may be broken.
func (p *probe) drop(ctx context.Context) {
	if p.conn != nil {
		_ = p.conn.Close(ctx) // what it says is known already, or of no use
		p.conn = nil
	}
}

func (p *probe) close() {
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(ctx)
}

// newest is the version of our last migration.
var newest = sync.OnceValue(func() int64 {
	names, err := fs.Glob(migrations.Files, "*.sql")
	if err != nil || len(names) == 0 {
		panic("migrations are embedded")
	}
	number, _, _ := strings.Cut(names[len(names)-1], "_") // they are sorted
	version, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		panic(err) // goose would not take it either
	}
	return version
})

// newestOfRiver is the version of River's last migration.
var newestOfRiver = sync.OnceValue(func() int64 {
	river, err := rivermigrate.New(riverpgxv5.New(nil), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err) // only a line that is unknown
	}
	last := 0
	for _, m := range river.AllVersions() {
		last = max(last, m.Version)
	}
	return int64(last)
})
