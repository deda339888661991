package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/allcores/allcores/migrations"
)

// migrationLock is the key of the advisory lock that one migrating node holds.
const migrationLock = 0x616c6c636f726573

// Migrate migrates the database at url to the newest schema, River's first. Nodes that
// start together wait for each other.
func Migrate(ctx context.Context, url string) (err error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("parse database URL: %w", err)
	}
	config.MaxConns = 3
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("connect to database: %w", err)
	}
	defer pool.Close()
	return pool.AcquireFunc(ctx, func(lock *pgxpool.Conn) error {
		if err := ownSession(ctx, lock, pool); err != nil {
			return err
		}
		if _, err := lock.Exec(ctx, `select pg_advisory_lock($1)`, int64(migrationLock)); err != nil {
			return fmt.Errorf("lock migrations: %w", err)
		}
		defer unlockMigrations(ctx, lock.Conn())
		return migrate(ctx, pool)
	})
}

// ownSession checks that a connection is a session of the database, as LISTEN, locks
// and prepared statements need it. PgBouncer in transaction mode gives the session to
// other connections in between.
func ownSession(ctx context.Context, conn *pgxpool.Conn, pool *pgxpool.Pool) error {
	session := func(q interface {
		QueryRow(context.Context, string, ...any) pgx.Row
	}) (pid int64, err error) {
		err = q.QueryRow(ctx, `select pg_backend_pid()`, pgx.QueryExecModeSimpleProtocol).Scan(&pid)
		return pid, err
	}
	before, err := session(conn)
	if err != nil {
		return fmt.Errorf("look at the session: %w", err)
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		other, err := session(tx)
		if err != nil {
			return fmt.Errorf("look at another session: %w", err)
		}
		after, err := session(conn)
		if err != nil {
			return fmt.Errorf("look at the session again: %w", err)
		}
		if before != after || before == other {
			return errors.New("connections to the database share its sessions, as those of PgBouncer do in transaction mode; they must be direct")
		}
		return nil
	})
}

func unlockMigrations(ctx context.Context, conn *pgx.Conn) {
	// On an error, closing the connection right after frees the lock.
	if _, err := conn.Exec(ctx, `select pg_advisory_unlock($1)`, int64(migrationLock)); err != nil {
		slog.Warn("unlock migrations", "error", err)
	}
}

func migrate(ctx context.Context, pool *pgxpool.Pool) error {
	river, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return fmt.Errorf("prepare River's migrations: %w", err)
	}
	if _, err := river.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("run River's migrations: %w", err)
	}
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	if err := mendVersions(ctx, pool); err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Files)
	if err != nil {
		return fmt.Errorf("prepare migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("run migrations: %w", err)
	}
	return nil
}

// mendVersions sets the sequence of goose's table to where the table ends. A crash of
// a server with wal_level=minimal may have reset it.
func mendVersions(ctx context.Context, pool *pgxpool.Pool) error {
	var there bool
	err := pool.QueryRow(ctx, `select to_regclass($1) is not null`, goose.DefaultTablename).Scan(&there)
	if err == nil && there {
		_, err = pool.Exec(ctx, `select setval(pg_get_serial_sequence($1, 'id'), max(id)) from `+goose.DefaultTablename, goose.DefaultTablename)
	}
	if err != nil {
		return fmt.Errorf("look at the versions of the schema: %w", err)
	}
	return nil
}

// SchemaFingerprint returns a hash of all migrations: equal fingerprints mean equal
// schemas.
var SchemaFingerprint = sync.OnceValue(func() string {
	hash := sha256.New()
	names, err := fs.Glob(migrations.Files, "*.sql")
	if err != nil {
		panic(err) // the pattern is well formed
	}
	for _, name := range names {
		text, err := migrations.Files.ReadFile(name)
		if err != nil {
			panic(err) // it is embedded
		}
		fmt.Fprintf(hash, "%s %d\n%s", name, len(text), text)
	}
	return hex.EncodeToString(hash.Sum(nil))[:16]
})
