package pglocal

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
)

// childEnv makes the test binary a process that uses a private server. Its value
// says how, childDir says which.
const (
	childEnv = "ALLCORES_PGLOCAL_CHILD"
	childDir = "ALLCORES_PGLOCAL_DIR"
)

func TestMain(m *testing.M) {
	if what := os.Getenv(childEnv); what != "" {
		if err := child(what); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(withReused{m})
}

// reused is the data directory of the tests that start from a cluster with no
// server: making one for each takes longer than most of them.
var reused string

type withReused struct{ m *testing.M }

func (w withReused) Run() int {
	defer func() { os.RemoveAll(reused) }()
	return w.m.Run()
}

// newCluster returns a data directory with a cluster, which other tests have used,
// and without a server.
func newCluster(t *testing.T) string {
	t.Helper()
	if reused == "" {
		dir, err := makeDir()
		if err != nil {
			t.Fatal(err)
		}
		reused = dir
		s, err := Start(t.Context(), Options{Dir: dir, Settings: unsafeButFast})
		if err != nil {
			t.Fatal(err)
		}
		closeServer(t, s)
	}
	t.Cleanup(func() { stopLeftServer(reused) })
	return reused
}

func child(what string) error {
	ctx := context.Background()
	if what == "connect" {
		conn, err := pgx.Connect(ctx, os.Getenv(childDir))
		if err != nil {
			return err
		}
		fmt.Println("connected")
		return conn.Close(ctx)
	}
	s, err := Start(ctx, Options{Dir: os.Getenv(childDir), Settings: unsafeButFast})
	if err != nil {
		return err
	}
	fmt.Println("up", s.URL())
	switch what {
	case "abandon": // as if killed: no Close
		return nil
	case "hold": // until our standard input ends
		io.Copy(io.Discard, os.Stdin)
	}
	return s.Close(ctx)
}

// startChild runs a child and waits until it says that its server is up.
func startChild(t *testing.T, what, dir string) (*exec.Cmd, io.Closer) {
	t.Helper()
	cmd := childCommand(what, dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if line, _ := bufio.NewReader(out).ReadString('\n'); !strings.HasPrefix(line, "up ") {
		t.Fatalf("the child said %q", line)
	}
	return cmd, in
}

func childCommand(what, dir string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+what, childDir+"="+dir)
	return cmd
}

var unsafeButFast = map[string]string{"fsync": "off"}

// newDir returns a data directory that the server's account can enter. A clean-up
// stops its server.
func newDir(t *testing.T) string {
	t.Helper()
	dir, err := makeDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stopLeftServer(dir)
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func makeDir() (string, error) {
	dir, err := os.MkdirTemp("", "pglocal-")
	if err == nil {
		err = os.Chmod(dir, 0o711)
	}
	return dir, err
}

// stopLeftServer stops the server of a failed test.
func stopLeftServer(dir string) {
	if postmaster(dir) == 0 {
		return
	}
	if s, err := Start(context.Background(), Options{Dir: dir, Settings: unsafeButFast}); err == nil {
		s.Close(context.Background())
	}
}

func start(t *testing.T, opts Options) *Server {
	t.Helper()
	if opts.Settings == nil {
		opts.Settings = unsafeButFast
	}
	opts.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := Start(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeServer(t, s) })
	return s
}

func closeServer(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
}

// postmaster returns the process id of the running server, or 0.
func postmaster(dir string) int {
	text, err := os.ReadFile(filepath.Join(dir, "postgres", "data", "postmaster.pid"))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.SplitN(string(text), "\n", 2)[0])
	if err != nil || syscall.Kill(pid, 0) == syscall.ESRCH {
		return 0
	}
	return pid
}

// query runs a statement on a new connection and returns its one value.
func query(ctx context.Context, url, sql string) (v string, err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, sql, pgx.QueryExecModeSimpleProtocol).Scan(&v)
	return v, err
}

func mustQuery(t *testing.T, url, sql string) string {
	t.Helper()
	v, err := query(t.Context(), url, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func mustExec(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// eventually calls ok until it is nil or the time is up.
func eventually(t *testing.T, within time.Duration, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %v", within, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
