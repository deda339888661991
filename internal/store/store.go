package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/allcores/allcores/internal/jobs"
)

// A Store is the database of one node. It is safe for concurrent use.
type Store struct {
	Pool *pgxpool.Pool
	// River is for River, which brings its own SQL. Its commits do not wait for
	// the disk: a fetched or completed turn that a crash of Postgres forgets is
	// fetched again, and does nothing.
	River *pgxpool.Pool
	Feed  *Feed

	streams chan struct{} // a token for each transaction that waits for a client
	counter counter
	probe   probe
	ids     idClock
}

// Options says how to reach the database.
type Options struct {
	URL      string       // postgres://… or a keyword/value string
	MaxConns int32        // at most so many connections, beside River's and the one that listens; default 20
	Logger   *slog.Logger // default slog.Default()
}

// Open connects to the database and starts to listen. The schema must be
// there: see Migrate. Close ends both.
func Open(ctx context.Context, o Options) (*Store, error) {
	config, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		return nil, fmt.Errorf("parse database URL: %w", err)
	}
	config.MaxConns = max(o.MaxConns, 4)
	if o.MaxConns == 0 {
		config.MaxConns = 20
	}
	config.MinConns = 2
	config.HealthCheckPeriod = 5 * time.Second
	config.ConnConfig.ConnectTimeout = 5 * time.Second
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "allcores"
	}
	// The planner must not answer a change of the tables' sizes with a new plan
	// for every statement: all of them go by an index.
	config.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_generic_plan"
	config.ConnConfig.RuntimeParams["jit"] = "off"
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect to database: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("connect to database: %w", err)
	}
	config = config.Copy()
	config.MaxConns = riverConns
	config.ConnConfig.RuntimeParams["synchronous_commit"] = "off"
	river, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("connect to database: %w", err)
	}
	logger := o.Logger
	if logger == nil {
		logger = slog.Default()
	}
	return &Store{
		Pool: pool, River: river, Feed: listen(config.ConnConfig.Copy(), logger),
		streams: make(chan struct{}, pool.Config().MaxConns/2),
		probe:   probe{config: config.ConnConfig.Copy()},
	}, nil
}

// riverConns bounds River's connections: a fetch for each queue, the completion
// of turns, its listener and its maintenance.
const riverConns = 8

// Close stops listening and closes every connection, waiting for those in use.
func (s *Store) Close() {
	s.Feed.close()
	s.probe.close()
	s.River.Close()
	s.Pool.Close()
}

// Tx runs f in one transaction, which is committed when f returns nil.
func (s *Store) Tx(ctx context.Context, f func(pgx.Tx) error) error {
	return wrap("run transaction", pgx.BeginFunc(ctx, s.Pool, f))
}

// wrap says what was being done when err came and marks what callers tell
// apart: an outage of the database, and a row that is not there.
func wrap(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("%s: %w", doing, jobs.ErrNotFound)
	case isOutage(err) && !errors.Is(err, jobs.ErrUnavailable):
		return fmt.Errorf("%s: %w: %w", doing, jobs.ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// isOutage reports whether err is of the connection or the server rather than
// of the statement, so that the same call may succeed later.
func isOutage(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		switch pgErr.Code {
		case "40001", "40P01": // serialization failure, deadlock
			return true
		case "25006": // read-only: a standby
			return true
		}
		switch pgErr.Code[:2] {
		case "08", "53", "57", "58": // connection, resources, operator's intervention, system
			return true
		}
		return false
	}
	var netErr net.Error
	var connectErr *pgconn.ConnectError
	return errors.As(err, &netErr) || errors.As(err, &connectErr) ||
		errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err) || pgconn.Timeout(err) ||
		isClosedConn(err)
}

// isClosedConn recognises the errors that pgx returns for a connection that
// broke in the middle of an answer; most are bare I/O errors.
func isClosedConn(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) ||
		strings.Contains(err.Error(), "conn closed")
}
