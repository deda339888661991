package http_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	web "github.com/allcores/allcores/internal/http"
	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/command"
	"github.com/allcores/allcores/internal/jobs/executor/python"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/internal/store/storetest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(withBrowser{storetest.Main(m)}, storetest.IgnoreServer())
}

// withBrowser ends the shared browser after all tests.
type withBrowser struct{ tests interface{ Run() int } }

func (w withBrowser) Run() int {
	defer stopChromium()
	return w.tests.Run()
}

var template = storetest.Template{Fingerprint: store.SchemaFingerprint(), Migrate: store.Migrate}

// adminToken signs in as admin.
const adminToken = "an-admin-token-of-the-tests"

// A server is a whole Allcores: database, engine, executors and a listener.
type server struct {
	t      testing.TB
	url    string
	store  *store.Store
	site   *web.Site
	engine *engine.Engine
	node   string // its id
	admin  *jobs.User
}

// serve starts a server with a database of its own. Without idle its engine executes.
func serve(t testing.TB, idle ...bool) *server {
	t.Helper()
	role := engine.RoleAll
	if len(idle) > 0 && idle[0] {
		role = engine.RoleWeb
	}
	return serveAt(t, template.New(t), role)
}

// serveAt starts one node of a role on the database at url.
func serveAt(t testing.TB, url, role string) *server {
	t.Helper()
	ctx := t.Context()
	logger := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	db, err := store.Open(ctx, store.Options{URL: url, MaxConns: 8, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if err := db.EnsureAdmin(ctx, "test", adminToken); err != nil {
		t.Fatal(err)
	}
	admin, err := db.UserByToken(ctx, adminToken)
	if err != nil {
		t.Fatal(err)
	}
	py := python.New(python.Options{Logger: logger})
	t.Cleanup(func() { py.Close() })
	o := engine.Options{Store: db, Logger: logger, Role: role, Version: "test", Cores: []int{0, 1}, Checks: engine.Checks{Python: py.Check, Command: new(command.Executor).Check},
		Executors: map[string]executor.Executor{"python": py, "command": &command.Executor{}}}
	e, err := engine.New(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	site, err := web.New(web.Options{Store: db, Engine: e, Logger: logger, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := e.Stop(ctx, 0); err != nil {
			t.Error(err)
		}
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := web.NewServer(site, logger)
	served := make(chan error, 1)
	go func() { served <- h.Serve(listener) }()
	t.Cleanup(func() {
		// Shutdown waits 5 s for connections that a browser has opened ahead.
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := h.Shutdown(ctx); err != nil {
			t.Error("shut down:", err)
			h.Close()
		}
		site.Wait(ctx)
		<-served
	})
	return &server{t: t, url: "http://" + listener.Addr().String(), store: db, site: site, engine: e, node: e.NodeID(), admin: admin}
}

// user makes a user of a role and returns their token.
func (s *server) user(name string, role jobs.Role) string {
	s.t.Helper()
	token, id := "token-of-"+name, store.NewID()
	sql := `with u as (insert into users (id, name, role) values ($1, $2, $3) returning id)
		insert into tokens (id, user_id, name, hash) select $4, id, 'test', sha256($5::bytea) from u`
	if _, err := s.store.Pool.Exec(s.t.Context(), sql, id, name, role, store.NewID(), []byte(token)); err != nil {
		s.t.Fatal(err)
	}
	return token
}

// An answer is a response with its whole body.
type answer struct {
	*http.Response
	text string
}

func (a *answer) into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.text), v); err != nil {
		t.Fatalf("%v in %s", err, a.text)
	}
}

// A problem is an answer of a call that failed.
type problem struct {
	Title, Detail string
	Status        int
	Errors        []struct {
		Location, Message string
		Value             any
	}
}

func (a *answer) problem(t testing.TB) problem {
	t.Helper()
	var p problem
	if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type %q of %s", got, a.text)
	}
	a.into(t, &p)
	if p.Status != a.StatusCode || p.Title == "" || p.Detail == "" {
		t.Errorf("problem %+v with status %d", p, a.StatusCode)
	}
	return p
}

// locations returns the locations of the problem's violations.
func (p problem) locations() []string {
	var out []string
	for _, e := range p.Errors {
		if e.Message == "" {
			out = append(out, "no message at "+e.Location)
		}
		out = append(out, e.Location)
	}
	return out
}

// send makes a request with the admin's token, unless headers say otherwise
// (pairs of name and value).
func (s *server) send(method, path, body string, headers ...string) *http.Response {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if body == "" {
		req.Body, req.ContentLength = http.NoBody, 0
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	if strings.HasPrefix(path, "/api/") && body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Del(headers[i])
		if headers[i+1] != "" {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	return res
}

// call sends a request and reads the answer.
func (s *server) call(method, path, body string, headers ...string) *answer {
	s.t.Helper()
	res := s.send(method, path, body, headers...)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatalf("%s %s: %v after %q", method, path, err, text)
	}
	return &answer{res, string(text)}
}

func (s *server) get(path string, headers ...string) *answer {
	s.t.Helper()
	return s.call("GET", path, "", headers...)
}

// job is a job as the API answers it.
type job struct {
	jobs.Job
	Outputs json.RawMessage
}

// submit posts a job and returns it.
func (s *server) submit(body string, headers ...string) job {
	s.t.Helper()
	a := s.call("POST", "/api/v1/jobs", body, headers...)
	if a.StatusCode != http.StatusCreated {
		s.t.Fatalf("status %d: %s", a.StatusCode, a.text)
	}
	var j job
	a.into(s.t, &j)
	return j
}

// program is the body of a submission of a Python function.
func program(source, inputs string, more ...string) string {
	text, err := json.Marshal(source)
	if err != nil {
		panic(err)
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(source[strings.LastIndex(source, "def "):], "def "), "(")
	return fmt.Sprintf(`{"program":{"python":{"source":%s,"function":%q}},"inputs":%s%s}`, text, name, inputs, strings.Join(more, ""))
}

const squares = "def square(x):\n    return x * x\n"

// ended waits for the job's end.
func (s *server) ended(id string) job {
	s.t.Helper()
	var j job
	for range 30 {
		s.get("/api/v1/jobs/"+id+"?wait=2").into(s.t, &j)
		if j.State.Ended() {
			return j
		}
	}
	s.t.Fatalf("job %s has not ended: %+v", id, j.Counts)
	return j
}

// await polls until the condition holds.
func await(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// lines decodes the lines of NDJSON.
func lines[T any](t testing.TB, text string) []T {
	t.Helper()
	var out []T
	for line := range bytes.Lines([]byte(text)) {
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		out = append(out, v)
	}
	return out
}
