package http_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	web "github.com/allcores/allcores/internal/http"
	"github.com/allcores/allcores/internal/jobs/engine"
)

// A line leads to the database, over TCP, and can be cut.
type line struct {
	listener net.Listener
	database string // its socket

	mu    sync.Mutex
	dead  bool // nothing comes through, and no error is reported
	torn  bool // connections are closed
	conns map[net.Conn]struct{}
	done  sync.WaitGroup
}

// serveThrough starts a server whose database is at the end of a line.
func serveThrough(t *testing.T, role string) (*server, *line) {
	t.Helper()
	u, err := url.Parse(template.New(t))
	if err != nil {
		t.Fatal(err)
	}
	socket := u.Query().Get("host") + "/.s.PGSQL." + u.Query().Get("port")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{listener: listener, database: socket, conns: make(map[net.Conn]struct{})}
	l.done.Go(l.accept)
	t.Cleanup(func() {
		listener.Close()
		l.set(false, true)
		l.done.Wait()
	})
	u.Host, u.RawQuery = listener.Addr().String(), "sslmode=disable"
	s := serveAt(t, u.String(), role)
	t.Cleanup(func() { // so that the engine can stop in order
		l.mend()
		s.store.Pool.Reset()
	})
	return s, l
}

func (l *line) accept() {
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.done.Go(func() { l.carry(conn) })
	}
}

func (l *line) carry(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("unix", l.database)
	if err != nil {
		return
	}
	defer server.Close()
	l.mu.Lock()
	if l.torn {
		l.mu.Unlock()
		return
	}
	l.conns[client], l.conns[server] = struct{}{}, struct{}{}
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.conns, client)
		delete(l.conns, server)
	}()
	var both sync.WaitGroup
	for from, to := range map[net.Conn]net.Conn{client: server, server: client} {
		both.Go(func() {
			_, _ = io.Copy(lossy{l, to}, from)
			from.Close()
			to.Close()
		})
	}
	both.Wait()
}

// lossy is an end of a line. It drops everything while the line is dead.
type lossy struct {
	line *line
	net.Conn
}

func (c lossy) Write(b []byte) (int, error) {
	c.line.mu.Lock()
	dead := c.line.dead
	c.line.mu.Unlock()
	if dead {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (l *line) set(dead, torn bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	useless := torn || l.dead // connections that have lost bytes
	l.dead, l.torn = dead, torn
	if useless {
		for conn := range l.conns {
			conn.Close()
		}
	}
}

// cut closes every connection and each new one.
func (l *line) cut() { l.set(false, true) }

// lose keeps connections open and drops everything that is sent.
func (l *line) lose() { l.set(true, false) }

// mend makes the line whole.
func (l *line) mend() { l.set(false, false) }

// ready asks /readyz.
func (s *server) ready() (status int, text string) {
	s.t.Helper()
	a := s.get("/readyz", "Authorization", "")
	return a.StatusCode, a.text
}

// within polls until the condition holds, and fails when that takes longer.
func within(t *testing.T, limit time.Duration, what string, condition func() bool) {
	t.Helper()
	began := time.Now()
	for !condition() {
		time.Sleep(5 * time.Millisecond)
		if time.Since(began) > 10*limit {
			break
		}
	}
	if took := time.Since(began); took > limit {
		t.Errorf("%s: took %v, want at most %v", what, took, limit)
	}
}

func TestReadyFollowsTheDatabase(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*line){"cut": (*line).cut, "lost": (*line).lose} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, line := serveThrough(t, engine.RoleAll)
			if status, text := s.ready(); status != http.StatusOK || text != "ready\n" {
				t.Fatalf("%d %s", status, text)
			}
			for range 2 {
				fail(line)
				within(t, 2*time.Second, "not ready", func() bool {
					status, text := s.ready()
					return status == http.StatusServiceUnavailable && text == "the database does not answer\n"
				})
				if a := s.get("/healthz", "Authorization", ""); a.StatusCode != http.StatusOK || a.text != "ok\n" {
					t.Errorf("/healthz: %d %s", a.StatusCode, a.text)
				}
				line.mend()
				within(t, 2*time.Second, "ready again", func() bool {
					status, _ := s.ready()
					return status == http.StatusOK
				})
			}
		})
	}
}

// TestReadyAfterAnUnseenOutage checks that a request after an outage gets the present
// state.
func TestReadyAfterAnUnseenOutage(t *testing.T) {
	t.Parallel()
	s, line := serveThrough(t, engine.RoleWeb)
	if status, text := s.ready(); status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	line.cut()
	line.mend()
	time.Sleep(250 * time.Millisecond) // that an answer holds
	if status, text := s.ready(); status != http.StatusOK {
		t.Errorf("%d %s", status, text)
	}
}

