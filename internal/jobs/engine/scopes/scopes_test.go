package scopes_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
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
	lease int64
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

// A node is a service of a node that beats.
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

func TestNodesShareObjects(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.node(), w.node()
	one, two := a.task(0), b.task(1)
	a.expect(one, "1", call(shared.Value, "v", "add", "1"))
	b.expect(two, "2", call(shared.Value, "v", "add", "1"))
	get := b.start(two, call(shared.Queue, "q", "get"))
	a.waits("q", 1)
	a.expect(one, "null", call(shared.Queue, "q", "put", `{"a": 1}`))
	if got := <-get; got != `{"a": 1}` {
		t.Errorf("got %s", got)
	}
	outside := shared.Caller{Scope: one.Scope, Client: "c", Key: "k"}
	b.expect(outside, "3", call(shared.Value, "v", "add", "1"))
	a.expect(outside, "3", call(shared.Value, "v", "add", "1"))
	for _, n := range []*node{a, b} {
		list, err := n.Snapshot(t.Context(), one.Scope)
		if err != nil || len(list) != 2 || list[0].Name != "v" || string(list[0].Value) != "3" {
			t.Errorf("%+v, %v", list, err)
		}
	}
	if _, err := b.Read(t.Context(), one.Scope, "x"); !errors.Is(err, jobs.ErrNotFound) {
		t.Errorf("an object that is not there: %v", err)
	}
	if list, err := b.Snapshot(t.Context(), shared.Scope{Job: w.newJob(1)}); err != nil || len(list) != 0 {
		t.Errorf("a job without objects: %v, %v", list, err)
	}
}

// What a task did on a node that died counts where it was flushed, and once.
func TestTakeover(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.node(), w.node()
	one, two, three := a.task(0), b.task(1), b.task(2)
	a.expect(one, "1", call(shared.Value, "v", "add", "1"))
	a.expect(one, "true", call(shared.Lock, "l", "acquire"))
	a.expect(one, "null", call(shared.List, "x", "append", "1"))
	get := b.start(two, call(shared.Queue, "q", "get"))
	lock := b.start(three, call(shared.Lock, "l", "acquire"))
	a.waits("q", 1)
	a.waits("l", 1)
	a.flush()
	a.dies()
	if got := <-lock; got != "true" {
		t.Errorf("the lock of a dead node's task: %s", got)
	}
	again := b.task(0)
	b.expect(again, "1", call(shared.Value, "v", "add", "1"))
	b.expect(three, "1", call(shared.Value, "v", "get"))
	held := b.start(again, call(shared.Lock, "l", "acquire"))
	b.waits("l", 1)
	b.expect(three, "null", call(shared.Lock, "l", "release"))
	if got := <-held; got != "true" {
		t.Errorf("the lock, once more: %s", got)
	}
	b.expect(again, "null", call(shared.List, "x", "append", "1"))
	b.expect(again, "null", call(shared.Queue, "q", "put", "7"))
	if got := <-get; got != "7" {
		t.Errorf("a get that waited over the takeover: %s", got)
	}
	b.expect(three, "[1]", call(shared.List, "x", "slice"))
	// The dead node lives, and has learned that it is not the home.
	if got := a.do(one, call(shared.Value, "v", "add", "1")); !strings.HasPrefix(got, "!superseded") {
		t.Errorf("a call of a task that runs elsewhere: %s", got)
	}
	select {
	case job := <-a.lost:
		if job != w.job {
			t.Errorf("lost %s", job)
		}
	case <-time.After(10 * time.Second):
		t.Error("the tasks of the lost scope go on")
	}
	b.expect(three, "1", call(shared.Value, "v", "get"))
}

// A node that stops in order gives its scopes up with all in them.
func TestStoppedNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.node()
	a.expect(a.task(0), "5", call(shared.Value, "v", "add", "5"))
	a.stop()
	b := w.node()
	b.expect(b.task(1), "6", call(shared.Value, "v", "add", "1"))
}

