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

// A SchemaError reports that the database's schema is not this server's.
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

// ErrReadOnly is returned by Ready when the database takes no writes: it is a
// standby, or has been made read-only.
var ErrReadOnly = errors.New("the database is read-only")

// A probe checks whether the database answers, over a connection of its own: it
// must not wait for those that are busy, or that hang because the network is cut.
type probe struct {
	config *pgx.ConnConfig
	conn   *pgx.Conn // of the check that runs; nil before the first one and after an error

	mu   sync.Mutex
	last *check // runs or has ended; nil before the first one
}

// A check is one check of the database, for all callers that come while it runs or
// within probeFor after it.
type check struct {
	done chan struct{}
	at   time.Time // of its end; valid, as err is, when done is closed
	err  error
}

// Bounds of a check.
const (
	probeTimeout = time.Second            // for an answer
	probeFor     = 200 * time.Millisecond // that an answer is valid
)

// Ready reports within a second whether the database answers (if not, the error
// is jobs.ErrUnavailable), takes writes (ErrReadOnly), and has the schema that
// this server needs (*SchemaError).
func (s *Store) Ready(ctx context.Context) error {
	c := s.probe.check(ctx)
	<-c.done
	return c.err
}

// check returns the check that runs or is still valid, or starts one.
func (p *probe) check(ctx context.Context) *check {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.last; c != nil {
		select {
		case <-c.done:
			if time.Since(c.at) < probeFor {
				return c
			}
		default:
			return c
		}
	}
	c := &check{done: make(chan struct{})}
	p.last = c
	go func() {
		defer close(c.done)
		// The result is for all callers: it does not end with the first one.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTimeout)
		defer cancel()
		c.err = p.ask(ctx)
		c.at = time.Now()
	}()
	return c
}

// ask queries the database over the connection, or a new one where that is broken.
func (p *probe) ask(ctx context.Context) error {
	if p.conn != nil {
		if err := p.query(ctx); p.conn != nil {
			return err
		}
		// It was broken, perhaps long ago: the database may be back by now.
	}
	var err error
	if p.conn, err = pgx.ConnectConfig(ctx, p.config); err != nil {
		p.conn = nil
		return wrap("connect to database", err)
	}
	return p.query(ctx)
}

// query queries the database, and drops the connection when that fails.
func (p *probe) query(ctx context.Context) error {
	var readOnly bool
	var ours, river int64
	err := p.conn.QueryRow(ctx, `
		select current_setting('transaction_read_only')::bool,
			(select coalesce(max(version_id) filter (where is_applied), 0) from goose_db_version),
			(select coalesce(max(version), 0) from river_migration where line = 'main')`).Scan(&readOnly, &ours, &river)
	var failed *pgconn.PgError
	switch {
	case errors.As(err, &failed) && failed.Code == "42P01": // undefined table
		return &SchemaError{"Allcores", 0, newest()}
	case err != nil:
		p.drop(ctx)
		return wrap("query database", err)
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
		_ = p.conn.Close(ctx) // its error adds nothing
		p.conn = nil
	}
}

// close waits for the check that runs and closes the connection.
func (p *probe) close() {
	p.mu.Lock()
	c := p.last
	p.mu.Unlock()
	if c != nil {
		<-c.done
	}
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	p.drop(ctx)
}

// newest returns the version of our last migration.
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

// newestOfRiver returns the version of River's last migration.
var newestOfRiver = sync.OnceValue(func() int64 {
	river, err := rivermigrate.New(riverpgxv5.New(nil), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err) // cannot fail for the default line
	}
	last := 0
	for _, m := range river.AllVersions() {
		last = max(last, m.Version)
	}
	return int64(last)
})
