package pglocal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Role is the database role that owns everything in the private server. Database is
// the service's database.
const (
	Role     = "allcores"
	Database = "allcores"
)

const port = "5432" // names the socket; nothing listens on TCP

// Options are the options of Start. Only Dir is required.
type Options struct {
	// Dir is the data directory; the cluster lives in Dir/postgres. Start creates it
	// if it does not exist.
	Dir string

	// Logger logs when a cluster is created and a server started, stopped or
	// restarted. Nil discards them.
	Logger *slog.Logger

	// Settings are further server settings, or other values for those that pglocal
	// sets. They apply only if this process starts the server. "fsync": "off" also
	// speeds up the creation of the cluster, which a crash of the machine may then
	// destroy.
	Settings map[string]string
}

// A Server is this process's use of the private server. It is safe for concurrent use.
type Server struct {
	c   *cluster
	log *slog.Logger

	users *fileLock // held shared as long as we need the server
	lock  *fileLock // held exclusively to start or stop it

	stop context.CancelCauseFunc // ends supervision
	done chan struct{}           // closed when it has ended

	closing sync.Once
	closed  error
}

var errClosed = errors.New("the private PostgreSQL was closed")

// Start finds the server of opts.Dir running or starts it, creating the cluster the
// first time, and restarts it if it ends before Close. It returns once the server
// answers. ctx bounds the start only; without a deadline Start waits for a minute, or
// as long as crash recovery makes progress.
//
// The error is a *MissingError if there are no server programs, and a
// *DirError if the data directory cannot be used.
func Start(ctx context.Context, opts Options) (*Server, error) {
	log := opts.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c, err := openCluster(opts.Dir, opts.Settings, log)
	if err != nil {
		return nil, err
	}
	s := &Server{c: c, log: log, done: make(chan struct{})}
	if s.lock, err = c.openLock("lock"); err != nil {
		return nil, err
	}
	if s.users, err = c.openLock("users"); err != nil {
		s.lock.close()
		return nil, err
	}
	conn, err := s.enter(ctx)
	if err != nil {
		s.lock.close()
		s.users.close()
		return nil, err
	}
	var supervised context.Context
	supervised, s.stop = context.WithCancelCause(context.WithoutCancel(ctx))
	background(func() { s.supervise(supervised, conn) })
	return s, nil
}

// enter takes the lock of users and returns a connection to the running server.
func (s *Server) enter(ctx context.Context) (net.Conn, error) {
	if err := s.lock.exclusive(ctx); err != nil {
		return nil, fmt.Errorf("starting PostgreSQL in %s: %w", s.c.base, err)
	}
	defer s.lock.unlock()
	if err := s.users.shared(); err != nil {
		return nil, fmt.Errorf("starting PostgreSQL in %s: %w", s.c.base, err)
	}
	conn, err := s.c.ensure(ctx)
	if err == nil {
		if err = ensureDatabase(ctx, conn); err == nil {
			return hijack(conn)
		}
		conn.Close(ctx)
	}
	if s.users.alone() {
		// Nobody else would stop a server that this call has started.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, s.c.stop(ctx))
	}
	return nil, err
}

// ensureDatabase creates the service's database unless it exists.
func ensureDatabase(ctx context.Context, conn *pgx.Conn) error {
	var there bool
	err := conn.QueryRow(ctx, "select exists (select from pg_database where datname = $1)", pgx.QueryExecModeSimpleProtocol, Database).Scan(&there)
	if err == nil && !there {
		_, err = conn.Exec(ctx, "create database "+Database)
	}
	if err != nil {
		return fmt.Errorf("making the database %s: %w", Database, err)
	}
	return nil
}

// hijack returns the bare connection. It only has to break when the server goes away,
// and pgx would need a goroutine to make a read on it cancellable.
func hijack(conn *pgx.Conn) (net.Conn, error) {
	bare, err := conn.PgConn().Hijack()
	if err != nil {
		return nil, fmt.Errorf("watching PostgreSQL: %w", err)
	}
	return bare.Conn, bare.Conn.SetDeadline(time.Time{})
}

// URL returns the URL of the service's database, fit for DATABASE_URL.
func (s *Server) URL() string { return s.URLFor(Database) }

// URLFor returns the URL of another database of the server, which need not
// exist.
func (s *Server) URLFor(database string) string { return s.c.url(database) }

// Close ends this process's use of the server and, if nobody else uses it, stops it and
// waits until it has written everything to disk. ctx bounds that wait; the server stops
// all the same. Open connections break when it stops. Further calls return the first
// one's error.
func (s *Server) Close(ctx context.Context) error {
	s.closing.Do(func() { s.closed = s.leave(ctx) })
	return s.closed
}

func (s *Server) leave(ctx context.Context) error {
	s.stop(errClosed)
	<-s.done
	defer s.lock.close()
	defer s.users.close()
	if err := s.lock.exclusive(ctx); err != nil {
		return fmt.Errorf("stopping PostgreSQL in %s: %w", s.c.base, err)
	}
	defer s.lock.unlock()
	if !s.users.alone() {
		return nil
	}
	return s.c.stop(ctx)
}

// supervise keeps the server running until ctx ends.
func (s *Server) supervise(ctx context.Context, conn net.Conn) {
	defer close(s.done)
	for pause := 50 * time.Millisecond; ; {
		if conn != nil {
			watch(ctx, conn)
			conn = nil
			if ctx.Err() != nil {
				return
			}
			s.log.Warn("lost the connection to the private PostgreSQL; looking after it", "dir", s.c.base)
			pause = 50 * time.Millisecond
		}
		var err error
		if conn, err = s.revive(ctx); err == nil {
			s.log.Info("the private PostgreSQL answers again", "dir", s.c.base)
			continue
		}
		if ctx.Err() != nil {
			return
		}
		s.log.Error("the private PostgreSQL is down; trying again", "error", err, "pause", pause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, 2*time.Second)
	}
}

// watch returns when the connection breaks or ctx ends.
func watch(ctx context.Context, conn net.Conn) {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	io.Copy(io.Discard, conn) // however it ends, it has ended
	conn.Close()
}

// revive returns a connection to the server, starting it if it is gone.
func (s *Server) revive(ctx context.Context) (net.Conn, error) {
	if err := s.lock.exclusive(ctx); err != nil {
		return nil, err
	}
	defer s.lock.unlock()
	conn, err := s.c.ensure(ctx)
	if err != nil {
		return nil, err
	}
	return hijack(conn)
}

// background starts a goroutine of this package. They all have this function on their
// stack, so that a leak test recognises them.
func background(f func()) { go runBackground(f) }

func runBackground(f func()) { f() }

// url returns the URL of a database over the socket.
func (c *cluster) url(database string) string {
	query := url.Values{"host": {c.run}, "port": {port}}.Encode()
	u := url.URL{
		Scheme: "postgres",
		User:   url.User(Role),
		Path:   "/" + database,
		// Database clients do not decode a plus as a space.
		RawQuery: strings.ReplaceAll(query, "+", "%20"),
	}
	return u.String()
}