func TestLocksOfEndedExecutions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.node()
	for _, end := range []func(c shared.Caller){
		func(c shared.Caller) { a.Ended(w.job, c.Lease, []scopes.Span{{First: c.Task, Count: 1}}) },
		func(c shared.Caller) { a.Recorded(w.job, []scopes.Outcome{{Task: c.Task, Succeeded: true}}) },
		func(c shared.Caller) { w.exec(`update chunks set state = 'lost' where id = $1`, c.Lease) },
		func(c shared.Caller) { a.do(c, shared.Call{Op: shared.OpEnd}) },
	} {
		c := a.task(10)
		a.expect(c, "true", call(shared.Lock, "l", "acquire"))
		other := a.task(11)
		lock := a.start(other, call(shared.Lock, "l", "acquire"))
		a.waits("l", 1)
		end(c)
		if got := <-lock; got != "true" {
			t.Errorf("got %s", got)
		}
		a.Recorded(w.job, []scopes.Outcome{{Task: 11, Succeeded: true}, {Task: 10, Succeeded: true}})
	}
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.node(), w.node()
	get := call(shared.Queue, "q", "get")
	get.Timeout = 20 * time.Millisecond
	for _, n := range []*node{a, b} {
		if got := n.do(n.task(1), get); !strings.HasPrefix(got, "!empty") {
			t.Errorf("got %s", got)
		}
	}
	// A caller that goes away takes nothing.
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := b.Call(ctx, b.task(2), call(shared.Queue, "q", "get"))
		gone <- err
	}()
	a.waits("q", 1)
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	a.waits("q", 0)
}

func TestDeadlockFailsTasks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.node(), w.node()
	one, two := a.task(3), b.task(4)
	a.expect(one, "true", call(shared.Lock, "a", "acquire"))
	first := a.start(one, call(shared.Queue, "jobs", "get"))
	second := b.start(two, call(shared.Lock, "a", "acquire"))
	want := `!deadlock deadlock: task 3 waits to get from queue "jobs"; task 4 waits for lock "a", held by task 3; no other task of the job runs or could run`
	for _, answer := range []<-chan string{first, second} {
		select {
		case got := <-answer:
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		case <-time.After(15 * time.Second):
			t.Fatal("no answer")
		}
	}
}

// Somebody who could wake a task keeps it waiting.
func TestNoDeadlock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.node()
	get := call(shared.Queue, "q", "get")
	busy, open := w.newJob(2), w.newJob(2)
	one := a.start(a.taskOf(busy, 1), get)
	a.taskOf(busy, 2) // runs
	w.exec(`update progress set sealed = false where job_id = $1`, open)
	two := a.start(a.taskOf(open, 1), get)
	company := get
	company.Company = true
	three := a.start(a.task(1), company)
	timed := get
	timed.Timeout = 2500 * time.Millisecond
	four := a.start(a.task(2), timed)
	if got := <-four; !strings.HasPrefix(got, "!empty") {
		t.Errorf("got %s", got)
	}
	for _, answer := range []<-chan string{one, two, three} {
		select {
		case got := <-answer:
			t.Errorf("answered: %s", got)
		default:
		}
	}
	for _, job := range []string{busy, open, w.job} {
		c := shared.Caller{Scope: shared.Scope{Job: job}, Client: "c"}
		a.expect(c, "null", call(shared.Queue, "q", "put", "1"))
	}
	for _, answer := range []<-chan string{one, two, three} {
		if got := <-answer; got != "1" {
			t.Errorf("got %s", got)
		}
	}
}

