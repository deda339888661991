package store

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A Store is the database of one node. It is safe for concurrent use.
type Store struct {
	Pool *pgxpool.Pool
	// River is the pool of River, which brings its own SQL. Its commits do not wait
	// for the disk: a turn whose fetch or end is lost in a crash of Postgres is
	// fetched again, and does nothing.
	River *pgxpool.Pool
	Feed  *Feed

	streams chan struct{} // a token for each transaction that waits for a client
	counter counter
	probe   probe
	ids     idClock
}

// Options are the options of Open.
type Options struct {
	URL      string       // postgres://… or a keyword/value string
	MaxConns int32        // at most so many connections, beside River's and the one that listens; default 20
	Logger   *slog.Logger // default slog.Default()
}

// Open connects to the database and starts to listen. The schema must exist: see
// Migrate. Close ends both.
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
	// Every statement uses an index whatever the tables' sizes, so the planner need
	// not plan it for each call.
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