func TestReadyKnowsTheSchema(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	for _, step := range []struct{ sql, want string }{
		{`insert into goose_db_version (version_id, is_applied) values (90001, true)`, "the tables of Allcores are at version 90001, and this server knows"},
		{`delete from goose_db_version where version_id > 1`, "the tables of Allcores are at version 1, and this server needs"},
		{`drop table goose_db_version`, "the tables of Allcores are at version 0"},
	} {
		if _, err := s.store.Pool.Exec(t.Context(), step.sql); err != nil {
			t.Fatal(err)
		}
		within(t, 2*time.Second, step.sql, func() bool {
			status, text := s.ready()
			return status == http.StatusServiceUnavailable && strings.Contains(text, step.want)
		})
	}
}

func TestReadyKnowsRiversSchema(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	if _, err := s.store.Pool.Exec(t.Context(), `insert into river_migration (line, version) values ('main', 999)`); err != nil {
		t.Fatal(err)
	}
	within(t, 2*time.Second, "not ready", func() bool {
		status, text := s.ready()
		return status == http.StatusServiceUnavailable && strings.Contains(text, "the tables of River are at version 999")
	})
}

func TestReadyWantsToWrite(t *testing.T) {
	t.Parallel()
	s, line := serveThrough(t, engine.RoleWeb)
	direct := s.store.Pool.Config().ConnConfig
	direct.Host, direct.Port = filepath.Dir(line.database), 5432
	admin, err := pgx.ConnectConfig(t.Context(), direct)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(t.Context())
	name := pgx.Identifier{admin.Config().Database}.Sanitize()
	for _, standby := range []bool{true, false} {
		sql := fmt.Sprintf(`set default_transaction_read_only = off; alter database %s set default_transaction_read_only = %t`, name, standby)
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
		// Open connections notice nothing.
		line.cut()
		line.mend()
		within(t, 2*time.Second, "noticed", func() bool {
			status, text := s.ready()
			return standby && status == http.StatusServiceUnavailable && text == "the database is read-only\n" ||
				!standby && status == http.StatusOK
		})
	}
}

func TestReadyWantsRiver(t *testing.T) {
	t.Parallel()
	s := serve(t)
	if status, text := s.ready(); status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	if err := s.engine.Turns().River().Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status, text := s.ready(); status != http.StatusServiceUnavailable || text != "River is not running on this node\n" {
		t.Errorf("%d %s", status, text)
	}
}

func TestNotReadyWhileDraining(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	s.site.Drain()
	if status, text := s.ready(); status != http.StatusServiceUnavailable || text != "the server is stopping\n" {
		t.Errorf("%d %s", status, text)
	}
	if a := s.get("/healthz"); a.StatusCode != http.StatusOK {
		t.Errorf("/healthz: %d", a.StatusCode)
	}
}

func TestDoor(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	door := web.NewStartupHandler()
	door.WaitFor("its private Postgres")
	front := httptest.NewServer(door)
	defer front.Close()
	ask := func(path string, headers ...string) *answer {
		behind := *s
		behind.url = front.URL
		return behind.get(path, headers...)
	}
	if a := ask("/healthz"); a.StatusCode != http.StatusOK || a.text != "ok\n" {
		t.Errorf("/healthz: %d %s", a.StatusCode, a.text)
	}
	const reason = "The server is starting. It waits for its private Postgres."
	if a := ask("/readyz"); a.StatusCode != http.StatusServiceUnavailable || a.text != reason+"\n" || a.Header.Get("Retry-After") == "" {
		t.Errorf("/readyz: %d %s", a.StatusCode, a.text)
	}
	if a := ask("/api/v1/jobs"); a.StatusCode != http.StatusServiceUnavailable || a.problem(t).Detail != reason {
		t.Errorf("/api: %d %s", a.StatusCode, a.text)
	}
	if a := ask("/", "Accept", "text/html"); a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Refresh") == "" || a.Header.Get("Content-Security-Policy") == "" {
		t.Errorf("/: %d %v", a.StatusCode, a.Header)
	}
	door.Open(s.site)
	if a := ask("/readyz"); a.StatusCode != http.StatusOK {
		t.Errorf("/readyz: %d %s", a.StatusCode, a.text)
	}
	door.Drain()
	if a := ask("/readyz"); a.StatusCode != http.StatusServiceUnavailable || a.text != "the server is stopping\n" {
		t.Errorf("/readyz: %d %s", a.StatusCode, a.text)
	}
}

// TestDoorDrainedEarly checks that draining before the site opens makes the site
// drain.
func TestDoorDrainedEarly(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	door := web.NewStartupHandler()
	door.Drain()
	door.Open(s.site)
	if status, text := s.ready(); status != http.StatusServiceUnavailable || text != "the server is stopping\n" {
		t.Errorf("%d %s", status, text)
	}
}