func TestNamedScopes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.node()
	c := a.task(0)
	c.Scope = shared.Scope{Owner: w.user, Name: "team"}
	a.expect(c, "1", call(shared.Value, "v", "add", "1"))
	other := a.taskOf(w.newJob(1), 0)
	other.Scope = c.Scope
	a.expect(other, "2", call(shared.Value, "v", "add", "1"))
	if names, err := a.Names(t.Context(), w.user); err != nil || len(names) != 1 || names[0] != "team" {
		t.Errorf("%v, %v", names, err)
	}
	get := a.start(c, call(shared.Queue, "q", "get"))
	await(t, "it waits", func() bool {
		info, err := a.Read(context.Background(), c.Scope, "q")
		return err == nil && info.Waiting == 1
	})
	if err := a.Delete(t.Context(), c.Scope); err != nil {
		t.Fatal(err)
	}
	if got := <-get; !strings.HasPrefix(got, "!removed") {
		t.Errorf("got %s", got)
	}
	a.flush() // what was deleted is not lost
	await(t, "it is new", func() bool { return a.do(other, call(shared.Value, "v", "get")) == "0" })
	missing := a.task(3)
	missing.Scope = shared.Scope{Job: store.NewID()}
	if got := a.do(missing, call(shared.Value, "v", "get")); !strings.HasPrefix(got, "!removed") {
		t.Errorf("objects of a job that is not there: %s", got)
	}
}

// A long log becomes a snapshot.
func TestSnapshotReplacesTheLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.node()
	c := a.task(0)
	item := `"` + strings.Repeat("x", 900_000) + `"`
	for range 12 {
		a.expect(c, "null", call(shared.Value, "v", "set", item))
		a.flush()
	}
	await(t, "the log is trimmed", func() bool {
		var seq, rows int64
		err := w.store.Pool.QueryRow(t.Context(), `select snapshot_seq, (select count(*) from shared_log) from shared_scopes`).Scan(&seq, &rows)
		return err == nil && seq > 0 && rows < 12
	})
	a.dies()
	b := w.node()
	if got := b.do(b.task(1), call(shared.Value, "v", "get")); got != item {
		t.Errorf("the value has %d bytes after the takeover", len(got))
	}
	b.expect(b.task(0), "null", call(shared.Value, "v", "set", item))
}

func BenchmarkAdd(b *testing.B) {
	w := newWorld(b)
	n := w.node()
	lanes := make([]shared.Caller, 2)
	for i := range lanes {
		lanes[i] = n.task(int64(i))
	}
	add := call(shared.Value, "v", "add", "1")
	b.ResetTimer()
	var all sync.WaitGroup
	for _, c := range lanes {
		all.Go(func() {
			for range b.N / len(lanes) {
				if _, err := n.Call(context.Background(), c, add); err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	n.flush()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

func BenchmarkQueue(b *testing.B) {
	w := newWorld(b)
	n := w.node()
	producer, consumer := n.task(0), n.task(1)
	var all sync.WaitGroup
	b.ResetTimer()
	for i, c := range []shared.Caller{producer, consumer} {
		all.Go(func() {
			l := call(shared.Queue, "q", []string{"put", "get"}[i])
			l.Params = &shared.Params{Size: 1000}
			if i == 0 {
				l.Args = []json.RawMessage{json.RawMessage(`{"item": "of some bytes"}`)}
			}
			for range b.N {
				if a, err := n.Call(context.Background(), c, l); err != nil || a.Err != nil {
					b.Error(err, a.Err)
					return
				}
			}
		})
	}
	all.Wait()
	n.flush()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "items/s")
}

// BenchmarkHandover measures the time from a put to the answer of a get that waits.
func BenchmarkHandover(b *testing.B) {
	w := newWorld(b)
	n := w.node()
	for _, far := range []bool{false, true} {
		b.Run(fmt.Sprintf("remote=%t", far), func(b *testing.B) {
			other := n
			if far {
				other = w.node()
			}
			producer, consumer := n.task(0), other.task(1)
			n.do(producer, call(shared.Queue, "q", "size"))
			for b.Loop() {
				get := other.start(consumer, call(shared.Queue, "q", "get"))
				n.do(producer, call(shared.Queue, "q", "put", "1"))
				<-get
			}
		})
	}
}
