package scopes_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs/engine/scopes"
	"github.com/allcores/allcores/internal/jobs/shared"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m).Run() }

var template = storetest.Template{Fingerprint: store.SchemaFingerprint(), Migrate: store.Migrate}

// A world is a database with one running job.
type world struct {
	t     testing.TB
	url   string
	store *store.Store
	user  string
	job   string
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, url: template.New(t)}
	w.store = w.open()
	if err := w.store.EnsureAdmin(t.Context(), "test", "secret"); err != nil {
		t.Fatal(err)
	}
	admin, err := w.store.UserByToken(t.Context(), "secret")
	if err != nil {
		t.Fatal(err)
	}
	w.user = admin.ID
	w.job = w.newJob(2)
	return w
}

func (w *world) open() *store.Store {
	s, err := store.Open(context.Background(), store.Options{URL: w.url, MaxConns: 6, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(s.Close)
	return s
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.store.Pool.Exec(context.Background(), sql, args...); err != nil {
		w.t.Fatal(err)
	}
}

// newJob inserts a sealed job whose tasks are all claimed.
func (w *world) newJob(lanes int) string {
	id := store.NewID()
	w.exec(`insert into jobs (id, owner_id, name, state, queue, priority, tags, program, inputs, policy)
		values ($1, $2, 'j', 'running', 'cpu', 2, '{}', '{}', '{}', '{"threads": 1}')`, id, w.user)
	w.exec(`insert into progress (job_id, total, sealed, lanes, lanes_auto, failures_allowed, cursor) values ($1, 100, true, $2, false, 100, 100)`, id, lanes)
	return id
}

// A node is a service of a node that lives until it dies.
type node struct {
	*scopes.Service
	world *world
	store *store.Store
	id    string
	lost  chan string
	stop  func()
}

func (w *world) node() *node {
	n := &node{world: w, store: w.open(), id: store.NewID(), lost: make(chan string, 10)}
	if err := n.store.Register(context.Background(), store.NewNode{ID: n.id, Host: "h", Role: "all", Cores: 1}); err != nil {
		w.t.Fatal(err)
	}
	w.exec(`update nodes set heartbeat_at = now() + interval '1 hour' where id = $1`, n.id) // nothing here beats
	n.Service = scopes.New(context.Background(), scopes.Options{
		Store: n.store, Logger: slog.New(slog.NewTextHandler(w.t.Output(), nil)), Node: n.id, Lost: func(job string) { n.lost <- job },
	})
	n.Start()
	var once sync.Once
	n.stop = func() { once.Do(func() { n.Close(context.Background()) }) }
	w.t.Cleanup(n.stop)
	return n
}

// dies has the node declared dead, as recovery would.
func (n *node) dies() {
	n.world.exec(`update nodes set state = 'dead', heartbeat_at = now() - interval '1 hour' where id = $1`, n.id)
	n.world.exec(`update chunks set state = 'lost' where node_id = $1`, n.id)
}

// task begins an execution of a task on the node, in a lane of its own.
func (n *node) task(index int64) shared.Caller { return n.taskOf(n.world.job, index) }

func (n *node) taskOf(job string, index int64) shared.Caller {
	n.world.t.Helper()
	c := shared.Caller{Scope: shared.Scope{Job: job}, Job: job, Task: index}
	err := n.store.Pool.QueryRow(context.Background(), `insert into chunks (job_id, first, count, state, attempt, losses, node_id, lane)
		values ($1, $2::bigint, 1, 'leased', 1, 0, $3, $2::bigint::int) returning id`, job, index, n.id).Scan(&c.Lease)
	if err != nil {
		n.world.t.Fatal(err)
	}
	return c
}

func call(kind shared.Kind, name, op string, args ...string) shared.Call {
	c := shared.Call{Kind: kind, Name: name, Op: op, Timeout: shared.Forever}
	for _, a := range args {
		c.Args = append(c.Args, json.RawMessage(a))
	}
	return c
}

// do returns the answer as text.
func (n *node) do(c shared.Caller, l shared.Call) string {
	n.world.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	a, err := n.Call(ctx, c, l)
	switch {
	case err != nil:
		n.world.t.Errorf("%s of %s: %v", l.Op, l.Name, err)
		return "!!"
	case a.Err != nil:
		return "!" + string(a.Err.Kind) + " " + a.Err.Message
	}
	return string(a.Value)
}

func (n *node) expect(c shared.Caller, want string, l shared.Call) {
	n.world.t.Helper()
	if got := n.do(c, l); got != want {
		n.world.t.Errorf("%s of %s: got %s, want %s", l.Op, l.Name, got, want)
	}
}

// start makes a call in the background.
func (n *node) start(c shared.Caller, l shared.Call) <-chan string {
	answer := make(chan string, 1)
	go func() { answer <- n.do(c, l) }()
	return answer
}

func (n *node) waits(name string, callers int) {
	n.world.t.Helper()
	await(n.world.t, fmt.Sprintf("%d calls wait for %s", callers, name), func() bool {
		info, err := n.Read(context.Background(), shared.Scope{Job: n.world.job}, name)
		return err == nil && info.Waiting == callers
	})
}

func (n *node) flush() {
	n.world.t.Helper()
	if err := n.Flush(context.Background(), n.world.job); err != nil {
		n.world.t.Error(err)
	}
}

func await(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
