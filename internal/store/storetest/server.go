package storetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/store/pglocal"
)

// A server is the running PostgreSQL and a connection to administer it.
type server struct {
	pg *pglocal.Server

	mu    sync.Mutex // guards what follows
	admin *pgx.Conn  // holds the advisory locks below, which end with the process
	id    int32      // names our databases; locked as long as we live
	count int        // of databases made
	ready map[string]bool
}

// Classes of advisory locks. All are taken in the database postgres.
const (
	lockProcess  = 0x616c6301 // by a process on its id, for life
	lockBuild    = 0x616c6302 // on a template's key, to make or look for it
	lockTemplate = 0x616c6303 // on a template's key: shared to use it for life, exclusively to drop it
)

func startServer(ctx context.Context) (*pglocal.Server, error) {
	dir, err := folder()
	if err != nil {
		return nil, err
	}
	pg, err := pglocal.Start(ctx, pglocal.Options{
		Dir: dir,
		// A crash of the machine may destroy the cluster, which is worth nothing.
		Settings: map[string]string{
			"fsync":              "off",
			"synchronous_commit": "off",
			"full_page_writes":   "off",
			"autovacuum_naptime": "1min", // for all the databases of the tests together
		},
	})
	if missing := (*pglocal.MissingError)(nil); errors.As(err, &missing) && missing.Major == 0 {
		return nil, fmt.Errorf("the tests need PostgreSQL's server programs: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("starting the PostgreSQL of the tests (no harm in removing %s if what it holds is broken or too old): %w", dir, err)
	}
	return pg, nil
}

// folder creates the data directory of the tests and checks that it is ours.
func folder() (string, error) {
	tmp := os.TempDir()
	if os.Geteuid() == 0 {
		tmp = "/tmp" // the one that the server's account can enter, whatever TMPDIR says
	}
	dir := filepath.Join(tmp, "allcores-test-"+strconv.Itoa(os.Geteuid()))
	if err := pglocal.MakeDataDir(dir); err != nil {
		return "", fmt.Errorf("storetest: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", fmt.Errorf("storetest: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(st.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return "", fmt.Errorf("storetest: %w", &fs.PathError{Op: "use", Path: dir, Err: errors.New("it should be a folder that only this account can write to")})
	}
	return dir, nil
}

func open(ctx context.Context) (*server, error) {
	pg, err := startServer(ctx)
	if err != nil {
		return nil, err
	}
	s := &server{pg: pg, ready: map[string]bool{}}
	if err := s.connect(ctx); err != nil {
		s.close(ctx)
		return nil, fmt.Errorf("storetest: %w", err)
	}
	return s, nil
}

func (s *server) close(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.admin != nil {
		s.admin.Close(ctx)
	}
	return s.pg.Close(ctx)
}

func (s *server) connect(ctx context.Context) error {
	var err error
	if s.admin, err = pgx.Connect(ctx, s.pg.URLFor("postgres")); err != nil {
		return err
	}
	for s.id = int32(os.Getpid()); ; s.id++ { // in containers, process ids meet
		got, err := s.tryLock(ctx, lockProcess, s.id)
		if err != nil {
			return err
		}
		if got {
			break
		}
	}
	return s.sweep(ctx)
}

// sweep drops the databases of ended processes, and those of our own id, which an
// earlier process had.
func (s *server) sweep(ctx context.Context) error {
	names, err := s.databases(ctx, "test\\_%")
	if err != nil {
		return err
	}
	for _, name := range names {
		id, err := strconv.ParseInt(strings.Split(name, "_")[1], 10, 32)
		if err != nil {
			continue
		}
		ours := int32(id) == s.id
		if !ours {
			if gone, err := s.tryLock(ctx, lockProcess, int32(id)); err != nil {
				return err
			} else if !gone {
				continue
			}
		}
		err = s.exec(ctx, "drop database if exists "+name+" with (force)")
		if !ours {
			err = errors.Join(err, s.exec(ctx, fmt.Sprintf("select pg_advisory_unlock(%d, %d)", lockProcess, id)))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *server) create(tpl Template) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	template, err := s.template(ctx, tpl)
	if err != nil {
		return "", fmt.Errorf("storetest: making the template database: %w", err)
	}
	s.count++
	name := fmt.Sprintf("test_%d_%d", s.id, s.count)
	// The default strategy, through the write-ahead log, is the fastest: 45 ms against
	// 51 ms for copying files.
	if err := s.exec(ctx, "create database "+name+" template "+template); err != nil {
		return "", fmt.Errorf("storetest: making a database: %w", err)
	}
	return name, nil
}

func (s *server) drop(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.exec(ctx, "drop database if exists "+name+" with (force)"); err != nil {
		return fmt.Errorf("storetest: dropping a database: %w", err)
	}
	return nil
}

// databases lists the databases whose name is like the pattern, the most recently used
// templates first.
func (s *server) databases(ctx context.Context, like string) ([]string, error) {
	rows, err := s.admin.Query(ctx, "select datname from pg_database where datname like $1 order by shobj_description(oid, 'pg_database') desc nulls last", like)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func (s *server) tryLock(ctx context.Context, class, key int32) (got bool, err error) {
	err = s.admin.QueryRow(ctx, "select pg_try_advisory_lock($1, $2)", class, key).Scan(&got)
	return got, err
}

func (s *server) exec(ctx context.Context, sql string) error {
	_, err := s.admin.Exec(ctx, sql)
	return err
}
