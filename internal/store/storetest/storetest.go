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
