package storetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// timeout bounds each step of this package, so that a test fails rather than hangs.
const timeout = 2 * time.Minute

// A Template describes what a new database holds.
type Template struct {
	// Fingerprint identifies the result of Migrate, such as a hash of all migrations.
	// While it stays the same, Migrate is not run again.
	Fingerprint string

	// Migrate fills the empty database at url and leaves no connection to it
	// open.
	Migrate func(ctx context.Context, url string) error
}

// New returns the URL of a fresh database, copied from the template and dropped when
// the test and its subtests have ended, even with open connections. It calls t.Fatal
// on failures, also when PostgreSQL is missing.
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

// Main wraps a package's tests: Run runs them, releases the server, and returns their
// status.
func Main(m interface{ Run() int }) interface{ Run() int } {
	return &suite{m}
}

// IgnoreServer makes goleak ignore the goroutines that supervise the server. One of
// them lasts as long as the process that started the server, if others still use it.
func IgnoreServer() goleak.Option {
	return goleak.IgnoreAnyFunction("github.com/allcores/allcores/internal/store/pglocal.runBackground")
}

// Hold starts the server that New uses, or finds it running, and keeps it until release
// is called, so that it does not stop between the test processes of one run.
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

// shared is the server of this process, opened by the first New.
var shared struct {
	mu     sync.Mutex
	main   bool // a Main is running, which closes the server
	server *server
	err    error // of the first attempt; further ones would fail too
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
