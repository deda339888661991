package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/allcores/allcores/internal/store/pglocal"
)

// timeout bounds each step of ours, so that a test fails rather than hangs.
const timeout = 2 * time.Minute

// A Template describes what a new database holds.
type Template struct {
	// Fingerprint identifies what Migrate makes, such as a hash of all
	// migrations: as long as it stays the same, Migrate is not run again.
	Fingerprint string

	// Migrate fills the empty database at url and leaves no connection to it
	// open.
	Migrate func(ctx context.Context, url string) error
}

// New returns the URL of a fresh database, made from the template and dropped
// when the test and its subtests are over, open connections or not. Every
// failure, a missing PostgreSQL included, ends the test with t.Fatal.
func (tpl Template) New(t testing.TB) string {
	t.Helper()
	s, err := current()
	if err != nil {
		t.Fatal(err)
	}
	name, err := s.create(tpl)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.drop(name); err != nil {
			t.Error(err)
		}
	})
	return s.pg.URLFor(name)
}

// Main wraps a package's tests: Run runs them, leaves the server that they
// used, and returns their status.
func Main(m interface{ Run() int }) interface{ Run() int } {
	return &suite{m}
}

// IgnoreServer tells goleak about the goroutines that look after the server. One
// of them stays to the end of the process that started the server, if others
// use it on.
func IgnoreServer() goleak.Option {
	return goleak.IgnoreAnyFunction("github.com/allcores/allcores/internal/store/pglocal.runBackground")
}

// Hold starts the server that New uses, or finds it running, and keeps it
// until release is called, so that it does not come and go between the test
// processes of one run.
func Hold(ctx context.Context) (release func(context.Context) error, err error) {
	s, err := startServer(ctx)
	if err != nil {
		return nil, err
	}
	return s.Close, nil
}

type suite struct{ m interface{ Run() int } }

func (s *suite) Run() int {
	shared.mu.Lock()
	shared.main = true
	shared.mu.Unlock()

	status := s.m.Run()

	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server == nil {
		return status
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := shared.server.close(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "storetest:", err)
		if status == 0 {
			status = 1
		}
	}
	shared.server = nil
	return status
}

// shared is the process's one hold on the server, taken by the first New.
var shared struct {
	mu     sync.Mutex
	main   bool // a Main is running, which will let go
	server *server
	err    error // the first attempt's; further ones would not fare better
}

func current() (*server, error) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if !shared.main {
		return nil, errors.New("storetest: this package needs func TestMain(m *testing.M) { storetest.Main(m).Run() }")
	}
	if shared.server == nil && shared.err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		shared.server, shared.err = open(ctx)
	}
	return shared.server, shared.err
}

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
		// A crash of the machine may cost the cluster, which is worth nothing.
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

// folder makes the data directory of the tests and sees that it is ours.
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

// sweep drops the databases whose process is gone, and those of our own id,
// which an earlier process had.
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
	// The server's default way to copy, through its write-ahead log, is also
	// the fastest: 45 ms against 51 ms for copying files.
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

// template returns the name of the template database, made if need be.
func (s *server) template(ctx context.Context, tpl Template) (string, error) {
	sum := sha256.Sum256([]byte(tpl.Fingerprint))
	name := prefix + "_" + hex.EncodeToString(sum[:8])
	if s.ready[name] {
		return name, nil
	}
	key := keyOf(name)
	// First say that we use it, then look: so nobody drops it in between.
	if err := s.exec(ctx, fmt.Sprintf("select pg_advisory_lock_shared(%d, %d)", lockTemplate, key)); err != nil {
		return "", err
	}
	if err := s.exec(ctx, fmt.Sprintf("select pg_advisory_lock(%d, %d)", lockBuild, key)); err != nil {
		return "", err
	}
	err := s.build(ctx, name, tpl)
	if err == nil {
		err = s.exec(ctx, fmt.Sprintf("comment on database %s is '%s'", name, time.Now().UTC().Format(time.RFC3339)))
	}
	err = errors.Join(err, s.exec(ctx, fmt.Sprintf("select pg_advisory_unlock(%d, %d)", lockBuild, key)))
	if err != nil {
		return "", err
	}
	s.ready[name] = true
	return name, nil
}

// build makes the template under another name and renames it when it is
// complete.
func (s *server) build(ctx context.Context, name string, tpl Template) error {
	names, err := s.databases(ctx, name)
	if err != nil || len(names) > 0 {
		return err
	}
	if err := s.dropTemplates(ctx); err != nil {
		return err
	}
	making := "making_" + name
	if err := s.exec(ctx, "drop database if exists "+making+" with (force)"); err != nil {
		return err
	}
	if err := s.exec(ctx, "create database "+making+" template template0"); err != nil {
		return err
	}
	if err := tpl.Migrate(ctx, s.pg.URLFor(making)); err != nil {
		return fmt.Errorf("migrating: %w", err)
	}
	// Without connections nobody can change it, or be in the way of copying.
	if err := s.exec(ctx, "alter database "+making+" with allow_connections false"); err != nil {
		return err
	}
	return s.exec(ctx, "alter database "+making+" rename to "+name)
}

// Our own tests have templates of their own, to leave those of others alone.
var (
	prefix = "tpl" // of the templates' names
	keep   = 6     // so many templates stay, at about 10 MB each
)

// dropTemplates drops the templates of earlier migrations. It leaves those in
// use, and some used of late, to which a switch of branches may lead back.
func (s *server) dropTemplates(ctx context.Context) error {
	names, err := s.databases(ctx, prefix+"\\_%")
	if err != nil {
		return err
	}
	for i, name := range names {
		if i < keep-1 || s.ready[name] { // our own lock would not stop us
			continue
		}
		key := keyOf(name)
		unused, err := s.tryLock(ctx, lockTemplate, key)
		if err != nil {
			return err
		}
		if !unused {
			continue
		}
		err = s.exec(ctx, "drop database if exists "+name)
		err = errors.Join(err, s.exec(ctx, fmt.Sprintf("select pg_advisory_unlock(%d, %d)", lockTemplate, key)))
		if err != nil {
			return err
		}
	}
	return nil
}

// databases lists the databases whose name is like the pattern; templates last
// used come first.
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

// keyOf is a template's key in advisory locks.
func keyOf(name string) int32 {
	h := fnv.New32a()
	h.Write([]byte(name))
	return int32(h.Sum32())
}
